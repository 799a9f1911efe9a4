"""LiveKit's webhooks: signed, fresh, once each."""

import base64
import hashlib
import json
from datetime import timedelta

import pytest
from livekit import api as livekit_api

from avatar_platform.gateways.queue import ControlTask
from avatar_platform.sessions.models import Session
from tests import factories
from tests.fakes.livekit import KEY, SECRET
from tests.unit.platform.conftest import Worker, World, bring_up

pytestmark = [pytest.mark.component, pytest.mark.django_db]


def body_of(world: World, kind: str, room: str, identity: str, **changes: object) -> str:
    event = {
        "event": kind,
        "id": "EV_1",
        "createdAt": str(int(world.clock.now().timestamp())),
        "room": {"name": room},
        "participant": {"identity": identity, "kind": "STANDARD"},
        **changes,
    }
    return json.dumps(event)


def send(client, body: str, *, secret: str = SECRET, signed: str | None = None, prefix: str = ""):
    digest = hashlib.sha256((signed if signed is not None else body).encode()).digest()
    token = (
        livekit_api.AccessToken(KEY, secret)
        .with_ttl(timedelta(minutes=5))
        .with_sha256(base64.b64encode(digest).decode())
        .to_jwt()
    )
    return client.post(
        "/livekit/webhook",
        data=body,
        content_type="application/webhook+json",
        headers={"authorization": prefix + token},
    )


@pytest.fixture
def session(ada: factories.Person, worker: Worker, world: World) -> Session:
    return bring_up(world, worker, ada)


def test_a_visitors_joining_makes_a_ready_session_active(
    client, world: World, session: Session
) -> None:
    body = body_of(world, "participant_joined", session.room, f"visitor-{session.pk}")
    assert send(client, body, prefix="Bearer ").status_code == 200
    session.refresh_from_db()
    assert session.status == "active"


def test_a_hundred_repetitions_are_one_change(client, world: World, session: Session) -> None:
    body = body_of(world, "participant_joined", session.room, "visitor")
    assert {send(client, body).status_code for _ in range(100)} == {200}
    assert session.events.filter(kind="user.joined").count() == 1


def test_an_agents_joining_is_no_visitors(client, world: World, session: Session) -> None:
    person = {"identity": "agent-x", "kind": "AGENT"}
    send(client, body_of(world, "participant_joined", session.room, "", participant=person))
    session.refresh_from_db()
    assert session.status == "ready"


@pytest.mark.parametrize(
    "kind", ["participant_left", "participant_connection_aborted", "room_finished"]
)
def test_whoever_left_is_looked_up(
    client,
    world: World,
    session: Session,
    kind: str,
    django_capture_on_commit_callbacks,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        send(client, body_of(world, kind, session.room, "somebody"))
    assert (ControlTask.LOOK_INTO_ROOM, (str(session.pk),)) in world.tasks.waiting


def test_what_livekit_did_not_sign_is_401_and_changes_nothing(
    client, world: World, session: Session
) -> None:
    body = body_of(world, "participant_joined", session.room, "visitor")
    answers = [
        send(client, body, secret="another-secret-of-at-least-32-characters"),
        send(client, body, signed="another body"),
        client.post("/livekit/webhook", data=body, content_type="application/webhook+json"),
        client.post("/livekit/webhook", data="x", content_type="application/webhook+json"),
    ]
    assert {answer.status_code for answer in answers} == {401}
    session.refresh_from_db()
    assert session.status == "ready"


def test_an_old_webhook_is_401(client, world: World, session: Session) -> None:
    old = str(int(world.clock.now().timestamp()) - 600)
    body = body_of(world, "participant_joined", session.room, "visitor", createdAt=old)
    assert send(client, body).status_code == 401


def test_another_room_is_nobodys_business(client, world: World, session: Session) -> None:
    assert send(client, body_of(world, "participant_joined", "other", "x")).status_code == 200


def test_a_huge_body_is_refused(client) -> None:
    answer = client.post(
        "/livekit/webhook", data="x" * 70_000, content_type="application/webhook+json"
    )
    assert answer.status_code == 413


def test_only_post_is_answered(client) -> None:
    assert client.get("/livekit/webhook").status_code == 405
