"""LiveKit's two tracks as seen from our side: one that ticks, one that shows.

The audio source behaves as the real one was seen to: each 10 ms it takes 10 ms from its queue, and
nothing when there is less; `push` returns when no more than the queue's size is left.
"""

import asyncio
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from avatar_worker.drawing import Picture
from avatar_worker.engines.base import FrameRequest

TICK = 240


@dataclass
class FakeTracks:
    """`left`: what was taken at which time; `shown`: which picture at which time."""

    queue_ms: int = 100
    phase_s: float = 0.0037
    wake_late_s: float = 0.0004
    left: list[tuple[float, NDArray[np.int16]]] = field(default_factory=list)
    shown: list[tuple[float, FrameRequest]] = field(default_factory=list)
    clears: list[float] = field(default_factory=list)
    missed: int = 0
    _queue: NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, np.int16))
    _waiting: "asyncio.Future[None] | None" = None

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._next = loop.time() + self.phase_s
        loop.call_at(self._next, self._tick)

    async def push(self, pcm: bytes) -> None:
        assert self._waiting is None, "one push at a time"
        self._queue = np.concatenate([self._queue, np.frombuffer(pcm, "<i2")])
        assert len(self._queue) <= 2 * self.queue_ms * 24, "the real one would refuse this"
        if len(self._queue) > self.queue_ms * 24:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
            self._waiting = None
            await asyncio.sleep(self.wake_late_s)

    def clear(self) -> None:
        self._queue = np.zeros(0, np.int16)
        self.clears.append(asyncio.get_running_loop().time())

    def show(self, picture: Picture) -> None:
        self.shown.append((asyncio.get_running_loop().time(), picture.request))

    def sound(self) -> NDArray[np.int16]:
        """Everything that left, in order."""
        return np.concatenate([piece for _, piece in self.left] or [np.zeros(0, np.int16)])

    def speech_times(self) -> list[float]:
        """When each sample of speech (not 0) left, in order."""
        return [at + i / 24_000 for at, piece in self.left for i in np.flatnonzero(piece).tolist()]

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        if len(self._queue) >= TICK:
            self.left.append((loop.time(), self._queue[:TICK]))
            self._queue = self._queue[TICK:]
        else:
            self.missed += 1
        if self._waiting and not self._waiting.done() and len(self._queue) <= self.queue_ms * 24:
            self._waiting.set_result(None)
        self._next += 0.010
        loop.call_at(self._next, self._tick)
