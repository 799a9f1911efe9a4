"""A session from `POST` to its end, through real web, control worker, beat, Redis and LiveKit."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx
import psutil
import pytest
import redis
from livekit import api as livekit_api
from livekit import rtc

from avatar_contracts import codec, streams
from avatar_contracts.beat import EventKind
from avatar_contracts.identities import agent_identity, visitor_identity
from avatar_contracts.messages import AvatarAssignedCommand, EndCommand, SayCommand
from tests.integration.platform.stack import PlayedAgent, PlayedWorker, Stack, report

pytestmark = pytest.mark.integration


def get(client: httpx.Client, session: str) -> dict[str, Any]:
    body: dict[str, Any] = client.get(f"/sessions/{session}").raise_for_status().json()
    return body


async def until(
    client: httpx.Client, session: str, good: Callable[[dict[str, Any]], bool], within_s: float
) -> tuple[dict[str, Any], float]:
    """The session's body once it is good, and how long that took."""
    began = time.monotonic()
    while True:
        body = get(client, session)
        if good(body):
            return body, time.monotonic() - began
        assert time.monotonic() - began < within_s, f"after {within_s} s: {body}"
        await asyncio.sleep(0.05)


def commands(stack: Stack, session: str) -> list[object]:
    with redis.Redis.from_url(stack.redis_url) as client:
        return [codec.decode(entry) for _, entry in client.xrange(streams.commands_key(session))]


async def queue_entry(stack: Stack, within_s: float = 3.0) -> None:
    """Wait until the avatar queue holds something."""
    key = streams.BROKER_KEY_PREFIX + streams.avatar_queue("default")
    deadline = time.monotonic() + within_s
    with redis.Redis.from_url(stack.redis_url) as client:
        while not client.llen(key):
            assert time.monotonic() < deadline, "nothing was put on the avatar queue"
            await asyncio.sleep(0.02)
        client.delete(key)


async def join_as_agent(stack: Stack, session: str, room: str) -> rtc.Room:
    token = (
        livekit_api.AccessToken(stack.env["LIVEKIT_API_KEY"], stack.env["LIVEKIT_API_SECRET"])
        .with_identity(agent_identity(session))
        .with_kind("agent")
        .with_grants(livekit_api.VideoGrants(room_join=True, room=room))
    )
    joined = rtc.Room()
    await joined.connect(stack.env["LIVEKIT_URL"], token.to_jwt())
    return joined


async def test_a_session_lives_through_all_states_and_survives_the_loss_of_its_worker(
    stack: Stack, api_key: str
) -> None:
    agent = PlayedAgent(stack)
    with stack.api(api_key) as client, PlayedWorker(stack) as worker:
        created = client.post("/sessions", json={"character": "test-card", "metadata": {"a": 1}})
        assert created.status_code == 202, created.text
        body = created.json()
        session, room = body["id"], body["livekit"]["room"]
        assert created.headers["Location"] == f"/api/v1/sessions/{session}"
        assert body["status"] == "queued"
        assert body["queue"]["position"] == 1

        # The visitor joins while the face is being provisioned.
        visitor = rtc.Room()
        await visitor.connect(body["livekit"]["url"], body["livekit"]["token"])
        assert visitor.local_participant.identity == visitor_identity(session)

        await queue_entry(stack)
        claim = worker.claim(session, 1)
        assert claim is not None
        assert (claim.room, claim.engine, claim.bundle_sha256) == (room, "test-card", "")
        assert worker.claim(session, 1) is None, "a second claim of one epoch must be refused"
        await until(client, session, lambda b: b["status"] == "provisioning", 2)
        assert AvatarAssignedCommand(epoch=1) in commands(stack, session)

        assert agent.conversation(session).avatar_identity == claim.avatar_identity
        talking = await join_as_agent(stack, session, room)
        agent.tell(report(session, 1, EventKind.AGENT_JOINED))
        worker.show_face(session, 1)
        # The webhook of the visitor's joining has arrived meanwhile, so ready is passed at once.
        body, _ = await until(client, session, lambda b: b["status"] == "active", 3)
        assert body["timings"]["ready_ms"] > 0

        agent.tell(
            report(session, 1, EventKind.USER_TRANSCRIPTION, text="Hello?", final=True),
            report(session, 1, EventKind.AVATAR_TRANSCRIPTION, text="Hello!", final=True),
        )
        said = client.get(f"/sessions/{session}/transcript").json()["items"]
        assert [(line["role"], line["text"]) for line in said] == [
            ("user", "Hello?"),
            ("avatar", "Hello!"),
        ]
        assert client.post(f"/sessions/{session}/say", json={"text": "One."}).status_code == 202
        assert SayCommand(text="One.") in commands(stack, session)

        # Nobody is judged before the platform itself has listened for three leases.
        await asyncio.sleep(max(0.0, 6.5 - _web_age_s(stack)))
        worker.freeze()
        with PlayedWorker(stack) as second:
            body, took_s = await until(client, session, lambda b: b["epoch"] == 2, 4)
            print(f"requeued after {took_s:.2f} s")
            assert body["status"] == "queued"
            assert second.claim(session, 2) is not None
            second.show_face(session, 2)
            await until(client, session, lambda b: b["status"] == "active", 3)
            assert worker.beat().dead, "the frozen worker must be told that it is dead"
            assert AvatarAssignedCommand(epoch=2) in commands(stack, session)

            assert client.post(f"/sessions/{session}/end").status_code == 202
            body, _ = await until(client, session, lambda b: b["status"] == "ended", 5)
            assert body["end_reason"] == "API_CLOSED"
            assert EndCommand() in commands(stack, session)
            second.beat()
            stops = [order for answer in second.answers for order in answer.stop]
            assert [(order.session, order.epoch) for order in stops] == [(session, 2)]
        happened = client.get(f"/sessions/{session}/events?limit=200").json()["items"]
        kinds = [event["kind"] for event in happened]
        states = [kind.removeprefix("session.") for kind in kinds if kind.startswith("session.")]
        assert states == [
            *("queued", "provisioning", "ready", "active"),
            *("queued", "provisioning", "ready", "active"),
            *("ending", "ended"),
        ]
        again = client.post(f"/sessions/{session}/say", json={"text": "Two."})
        assert again.status_code == 409
        assert again.json()["current_status"] == "ended"
        await visitor.disconnect()
        await talking.disconnect()


async def test_a_visitor_who_vanishes_ends_the_session(stack: Stack, api_key: str) -> None:
    with stack.api(api_key) as client, PlayedWorker(stack) as worker:
        body = client.post("/sessions", json={"character": "test-card"}).json()
        session = body["id"]
        visitor = rtc.Room()
        await visitor.connect(body["livekit"]["url"], body["livekit"]["token"])
        await queue_entry(stack)
        assert worker.claim(session, 1) is not None
        PlayedAgent(stack).tell(report(session, 1, EventKind.AGENT_JOINED))
        worker.show_face(session, 1)
        await until(client, session, lambda b: b["status"] == "active", 3)
        await visitor.disconnect()
        # 3 s of patience (PLATFORM_LEFT_TIMEOUT_S), one reaper tick, the webhook's way.
        body, _ = await until(client, session, lambda b: b["status"] == "ended", 8)
        assert body["end_reason"] == "USER_DISCONNECTED"


def _web_age_s(stack: Stack) -> float:
    return time.time() - float(psutil.Process(stack.web.pid).create_time())
