"""A session belongs to one worker, of one epoch."""

import threading

import pytest
from livekit import api as livekit_api

from avatar_contracts.messages import AvatarAssignedCommand
from avatar_platform.gateways.queue import ControlTask
from avatar_platform.sessions.models import Session
from avatar_platform.sessions.services import claim_session, requeue_session
from tests import factories
from tests.fakes.livekit import KEY, SECRET
from tests.unit.platform.conftest import Worker, World, bring_up

pytestmark = pytest.mark.component


def queued(person: factories.Person, **wish: object) -> Session:
    body = person.post("/sessions", {"character": "test-card", **wish}).json()
    return Session.objects.get(pk=body["id"])


@pytest.mark.django_db
def test_a_claim_tells_all_that_a_worker_needs(
    ada: factories.Person, worker: Worker, world: World, django_capture_on_commit_callbacks
) -> None:
    session = queued(ada)
    worker.beat()
    with django_capture_on_commit_callbacks(execute=True):
        claim = worker.claim(session.pk)
    assert claim is not None
    assert (claim.epoch, claim.engine, claim.width, claim.room) == (
        1,
        "test-card",
        512,
        session.room,
    )
    decoded = livekit_api.TokenVerifier(KEY, SECRET).verify(claim.token)
    assert (decoded.identity, decoded.kind) == (f"avatar-{session.pk}", "agent")
    assert decoded.attributes == {
        "lk.publish_on_behalf": f"agent-{session.pk}",
        "synthetic": "true",
    }
    assert decoded.video is not None
    assert sorted(decoded.video.can_publish_sources or ()) == ["camera", "microphone"]
    session.refresh_from_db()
    assert (session.status, session.worker_id) == ("provisioning", worker.name)
    assert world.commands.sent[str(session.pk)] == [AvatarAssignedCommand(epoch=1)]
    assert (ControlTask.DISPATCH_AGENT, (str(session.pk),)) in world.tasks.waiting


@pytest.mark.django_db
def test_how_the_face_is_to_be_held_goes_from_the_request_to_the_worker(
    ada: factories.Person, worker: Worker
) -> None:
    face, picture = (
        {"blink_rate": 12, "preset": "attentive"},
        {"blend_feather": 6, "background": "#00b140"},
    )
    session = queued(ada, expression=face, picture=picture)
    claim = worker.claim(session.pk)
    assert claim is not None
    assert claim.options == {**face, **picture}
    shown = ada.get(f"/sessions/{session.pk}").json()
    assert (shown["expression"], shown["picture"]) == (face, picture)
    plain = worker.claim(queued(ada).pk)
    assert plain is not None
    assert plain.options == {}


@pytest.mark.django_db
def test_a_second_worker_a_repetition_and_an_old_epoch_are_refused(
    ada: factories.Person, client, worker: Worker
) -> None:
    session = queued(ada)
    other = Worker(client, "worker-2")
    assert worker.claim(session.pk) is not None
    assert worker.claim(session.pk) is None
    assert other.claim(session.pk) is None
    assert requeue_session(session_id=session.pk, epoch=1, why="test")
    assert other.claim(session.pk, epoch=1) is None
    assert other.claim(session.pk, epoch=3) is None
    assert other.claim(session.pk, epoch=2) is not None


@pytest.mark.django_db
@pytest.mark.parametrize("nonsense", ["", "1", "../../etc", "0" * 36])
def test_a_claim_of_nonsense_is_refused(worker: Worker, nonsense: str) -> None:
    assert worker.claim(nonsense) is None


@pytest.mark.django_db
def test_an_agent_that_cannot_be_told_sends_the_session_back(
    ada: factories.Person, worker: Worker, world: World
) -> None:
    session = queued(ada)
    world.commands.is_away = True
    from avatar_contracts.beat import ClaimRequest

    answer = worker.post("claim", ClaimRequest(worker.name, str(session.pk), 1))
    assert answer.status_code == 503
    session.refresh_from_db()
    assert (session.status, session.epoch) == ("queued", 2)


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_at_once_exactly_one_gets_the_session() -> None:
    session = queued(factories.ada())
    won: list[str] = []
    start = threading.Barrier(8)

    def claim(name: str) -> None:
        from django.db import connection

        from avatar_platform.fleet.leases import admit

        try:
            admit(name)
            start.wait()
            if claim_session(session_id=str(session.pk), epoch=1, worker_id=name):
                won.append(name)
        finally:
            connection.close()

    threads = [threading.Thread(target=claim, args=(f"worker-{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    session.refresh_from_db()
    assert won == [session.worker_id]


@pytest.mark.django_db
def test_what_the_agent_is_told_is_the_persona_with_the_requests_own_words(
    ada: factories.Person, worker: Worker
) -> None:
    from avatar_contracts import codec
    from avatar_contracts.messages import Conversation, KnowledgeEntry

    character = factories.character(ada.account)
    character.knowledge = [{"questions": ["Who are you?"], "answer": "Grace."}]
    character.greeting = "Hello."
    character.save()
    session = queued(ada, character="grace", persona={"greeting": "", "voice": "piper:joe2"})
    answer = worker.get(f"sessions/{session.pk}/conversation")
    told = codec.from_json(Conversation, answer.content)
    assert told.persona.instructions == "Be kind."
    assert (told.persona.greeting, told.persona.voice) == ("", "piper:joe2")
    assert told.persona.knowledge == (KnowledgeEntry(("Who are you?",), "Grace."),)
    assert told.visitor_identity == f"visitor-{session.pk}"


@pytest.mark.django_db
def test_there_is_no_conversation_after_the_end(
    ada: factories.Person, worker: Worker, world: World
) -> None:
    session = bring_up(world, worker, ada)
    Session.objects.filter(pk=session.pk).update(status="ended")
    assert worker.get(f"sessions/{session.pk}/conversation").status_code == 404
    assert worker.get("sessions/nonsense/conversation").status_code == 404


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["beat", "claim", "reports", "bundles/x", "sessions/x/conversation"]
)
@pytest.mark.parametrize("token", [None, "Bearer ", "Bearer wrong", "worker-token-of-the-tests"])
def test_the_internal_api_wants_the_worker_token(client, path: str, token: str | None) -> None:
    headers = {"authorization": token} if token else {}
    method = client.get if "/" in path else client.post
    answer = method(f"/internal/v1/{path}", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


@pytest.mark.django_db
def test_without_a_configured_token_nobody_comes_in(
    client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from avatar_platform.config import get_settings

    monkeypatch.setenv("WORKER_TOKEN", "")
    get_settings.cache_clear()
    answer = client.post("/internal/v1/beat", headers={"authorization": "Bearer "})
    assert answer.status_code == 401


@pytest.mark.django_db
def test_a_body_that_breaks_the_contract_is_named(client, worker: Worker) -> None:
    answer = client.post(
        "/internal/v1/beat", data="{}", content_type="application/json", headers=worker._headers
    )
    assert answer.status_code == 422
    assert "'worker' is missing" in answer.json()["message"]
