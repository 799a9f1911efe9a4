"""The WebSocket of one session: who may watch, what is sent first, what follows."""

import json
import uuid
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.routing import URLRouter
from django.contrib.auth.models import AnonymousUser, User

from avatar_platform.access.models import Account, Scope
from avatar_platform.access.services import issue_key, open_account
from avatar_platform.fleet.models import AvatarWorker
from avatar_platform.sessions import live, services
from avatar_platform.sessions.models import Session
from avatar_platform.sessions.routing import websocket_urlpatterns

pytestmark = [pytest.mark.component, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def ada(db) -> Account:
    return open_account(name="Ada")


@pytest.fixture
def session(ada: Account, mira) -> Session:
    return services.request_session(account=ada, wish=services.Wish(character="mira"))


class Watcher:
    """A WebSocket client over ASGI. (Channels' own needs daphne, which the platform does not.)"""

    def __init__(self, scope: dict[str, Any]) -> None:
        self._client = ApplicationCommunicator(URLRouter(websocket_urlpatterns), scope)

    async def open(self) -> None:
        await self._client.send_input({"type": "websocket.connect"})
        # Always accepted first: a browser learns a close code of an open socket only.
        assert (await self._client.receive_output())["type"] == "websocket.accept"

    async def message(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads((await self._client.receive_output())["text"])
        return message

    async def first_message(self) -> dict[str, Any]:
        await self.open()
        return await self.message()

    async def close_code(self) -> int:
        await self.open()
        message = await self._client.receive_output()
        assert message["type"] == "websocket.close"
        return int(message["code"])

    async def hears_nothing(self) -> bool:
        return bool(await self._client.receive_nothing())

    async def leave(self) -> None:
        await self._client.send_input({"type": "websocket.disconnect", "code": 1000})
        await self._client.wait()


def watch(
    session_id: object,
    query: str = "",
    user: object = None,
    headers: dict[str, str] | None = None,
    subprotocols: list[str] | None = None,
) -> Watcher:
    given = [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()]
    return Watcher(
        {
            "type": "websocket",
            "path": f"/ws/sessions/{session_id}",
            "query_string": query.encode(),
            "headers": given,
            "user": user or AnonymousUser(),
            "subprotocols": subprotocols or [],
        }
    )


async def claim(session: Session) -> None:
    worker = await AvatarWorker.objects.acreate(
        id="worker-1", lease_until=session.created_at, last_beat_at=session.created_at
    )
    claim_it = sync_to_async(services.claim_session)
    assert await claim_it(session_id=str(session.pk), epoch=1, worker_id=worker.pk)


async def test_a_watch_token_opens_its_session_and_shows_its_state_first(session):
    watcher = watch(session.pk, f"token={live.watch_token(session.pk)}")
    message = await watcher.first_message()
    assert (message["type"], message["id"]) == ("session", str(session.pk))
    assert message["queue"]["position"] == 1
    await watcher.leave()


async def test_what_happens_is_pushed_as_it_happens(session):
    watcher = watch(session.pk, f"token={live.watch_token(session.pk)}")
    await watcher.first_message()
    await claim(session)
    assert (await watcher.message())["status"] == "provisioning"
    line = {"type": "transcript", "role": "user", "text": "hello", "final": True, "at": "now"}
    await sync_to_async(live.publish)(session.pk, line)
    assert await watcher.message() == line
    await watcher.leave()


async def test_the_token_may_come_as_a_subprotocol_so_that_no_log_shows_it(session):
    token = urlsafe_b64encode(live.watch_token(session.pk).encode()).decode().rstrip("=")
    watcher = watch(session.pk, subprotocols=["avatar.watch", token])
    assert (await watcher.first_message())["id"] == str(session.pk)
    await watcher.leave()
    for nonsense in ("", "%", "x" * 999, token[:-4]):
        watcher = watch(session.pk, subprotocols=["avatar.watch", nonsense])
        assert await watcher.close_code() == 4401


async def test_a_state_that_was_left_behind_is_not_told_after_the_newer_one(session):
    # Once a page stayed "queued": another process had read the row just before the claim, and
    # pushed it just after.
    watcher = watch(session.pk, f"token={live.watch_token(session.pk)}")
    stale = await watcher.first_message()
    await claim(session)
    assert (await watcher.message())["status"] == "provisioning"
    await sync_to_async(live.publish)(session.pk, stale)
    assert await watcher.hears_nothing()
    # The next epoch's queue is news again.
    await sync_to_async(services.requeue_session)(session_id=session.pk, epoch=1, why="lost")
    assert (await watcher.message())["status"] == "queued"
    await watcher.leave()


async def test_another_sessions_messages_do_not_arrive(session):
    watcher = watch(session.pk, f"token={live.watch_token(session.pk)}")
    await watcher.first_message()
    await sync_to_async(live.publish)(uuid.uuid4(), {"type": "latency", "name": "x", "ms": 1})
    assert await watcher.hears_nothing()
    await watcher.leave()


async def test_a_token_of_another_session_is_refused(session):
    watcher = watch(session.pk, f"token={live.watch_token(uuid.uuid4())}")
    assert await watcher.close_code() == 4401


async def test_nobody_in_particular_is_refused(session):
    assert await watch(session.pk).close_code() == 4401


async def test_an_erased_session_is_not_found(session):
    await sync_to_async(services.erase_session)(session=session)
    watcher = watch(session.pk, f"token={live.watch_token(session.pk)}")
    assert await watcher.close_code() == 4404


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
async def test_an_application_watches_its_own_sessions_with_its_key(session, ada, scheme):
    _, key = await sync_to_async(issue_key)(account=ada, name="app")
    watcher = watch(session.pk, headers={"Authorization": f"{scheme} {key}"})
    assert (await watcher.first_message())["id"] == str(session.pk)
    await watcher.leave()


async def test_another_tenants_session_is_not_found(session):
    cleo = await sync_to_async(open_account)(name="Cleo")
    _, key = await sync_to_async(issue_key)(account=cleo, name="app")
    watcher = watch(session.pk, headers={"Authorization": f"Bearer {key}"})
    assert await watcher.close_code() == 4404


async def test_a_key_without_the_scope_is_refused(session, ada):
    _, key = await sync_to_async(issue_key)(account=ada, name="app", scopes=[Scope.FLEET_READ])
    watcher = watch(session.pk, headers={"Authorization": f"Bearer {key}"})
    assert await watcher.close_code() == 4401


async def test_staff_watch_from_our_own_pages_only(session):
    staff = await sync_to_async(User.objects.create_superuser)("op", "op@example.org", "secret")
    own = {"Host": "avatar.example", "Origin": "https://avatar.example"}
    watcher = watch(session.pk, user=staff, headers=own)
    assert (await watcher.first_message())["id"] == str(session.pk)
    await watcher.leave()
    foreign = {"Host": "avatar.example", "Origin": "https://evil.example"}
    assert await watch(session.pk, user=staff, headers=foreign).close_code() == 4401


async def test_a_visitor_with_an_account_but_no_staff_rights_is_refused(session):
    person = await sync_to_async(User.objects.create_user)("ben", "ben@example.org", "secret")
    own = {"Host": "avatar.example", "Origin": "https://avatar.example"}
    assert await watch(session.pk, user=person, headers=own).close_code() == 4401
