"""An avatar worker as the agent sees it: reads the audio stream, plays in its own time, reports.

It follows the contract on the wire (Redis), draws nothing, and can be made to misbehave.
"""

import asyncio
from dataclasses import dataclass, field

from agent_worker.redis_streams import RedisClient, follow
from agent_worker.tasks import end_tasks
from avatar_contracts.audio import BYTES_PER_SAMPLE, SAMPLE_RATE_HZ
from avatar_contracts.codec import encode
from avatar_contracts.messages import (
    AudioChunk,
    ClearBuffer,
    Flush,
    PlayoutAlive,
    PlayoutFinished,
    PlayoutMessage,
    PlayoutReady,
    PlayoutStarted,
)
from avatar_contracts.streams import audio_key, playout_key

TICK_S = 0.005


@dataclass
class HeardSegment:
    """What came of one segment, and how far it was played."""

    received: bytearray = field(default_factory=bytearray)
    played_samples: int = 0
    chunks: list[int] = field(default_factory=list)
    chunk_bytes: list[int] = field(default_factory=list)
    is_flushed: bool = False
    finished: list[bool] = field(default_factory=list)
    """`interrupted` of every finished report; exactly one is right."""

    @property
    def heard(self) -> bytes:
        return bytes(self.received[: self.played_samples * BYTES_PER_SAMPLE])


class FakeAvatar:
    """Plays `speed` times as fast as real time.

    Attributes:
        lose_finished: swallow finished reports, as a bad network would.
        stalled: live on, but play nothing.
    """

    def __init__(
        self,
        redis: RedisClient,
        session: str,
        epoch: int,
        *,
        speed: float = 20.0,
        alive_s: float = 0.05,
    ) -> None:
        self.segments: dict[int, HeardSegment] = {}
        self.clears: list[int] = []
        self.lose_finished = False
        self.stalled = False
        self._redis = redis
        self._audio_key = audio_key(session, epoch)
        self._playout_key = playout_key(session, epoch)
        self._speed = speed
        self._alive_s = alive_s
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, *, ready: bool = True) -> None:
        if ready:
            await self.become_ready()
        self._tasks = [
            asyncio.create_task(work) for work in (self._read(), self._play(), self._live())
        ]

    async def become_ready(self) -> None:
        await self._tell(PlayoutReady())

    async def die(self) -> None:
        """Like `kill -9`: nothing more is read, played or said."""
        await end_tasks(*self._tasks)

    @property
    def open_segment(self) -> int:
        return next((n for n, s in sorted(self.segments.items()) if not s.finished), 0)

    async def _read(self) -> None:
        async for _, message in follow(self._redis, self._audio_key):
            segment = self.segments.setdefault(message.segment, HeardSegment())
            match message:
                case AudioChunk():
                    segment.chunks.append(message.chunk)
                    segment.chunk_bytes.append(len(message.pcm))
                    if not segment.finished:
                        segment.received += message.pcm
                case Flush():
                    segment.is_flushed = True
                case ClearBuffer():
                    self.clears.append(message.segment)
                    for number, cleared in sorted(self.segments.items()):
                        if number <= message.segment and not cleared.finished:
                            await self._finish(number, interrupted=True)

    async def _play(self) -> None:
        loop = asyncio.get_running_loop()
        before = loop.time()
        while True:
            await asyncio.sleep(TICK_S)
            now = loop.time()
            budget = int((now - before) * self._speed * SAMPLE_RATE_HZ)
            before = now
            number = self.open_segment
            if not number or self.stalled:
                continue
            segment = self.segments[number]
            there = len(segment.received) // BYTES_PER_SAMPLE
            if segment.played_samples == 0 and there:
                await self._tell(PlayoutStarted(number))
            segment.played_samples = min(there, segment.played_samples + budget)
            if segment.is_flushed and segment.played_samples == there and not segment.finished:
                await self._finish(number, interrupted=False)

    async def _live(self) -> None:
        while True:
            number = self.open_segment
            position_s = self.segments[number].played_samples / SAMPLE_RATE_HZ if number else 0.0
            await self._tell(PlayoutAlive(number, position_s))
            await asyncio.sleep(self._alive_s)

    async def _finish(self, number: int, *, interrupted: bool) -> None:
        segment = self.segments[number]
        segment.finished.append(interrupted)
        if not self.lose_finished:
            position_s = segment.played_samples / SAMPLE_RATE_HZ
            await self._tell(PlayoutFinished(number, position_s, interrupted))

    async def _tell(self, message: PlayoutMessage) -> None:
        await self._redis.xadd(self._playout_key, encode(message))
