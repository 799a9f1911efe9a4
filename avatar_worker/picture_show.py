"""Each picture at its time: the slots of a session on the sound clock.

The grid says at which media sample a slot begins. Speech moves it, because sound must not wait for
the next idle picture's turn: its first slot begins with its first sample.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass

from avatar_contracts.audio import FRAME_SAMPLES
from avatar_worker import observability as metrics
from avatar_worker.drawing import LATE_MAX_S, LATE_S, MIN_SPACING_S, Drawing, Picture
from avatar_worker.sound_clock import SoundClock


async def sleep_until(when: float, news: asyncio.Event) -> None:
    """Until the loop's time is `when` or there is news."""
    handle = asyncio.get_running_loop().call_at(when, news.set)
    try:
        await news.wait()
    finally:
        handle.cancel()


@dataclass(slots=True)
class ShowCounts:
    """Pictures of one session since it began."""

    shown: int = 0
    late: int = 0
    repeated: int = 0


class PictureShow:
    """Shows what a `Drawing` has ready, on the loop. Only `time_of_slot` is for any thread."""

    def __init__(self, clock: SoundClock) -> None:
        self.counts = ShowCounts()
        self.last_shown_s = -1.0
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._grid: tuple[tuple[int, int], ...] = ()
        self._next_slot = 0

    def time_of_slot(self, slot: int) -> float:
        """When the slot is to be shown, as things are; infinity before the show has begun."""
        grid = self._grid  # replaced as a whole, so that the render thread sees one state
        if not grid:
            return math.inf
        slot0, media0 = next((entry for entry in reversed(grid) if entry[0] <= slot), grid[0])
        return self._clock.time_of(media0 + (slot - slot0) * FRAME_SAMPLES)

    def begin_at(self, slot: int, media: int) -> None:
        """From this slot on the grid begins at this media sample."""
        self._grid = (*(entry for entry in self._grid[-3:] if entry[0] < slot), (slot, media))
        self._news.set()

    def resume_idle(self, now: float) -> None:
        """What was held back for speech is not coming: idle pictures go on from now."""
        if self._grid and self.time_of_slot(self._next_slot) < now:
            self.begin_at(self._next_slot, self._clock.left(now))
        self._news.set()

    def wake(self) -> None:
        """A picture has become ready."""
        self._news.set()

    async def run(self, drawing: Drawing, show: Callable[[Picture], None]) -> None:
        """Until cancelled. `show` gets each picture when its first sample leaves."""
        while True:
            self._news.clear()
            now = self._loop.time()
            self._leave_out_crowded(drawing)
            slot = self._next_slot
            due = self.time_of_slot(slot)
            if drawing.is_waiting_for_start(slot):
                await self._news.wait()
            elif now < due:
                await sleep_until(due, self._news)
            elif (picture := drawing.take(slot)) is not None:
                show(picture)
                self._count(now, due)
                self._next_slot = slot + 1
            elif now < due + LATE_MAX_S:
                await sleep_until(due + LATE_MAX_S, self._news)
            else:  # the picture before stays
                self.counts.repeated += 1
                metrics.REPEATED.inc()
                self._next_slot = slot + 1
                drawing.pass_over(self._next_slot)

    def _leave_out_crowded(self, drawing: Drawing) -> None:
        """Idle slots that would be shown right before speech, or after it, give way."""
        slot0, _ = self._grid[-1]
        if slot0 > self._next_slot:
            latest = self.time_of_slot(slot0) - MIN_SPACING_S
            while self._next_slot < slot0 and self.time_of_slot(self._next_slot) > latest:
                self._next_slot += 1
            drawing.pass_over(self._next_slot)

    def _count(self, now: float, due: float) -> None:
        self.counts.shown += 1
        self.last_shown_s = now
        metrics.FRAMES.inc()
        if now - due > LATE_S:
            self.counts.late += 1
            metrics.LATE.inc()
