"""Writes speech into a session's audio stream as the agent worker does, and notes when."""

import asyncio
import time
from typing import Any, cast

from redis.asyncio import Redis

from avatar_contracts.codec import decode, encode
from avatar_contracts.messages import AudioChunk, ClearBuffer, Flush, PlayoutMessage
from avatar_contracts.streams import audio_key, entry_id, playout_key
from tests.bench.live.pattern import chunks_of


class Producer:
    """Segments in rising order; `sent_at` has the time of each segment's first chunk."""

    def __init__(self, redis: Redis, session: str, epoch: int) -> None:
        self._redis = redis
        self._audio = audio_key(session, epoch)
        self._playout = playout_key(session, epoch)
        self._last = b"0-0"
        self.segment = 0
        self.chunk = 0
        self.sent_at: dict[int, float] = {}
        self.spoken: dict[int, bytes] = {}
        self.cleared: set[int] = set()
        self.played: list[tuple[float, PlayoutMessage]] = []

    async def speak(self, pcm: bytes, *, every_s: float = 0.0, flush: bool = True) -> int:
        """A new segment; `every_s` between chunks (0: a burst)."""
        self.segment += 1
        self.chunk = 0
        await self.more(pcm, every_s=every_s)
        if flush:
            await self.flush()
        return self.segment

    async def more(self, pcm: bytes, *, every_s: float = 0.0) -> None:
        self.spoken[self.segment] = self.spoken.get(self.segment, b"") + pcm
        for piece in chunks_of(pcm):
            self.chunk += 1
            self.sent_at.setdefault(self.segment, time.monotonic())
            await self._add(AudioChunk(self.segment, self.chunk, piece))
            if every_s:
                await asyncio.sleep(every_s)

    async def flush(self) -> None:
        self.chunk += 1
        await self._add(Flush(self.segment, self.chunk))

    async def clear(self) -> float:
        """Returns when it was sent."""
        self.chunk += 1
        self.cleared.add(self.segment)
        at = time.monotonic()
        await self._add(ClearBuffer(self.segment, self.chunk))
        return at

    async def wait_for(self, kind: type, segment: int | None = None, within_s: float = 60) -> float:
        """When the playout stream told this (arrival here)."""
        deadline = time.monotonic() + within_s
        while True:
            for at, message in self.played:
                if isinstance(message, kind) and segment in (None, getattr(message, "segment", 0)):
                    return at
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {kind.__name__} of segment {segment}")
            await self._read()

    async def _read(self) -> None:
        reply: Any = await self._redis.xread({self._playout: self._last}, block=500)
        for entry_id_, entry in reply[0][1] if reply else []:
            self._last = entry_id_
            self.played.append((time.monotonic(), cast("PlayoutMessage", decode(entry))))

    async def _add(self, message: AudioChunk | Flush | ClearBuffer) -> None:
        name = entry_id(message.segment, message.chunk)
        fields: Any = encode(message)
        await self._redis.xadd(self._audio, fields, id=name, maxlen=512, approximate=True)
