"""Sound and pictures leaving in step, and what was heard.

Sound is handed to LiveKit 60–100 ms ahead, silence included, so that it never stutters; the sound
clock says when each sample leaves, and a picture is shown when the first sample of its 40 ms does.

    waiting ──first picture ready, or waited long enough──► playing ──all pushed──► leaving ──► told
       ▲                                                       │
       └──────────── the sound ran out before the end ─────────┘

Speech does not queue behind silence: the silence is cut. A clear cuts whatever is queued.
Everything here runs on the event loop; times are the loop's.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from avatar_contracts.audio import BYTES_PER_SAMPLE, FRAME_SAMPLES, samples_to_seconds
from avatar_contracts.messages import (
    PlayoutAlive,
    PlayoutFinished,
    PlayoutMessage,
    PlayoutReady,
    PlayoutStarted,
)
from avatar_worker import observability as metrics
from avatar_worker.drawing import MIN_SPACING_S, Drawing, Picture
from avatar_worker.picture_show import PictureShow, sleep_until
from avatar_worker.sound_clock import TICK_SAMPLES, SoundClock
from avatar_worker.timeline import Timeline

SOUND_QUEUE_MS: Final = 100
"""LiveKit's queue: what protects the sound from a busy event loop."""
QUEUE_SAMPLES: Final = SOUND_QUEUE_MS // 10 * TICK_SAMPLES
TOP_UP_SAMPLES: Final = QUEUE_SAMPLES - FRAME_SAMPLES
"""At this level one more frame fits without waiting."""
PROBE_LEVEL_SAMPLES: Final = QUEUE_SAMPLES - TICK_SAMPLES
"""At this level one more frame has to wait, and its return reads the clock."""
FLOOR_SAMPLES: Final = 3 * TICK_SAMPLES
"""Speech that has run out is waited for until so little is queued; then silence is pushed."""
START_WAIT_MAX_S: Final = 0.6
"""Sound does not wait longer than this for its first picture."""
START_FRAMES: Final = 2
"""Pictures that must be certain before sound starts; after running out, twice as many."""
ALIVE_INTERVAL_S: Final = 0.5
_PROBE_INTERVAL_S: Final = 2.0
_PROBES_AFTER_CUT: Final = 3
_FRAME_BYTES: Final = FRAME_SAMPLES * BYTES_PER_SAMPLE
_SILENT_FRAME: Final = bytes(_FRAME_BYTES)


class Outlet(Protocol):
    """The two tracks. `publisher.py` has the real one."""

    async def push(self, pcm: bytes) -> None:
        """Queue sound; returns when at most `SOUND_QUEUE_MS` are queued. One call at a time."""

    def clear(self) -> None:
        """Throw the queued sound away, now."""

    def show(self, picture: Picture) -> None:
        """Show this picture from now on."""


@dataclass(slots=True)
class Segment:
    """One utterance on its way out. `pcm` holds what is not pushed yet."""

    number: int
    first_read_s: float
    pcm: bytearray = field(default_factory=bytearray)
    is_ended: bool = False
    is_broken: bool = False
    is_started: bool = False
    pushed_frames: int = 0

    @property
    def has_frame(self) -> bool:
        """40 ms are there, or the rest of a segment that has ended."""
        return len(self.pcm) >= _FRAME_BYTES or (self.is_ended and bool(self.pcm))

    def next_frame(self) -> bytes:
        """The next 40 ms; the last ones may be fewer."""
        frame = bytes(self.pcm[:_FRAME_BYTES])
        del self.pcm[:_FRAME_BYTES]
        return frame


@dataclass(slots=True)
class SoundCounts:
    """Sound of one session since it began."""

    starved: int = 0
    underruns: int = 0
    start_latency_s: float | None = None


class Playout:
    """One session's way out. The inbox feeds it; `run` works until it is cancelled."""

    def __init__(self, outlet: Outlet, report: Callable[[PlayoutMessage], None]) -> None:
        self.counts = SoundCounts()
        self._loop = asyncio.get_running_loop()
        self._clock = SoundClock(self._loop.time())
        self.pictures = PictureShow(self._clock)
        self._outlet = outlet
        self._report = report
        self._timeline = Timeline()
        self._waiting: deque[Segment] = deque()  # the first one may be playing
        self._leaving: deque[Segment] = deque()  # pushed to their end, not yet heard to it
        self._last_number = 0
        self._is_playing = False
        self._has_starved = False
        self._wait_began_s: float | None = None
        self._probes = _PROBES_AFTER_CUT
        self._probed_s = 0.0
        self._cuts = 0
        self._cut_s = 0.0
        self._feeder_news = asyncio.Event()
        self._teller_news = asyncio.Event()
        self._drawing: Drawing | None = None

    def attach(self, drawing: Drawing) -> None:
        """The pictures to show; once, before anything else."""
        self._drawing = drawing

    async def run(self) -> None:
        """Until cancelled. Call it when the first picture is ready."""
        self._cut_s = self._loop.time()
        self._clock.start(self._cut_s)
        self.pictures.begin_at(0, 0)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._feed(), name="feed")
            tasks.create_task(self.pictures.run(self.drawing, self._show), name="show")
            tasks.create_task(self._tell(), name="tell")

    # --- what the inbox says ------------------------------------------------------------------

    def chunk(self, number: int, pcm: bytes) -> None:
        """More sound of a segment, the open one or a newer one. Stale segments are ignored."""
        segment = self._open(number)
        if segment is None or segment.is_ended:
            return
        segment.pcm += pcm
        self.drawing.hear(number, np.frombuffer(pcm, "<i2").astype(np.float32) / 32768.0)
        self._feeder_news.set()

    def flush(self, number: int) -> None:
        """The segment is complete."""
        if (segment := self._open(number)) is not None:
            self._end(segment)

    def break_off(self, number: int) -> None:
        """The rest of the segment is lost: it ends here, as interrupted."""
        segment = self._open(number)
        if segment is not None and not segment.is_ended:
            segment.is_broken = True
            self._end(segment)

    def clear(self, up_to: int) -> None:
        """Forget these segments and everything before, now. May come at any time, and twice."""
        now = self._loop.time()
        left = self._clock.left(now)
        gone = [s for s in (*self._leaving, *self._waiting) if s.number <= up_to]
        if up_to > self._last_number:  # cleared before any of its sound was read
            self._last_number = up_to
            gone.append(Segment(up_to, now))
        if not gone:
            return
        heard = {s.number: self._timeline.heard(s.number, left) for s in gone}
        self._cut(left)
        if self._waiting and self._waiting[0].number <= up_to:
            self._is_playing = self._has_starved = False
            self._wait_began_s = None
        self._leaving = deque(s for s in self._leaving if s.number > up_to)
        self._waiting = deque(s for s in self._waiting if s.number > up_to)
        self.drawing.clear(up_to)
        self.pictures.resume_idle(now)
        for segment in gone:
            self._finish(segment, heard[segment.number], interrupted=True)
        metrics.CLEAR_SECONDS.observe(self._loop.time() - now)
        self._feeder_news.set()

    def close(self) -> None:
        """The session is over: every open segment ends where it is."""
        if numbers := [s.number for s in (*self._leaving, *self._waiting)]:
            self.clear(max(numbers))

    # --- what others ask ----------------------------------------------------------------------

    @property
    def drawing(self) -> Drawing:
        if self._drawing is None:
            raise RuntimeError("no drawing is attached")
        return self._drawing

    @property
    def is_speaking(self) -> bool:
        return self._is_playing or bool(self._leaving)

    @property
    def queued_s(self) -> float:
        """Speech received and not yet pushed."""
        return samples_to_seconds(sum(len(s.pcm) for s in self._waiting) // BYTES_PER_SAMPLE)

    def picture_ready(self) -> None:
        """A picture has become ready. On the loop."""
        self._feeder_news.set()
        self.pictures.wake()

    # --- segments -----------------------------------------------------------------------------

    def _open(self, number: int) -> Segment | None:
        """The segment of this number, new when it is newer than all; None when it is over."""
        if number > self._last_number:
            for older in self._waiting:  # a new segment ends those before it
                self._end(older)
            self._last_number = number
            self._waiting.append(Segment(number, self._loop.time()))
        return next((s for s in self._waiting if s.number == number), None)

    def _end(self, segment: Segment) -> None:
        if not segment.is_ended:
            segment.is_ended = True
            self.drawing.end(segment.number)
            self._feeder_news.set()

    def _leave(self) -> None:
        """The first segment is pushed to its end."""
        self._leaving.append(self._waiting.popleft())
        self._is_playing = self._has_starved = False
        self._wait_began_s = None
        self._teller_news.set()

    def _finish(self, segment: Segment, heard: int, *, interrupted: bool) -> None:
        self._timeline.close(segment.number)
        self._report(PlayoutFinished(segment.number, samples_to_seconds(heard), interrupted))
        metrics.SEGMENTS.labels(str(interrupted).lower()).inc()

    # --- sound --------------------------------------------------------------------------------

    async def _feed(self) -> None:
        """Keep the queue filled: with speech when some may leave, else with silence."""
        while True:
            self._feeder_news.clear()
            now = self._loop.time()
            self._notice_underrun(now)
            while self._waiting and self._waiting[0].is_ended and not self._waiting[0].pcm:
                self._leave()
            if not self._is_playing and self._may_start(now):
                self._start(now)
            lead = self._timeline.pushed - self._clock.left(now)
            level = self._top_up_level(now)
            if lead <= level and self._is_playing and self._waiting[0].has_frame:
                await self._push(self._next_speech(), now)
            elif lead <= (FLOOR_SAMPLES if self._is_playing else level):
                if self._is_playing:
                    self._starve()
                self._timeline.push_silence(FRAME_SAMPLES)
                await self._push(_SILENT_FRAME, now)
            else:
                await sleep_until(self._next_feeding(now, level), self._feeder_news)

    def _top_up_level(self, now: float) -> int:
        """Normally such that nothing has to wait; now and then higher, to read the clock."""
        is_probing = self._probes > 0 or now - self._probed_s > _PROBE_INTERVAL_S
        return PROBE_LEVEL_SAMPLES if is_probing else TOP_UP_SAMPLES

    def _next_feeding(self, now: float, level: int) -> float:
        if self._is_playing and not self._waiting[0].has_frame:
            level = FLOOR_SAMPLES
        due = self._clock.time_of(self._timeline.pushed - level)
        if not self._is_playing and self._wait_began_s is not None:
            due = min(due, self._wait_began_s + START_WAIT_MAX_S)
            if (spaced := self.pictures.last_shown_s + MIN_SPACING_S) > now:
                due = min(due, spaced)
        return max(due, now + 0.001)

    def _may_start(self, now: float) -> bool:
        """The first waiting segment has sound, and its first picture is ready or overdue."""
        if not self._waiting or not self._waiting[0].has_frame:
            return False
        segment = self._waiting[0]
        if self._wait_began_s is None:
            self._wait_began_s = now
        if now >= self._wait_began_s + START_WAIT_MAX_S:
            return True
        prospect = self.drawing.prospect(segment.number, segment.pushed_frames)
        if prospect is None or now < self.pictures.last_shown_s + MIN_SPACING_S:
            return False
        return segment.is_ended or prospect >= START_FRAMES * (2 if self._has_starved else 1)

    def _start(self, now: float) -> None:
        """From here on the segment's sound goes out, and its first slot is shown with it."""
        segment = self._waiting[0]
        left = self._clock.left(now)
        if self._timeline.speech_end <= left:
            self._cut(left)
        slot0 = self.drawing.start(segment.number, segment.pushed_frames, now)
        self.pictures.begin_at(slot0, self._timeline.pushed)
        self._is_playing = True
        self._wait_began_s = None
        if segment.pushed_frames == 0:
            self.counts.start_latency_s = now - segment.first_read_s
            metrics.START_SECONDS.observe(self.counts.start_latency_s)

    def _starve(self) -> None:
        """The playing segment has run out of sound before its end."""
        segment = self._waiting[0]
        self._is_playing = False
        self._has_starved = True
        self._wait_began_s = None
        self.drawing.pause(segment.number, segment.pushed_frames)
        self.counts.starved += 1
        metrics.STARVED.inc()

    def _next_speech(self) -> bytes:
        """The next 40 ms of the playing segment, padded with zeros."""
        segment = self._waiting[0]
        frame = segment.next_frame()
        self._timeline.push_speech(
            FRAME_SAMPLES,
            segment=segment.number,
            position=segment.pushed_frames * FRAME_SAMPLES,
            speech_samples=len(frame) // BYTES_PER_SAMPLE,
        )
        segment.pushed_frames += 1
        self._teller_news.set()
        return frame.ljust(_FRAME_BYTES, b"\0")

    async def _push(self, pcm: bytes, now: float) -> None:
        """Hand sound over. When the queue is over its size then, the return tells the time."""
        has_to_wait = self._timeline.pushed - self._clock.left(now) > QUEUE_SAMPLES
        cuts = self._cuts
        await self._outlet.push(pcm)
        if has_to_wait and cuts == self._cuts:
            self._probed_s = self._loop.time()
            self._clock.observe(self._probed_s, self._timeline.pushed - QUEUE_SAMPLES)
            self._probes = max(0, self._probes - 1)

    def _cut(self, left: int) -> None:
        """Throw away what is queued and has not left."""
        self._outlet.clear()
        self._timeline.cut(left)
        self._clock.doubt()
        self._cuts += 1
        self._cut_s = self._loop.time()
        self._probes = _PROBES_AFTER_CUT

    def _notice_underrun(self, now: float) -> None:
        """Ticks that found nothing took nothing: the clock moves on without samples."""
        missed = self._clock.left(now) - self._timeline.pushed
        if missed <= 0:
            return
        self._clock.miss(missed)
        self._probes = _PROBES_AFTER_CUT
        if now - self._cut_s > SOUND_QUEUE_MS / 1000:  # right after a cut a tick may come too soon
            self.counts.underruns += 1
            metrics.UNDERRUNS.inc()

    # --- pictures and reports -----------------------------------------------------------------

    def _show(self, picture: Picture) -> None:
        self._outlet.show(picture)
        if self.pictures.counts.shown == 0:
            self._report(PlayoutReady())

    async def _tell(self) -> None:
        """Say when segments start and finish, and twice a second that this avatar lives."""
        next_alive_s = self._loop.time() + ALIVE_INTERVAL_S
        while True:
            self._teller_news.clear()
            now = self._loop.time()
            left = self._clock.left(now)
            due = [next_alive_s, self._tell_started(left), self._tell_finished(left)]
            self._timeline.forget(left)
            if now >= next_alive_s:
                segment = next((s for s in (*self._leaving, *self._waiting) if s.is_started), None)
                number = segment.number if segment else 0
                position = samples_to_seconds(self._timeline.heard(number, left))
                self._report(PlayoutAlive(number, position))
                next_alive_s = due[0] = now + ALIVE_INTERVAL_S
            await sleep_until(min(d for d in due if d is not None), self._teller_news)

    def _tell_started(self, left: int) -> float | None:
        """When the next segment starts, None when that is not known yet."""
        for segment in (*self._leaving, *self._waiting):
            start = self._timeline.start_of(segment.number)
            if segment.is_started or start is None:
                continue
            if start >= left:
                return self._clock.time_of(start)
            segment.is_started = True
            self._report(PlayoutStarted(segment.number))
        return None

    def _tell_finished(self, left: int) -> float | None:
        """When the next segment finishes, None when that is not known yet."""
        while self._leaving:
            segment = self._leaving[0]
            end = self._timeline.end_of(segment.number)
            if end is not None and end > left:
                last_tick = (end - 1) // TICK_SAMPLES
                return self._clock.time_of(last_tick * TICK_SAMPLES)
            self._leaving.popleft()
            heard = self._timeline.heard(segment.number, left)
            self._finish(segment, heard, interrupted=segment.is_broken)
        return None
