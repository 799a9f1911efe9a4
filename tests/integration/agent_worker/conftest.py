"""The agent worker as a process of its own, between real engines and a fake platform."""

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from livekit import api, rtc

from agent_worker.redis_streams import RedisClient, connect
from avatar_contracts.codec import encode, to_json
from avatar_contracts.identities import (
    AGENT_NAME,
    EVENTS_TOPIC,
    agent_identity,
    avatar_identity,
    visitor_identity,
)
from avatar_contracts.messages import CommandMessage, Conversation, DispatchMetadata, Persona
from avatar_contracts.states import SessionMode
from avatar_contracts.streams import commands_key
from avatar_platform.local.engines import LiveKitAddress, free_port
from tests.fakes.avatar import FakeAvatar
from tests.fakes.platform import TOKEN, FakePlatform
from tests.unit.agent_worker.speech import until

CACHE = Path(os.environ.get("AVATAR_CACHE_DIR", "~/.cache/avatar-platform")).expanduser()


@dataclass
class Visitor:
    """A person in the room: speaks into a microphone, keeps what the page would be told."""

    room: rtc.Room
    source: rtc.AudioSource
    events: list[str] = field(default_factory=list)
    heard_from_agent: bytearray = field(default_factory=bytearray)
    stopped_at_s: float = 0.0
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def speak(self, pcm: bytes) -> None:
        """In real time; returns when the last sample has left."""
        for i in range(0, len(pcm), 960):
            piece = pcm[i : i + 960]
            await self.source.capture_frame(rtc.AudioFrame(piece, 24_000, 1, len(piece) // 2))
        await self.source.wait_for_playout()
        self.stopped_at_s = asyncio.get_running_loop().time()

    def listen(self, track: rtc.Track) -> None:
        async def keep() -> None:
            async for event in rtc.AudioStream(track, sample_rate=24_000, num_channels=1):
                self.heard_from_agent += bytes(event.frame.data)

        self._tasks.append(asyncio.create_task(keep()))

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.room.disconnect()


@dataclass
class World:
    """Everything around one agent worker."""

    livekit: LiveKitAddress
    redis: RedisClient
    platform: FakePlatform
    lk: api.LiveKitAPI
    stack: AsyncExitStack

    async def session(
        self, persona: Persona, mode: SessionMode = SessionMode.CONVERSATION
    ) -> tuple[str, str]:
        """A session with its room; returns id and room name."""
        session = uuid.uuid4().hex[:12]
        room = f"room-{session}"
        self.platform.conversations[session] = Conversation(
            session, 1, mode, persona, avatar_identity(session), visitor_identity(session)
        )
        await self.lk.room.create_room(api.CreateRoomRequest(name=room, empty_timeout=60))
        return session, room

    async def dispatch(self, session: str, room: str) -> None:
        await self.lk.agent_dispatch.create_dispatch(
            api.CreateAgentDispatchRequest(
                agent_name=AGENT_NAME, room=room, metadata=to_json(DispatchMetadata(session))
            )
        )

    async def avatar(self, session: str, epoch: int = 1, *, ready: bool = True) -> FakeAvatar:
        avatar = FakeAvatar(self.redis, session, epoch, speed=1.0, alive_s=0.5)
        await avatar.start(ready=ready)
        self.stack.push_async_callback(avatar.die)
        return avatar

    async def visitor(self, session: str, room_name: str) -> Visitor:
        token = (
            api.AccessToken(self.livekit.api_key, self.livekit.api_secret)
            .with_identity(visitor_identity(session))
            .with_ttl(timedelta(minutes=5))
            .with_grants(api.VideoGrants(room_join=True, room=room_name))
            .to_jwt()
        )
        room = rtc.Room()
        visitor = Visitor(room, rtc.AudioSource(24_000, 1, queue_size_ms=100))

        @room.on("data_received")
        def _keep(packet: rtc.DataPacket) -> None:
            if packet.topic == EVENTS_TOPIC:
                visitor.events.append(packet.data.decode())

        @room.on("track_subscribed")
        def _hear(track: rtc.Track, _: object, participant: rtc.RemoteParticipant) -> None:
            if participant.identity == agent_identity(session):
                visitor.listen(track)

        room.register_text_stream_handler("lk.transcription", lambda *_: None)
        await room.connect(self.livekit.url, token)
        track = rtc.LocalAudioTrack.create_audio_track("microphone", visitor.source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await room.local_participant.publish_track(track, options)
        self.stack.push_async_callback(visitor.aclose)
        return visitor

    async def command(self, session: str, command: CommandMessage) -> None:
        await self.redis.xadd(commands_key(session), encode(command))


StartWorker = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
async def world(redis_url: str, livekit: LiveKitAddress) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        redis = connect(redis_url)
        stack.push_async_callback(redis.aclose)
        platform = FakePlatform()
        await platform.start()
        stack.push_async_callback(platform.aclose)
        lk = api.LiveKitAPI(livekit.url, livekit.api_key, livekit.api_secret)
        stack.push_async_callback(lk.aclose)
        yield World(livekit, redis, platform, lk, stack)


@pytest.fixture
async def start_worker(world: World, redis_url: str, tmp_path: Path) -> AsyncIterator[StartWorker]:
    """Starts `python -m agent_worker` and waits until it takes conversations."""
    processes: list[asyncio.subprocess.Process] = []

    async def start(**variables: str) -> asyncio.subprocess.Process:
        port = free_port(0)
        log = (tmp_path / "worker.log").open("wb")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "agent_worker",
            stderr=log,
            env={
                **os.environ,
                "REDIS_URL": redis_url,
                "PLATFORM_URL": world.platform.url,
                "WORKER_TOKEN": TOKEN,
                "LIVEKIT_URL": world.livekit.url,
                "LIVEKIT_API_KEY": world.livekit.api_key,
                "LIVEKIT_API_SECRET": world.livekit.api_secret,
                "AGENT_HEALTH_PORT": str(port),
                "AGENT_PROVIDER": "offline",
                "AGENT_VOICE": "piper:joe",
                "AVATAR_CACHE_DIR": str(CACHE / "test-speech"),
                "OMP_NUM_THREADS": "1",
                **variables,
            },
        )
        processes.append(process)

        async def healthy() -> bool:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return False
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            status = await reader.readline()
            writer.close()
            return b"200" in status

        async with asyncio.timeout(60):
            while not await healthy():
                assert process.returncode is None, (tmp_path / "worker.log").read_text()[-3000:]
                await asyncio.sleep(0.1)
        return process

    yield start
    for process in processes:
        if process.returncode is None:
            process.kill()
            await process.wait()


__all__ = ["World", "until"]
