"""One session's pictures, drawn ahead of their time.

Pictures live in *slots*, 40 ms each, counted from the session's first. The event loop says what
there is to hear, shows the picture of each slot at its time and clears; the render thread asks for
the next thing to do (`offer`), does it and brings the result (`accept`).

    segments   heard, not yet drawn to their end; the first one is next
    run        a stretch of slots given to the first segment: slot `slot0` shows frame `frame0`
    ready      pictures drawn and not yet shown

A segment gets its run when its first picture can be drawn. Until the playout has started it, its
slots have no fixed time and nothing is skipped; after that a picture that cannot be in time is not
drawn at all, so that a slow renderer shows fewer pictures instead of late ones.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from avatar_contracts.audio import CHUNK_SAMPLES, FRAME_SAMPLES, VIDEO_FPS
from avatar_worker.engines.base import Engine, Face, FrameRequest, Hearing, Samples
from avatar_worker.observability import SKIPPED

FRAME_S: Final = 1 / VIDEO_FPS
AHEAD_FRAMES: Final = 8
"""Speech pictures drawn ahead at most: 320 ms of cushion, 3 MB at 512²."""
IDLE_AHEAD_FRAMES: Final = 2
"""Idle pictures drawn ahead: few, since speech throws them away."""
FADE_IN_FRAMES: Final = 3
FADE_OUT_FRAMES: Final = 4
"""The mouth is closed in the fourth picture after the sound has ended or was cleared."""
LATE_MAX_S: Final = 0.020
"""A picture later than this is not shown: sound and picture never part by more than 20 ms."""
LATE_S: Final = 0.005
"""Later than this counts as late (and is still shown); what would be later is not drawn."""
MIN_SPACING_S: Final = 0.020
"""Two pictures are at least this far apart, also where speech moves the grid."""
_LISTEN_FIRST_SAMPLES: Final = 4 * CHUNK_SAMPLES
"""Heard at a time before the first picture: enough for it with its look-ahead."""
_LISTEN_SAMPLES: Final = CHUNK_SAMPLES
"""Heard at a time afterwards: two pictures' worth, short beside a frame, so that nobody who is due
in between has to wait."""
_LISTEN_AHEAD_FRAMES: Final = 2 * AHEAD_FRAMES
_COST_SMOOTHING: Final = 0.2


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn slot, ready for the video track. I420, [3/2 height, width]"""

    request: FrameRequest
    i420: NDArray[np.uint8]

    @property
    def slot(self) -> int:
        return self.request.slot


@dataclass(slots=True)
class HeardSegment:
    """What a segment sounds like so far. `frame0`: the first frame of its next run."""

    number: int
    hearing: Hearing
    unheard: deque[Samples] = field(default_factory=deque)
    frame0: int = 0
    is_ended: bool = False
    is_finished: bool = False
    samples: int = 0

    def take(self, limit: int) -> Samples | None:
        """Up to about `limit` samples to listen to next."""
        pieces, length = [], 0
        while self.unheard and length < limit:
            pieces.append(self.unheard.popleft())
            length += len(pieces[-1])
        return np.concatenate(pieces) if pieces else None

    @property
    def length_frames(self) -> int | None:
        """Known once everything of the segment has arrived."""
        return -(-self.samples // FRAME_SAMPLES) if self.is_ended else None


@dataclass(slots=True)
class Run:
    """Slots given to a segment. `is_started`: its sound runs, so its slots have times."""

    segment: HeardSegment
    slot0: int
    frame0: int
    is_started: bool = False

    def frame_of(self, slot: int) -> int:
        return self.frame0 + slot - self.slot0


@dataclass(frozen=True, slots=True)
class Offer:
    """What a session would like the render thread to do: listen to its segment, or draw a picture.

    Not before `at`; `deadline` is when it is needed.
    """

    drawing: "Drawing"
    at: float
    deadline: float
    listen_to: HeardSegment | None = None
    request: FrameRequest | None = None
    generation: int = 0


class Drawing:
    """Thread-safe: the loop and the render thread meet here, behind one lock that is held shortly.

    `time_of_slot` tells when a slot is shown (its grid is the playout's); `on_ready` is called on
    the render thread whenever a picture has become ready; `wake` when there may be work to do.
    """

    def __init__(
        self,
        engine: Engine,
        face: Face,
        *,
        time_of_slot: Callable[[int], float],
        on_ready: Callable[[], None],
        wake: Callable[[], None],
    ) -> None:
        self.engine = engine
        self.face = face
        self.failure: Exception | None = None
        self.skipped = 0
        self.drawn = 0
        self.cost_s = 0.0
        self._time_of_slot = time_of_slot
        self._on_ready = on_ready
        self._wake = wake
        self._lock = threading.Lock()
        self._segments: deque[HeardSegment] = deque()
        self._run: Run | None = None
        self._following: Run | None = None
        self._ready: dict[int, Picture] = {}
        self._next_draw = 0
        self._next_show = 0
        self._mouth = FrameRequest(-1)  # of the picture drawn last
        self._shown = FrameRequest(-1)
        self._generation = 0

    # --- from the event loop ------------------------------------------------------------------

    def hear(self, number: int, samples: Samples) -> None:
        """More sound of a segment. Segments come in rising order."""
        with self._lock:
            segment = self._find(number)
            if segment is None:
                segment = HeardSegment(number, self.face.listen())
                self._segments.append(segment)
            segment.unheard.append(samples)
            segment.samples += len(samples)
        self._wake()

    def end(self, number: int) -> None:
        """All of the segment has been heard."""
        with self._lock:
            if segment := self._find(number):
                segment.is_ended = True
        self._wake()

    def clear(self, up_to: int) -> None:
        """Forget these segments and their pictures; the mouth closes from what was shown last."""
        with self._lock:
            while self._segments and self._segments[0].number <= up_to:
                self._segments.popleft()
            self._generation += 1
            if self._run and self._run.segment.number <= up_to:
                self._run = None
                self._redraw_from(self._next_show)
            elif self._following and self._following.segment.number <= up_to:
                self._redraw_from(max(self._next_show, self._following.slot0))
            self._following = None
        self._wake()

    def pause(self, number: int, frame: int) -> None:
        """The sound ran out at this frame: idle until the segment can go on from there."""
        with self._lock:
            if (segment := self._find(number)) is not None:
                segment.frame0 = frame
            if self._run and self._run.segment.number == number:
                self._run = None
        self._wake()

    def prospect(self, number: int, frame: int) -> int | None:
        """How many pictures are certain from this frame on; None while the first is not ready."""
        with self._lock:
            run = self._run_of(number)
            if run is None or run.is_started or run.frame0 != frame:
                return None
            if run.slot0 not in self._ready:
                return None
            return run.segment.hearing.frames - frame

    def start(self, number: int, frame: int, now: float) -> int:
        """The sound of this frame leaves now: the slot that shows it, drawn or not."""
        with self._lock:
            run = self._run_of(number)
            if run is None or run.frame0 != frame:
                segment = self._find(number)
                if segment is None:
                    raise ValueError(f"segment {number} has not been heard")
                segment.frame0 = frame
                run = self._begin(segment, now)
            run.is_started = True
            slot0 = run.slot0
        self._wake()
        return slot0

    def is_waiting_for_start(self, slot: int) -> bool:
        """The slot belongs to speech whose sound has not begun: it is not due yet."""
        with self._lock:
            for run in (self._run, self._following):
                if run is not None and not run.is_started and slot >= run.slot0:
                    return True
            return False

    @property
    def ready(self) -> int:
        """Pictures drawn and waiting to be shown."""
        return len(self._ready)

    def take(self, slot: int) -> Picture | None:
        """The picture of this slot, if it is ready; it is then shown."""
        with self._lock:
            picture = self._ready.pop(slot, None)
            if picture is None:
                return None
            self._shown = picture.request
            self._advance_show(slot + 1)
        self._wake()
        return picture

    def pass_over(self, slot: int) -> None:
        """Slots before this one are over, shown or not."""
        with self._lock:
            self._advance_show(slot)
        self._wake()

    # --- from the render thread ---------------------------------------------------------------

    def offer(self, now: float, *, may_listen: bool = True) -> Offer | None:
        """The next thing worth doing, None when there is nothing until something happens.

        `may_listen` is false while somebody still does what was offered before.
        """
        with self._lock:
            if self.failure is not None:
                return None
            self._advance_run(now)
            listening = self._offer_listening(now) if may_listen else None
            return listening or self._offer_picture(now)

    def listen(self, segment: HeardSegment) -> None:
        """Let the segment's sound become pictures' worth of features."""
        with self._lock:
            is_first = segment.hearing.frames == 0
            samples = segment.take(_LISTEN_FIRST_SAMPLES if is_first else _LISTEN_SAMPLES)
            finish = segment.is_ended and not segment.unheard
        if samples is not None:
            segment.hearing.push(samples)
        if finish and not segment.is_finished:
            segment.hearing.finish()
            segment.is_finished = True

    def accept(self, offer: Offer, picture: Picture, took_s: float) -> None:
        """A picture was drawn. It is dropped when a clear came in between."""
        with self._lock:
            self.drawn += 1
            self.cost_s += (took_s - self.cost_s) * (_COST_SMOOTHING if self.cost_s else 1.0)
            if offer.generation != self._generation or picture.slot < self._next_show:
                return
            self._ready[picture.slot] = picture
            self._mouth = picture.request
            self._next_draw = picture.slot + 1
        self._on_ready()

    def fail(self, error: Exception) -> None:
        """The engine gave up on this session."""
        self.failure = error
        self._on_ready()

    # --- behind the lock ----------------------------------------------------------------------

    def _find(self, number: int) -> HeardSegment | None:
        return next((s for s in self._segments if s.number == number), None)

    def _run_of(self, number: int) -> Run | None:
        for run in (self._run, self._following):
            if run is not None and run.segment.number == number:
                return run
        return None

    def _advance_show(self, slot: int) -> None:
        self._next_show = max(self._next_show, slot)
        self._next_draw = max(self._next_draw, self._next_show)
        for passed in [s for s in self._ready if s < self._next_show]:
            del self._ready[passed]

    def _redraw_from(self, slot: int) -> None:
        """Throw away drawn pictures from this slot on; the mouth goes on from the one before."""
        before = [p.request for s, p in sorted(self._ready.items()) if s < slot]
        self._ready = {s: p for s, p in self._ready.items() if s < slot}
        self._mouth = before[-1] if before else self._shown
        self._next_draw = slot
        self._generation += 1

    def _begin(self, segment: HeardSegment, now: float) -> Run:
        """Give the segment its slots: the first that would be shown after its picture is there."""
        while self._segments and self._segments[0] is not segment:
            self._segments.popleft()
        earliest_s = now + self.cost_s - MIN_SPACING_S
        slot = self._next_show
        while slot < self._next_draw and self._time_of_slot(slot) <= earliest_s:
            slot += 1
        self._redraw_from(slot)
        self._following = None
        self._run = Run(segment, slot, segment.frame0)
        return self._run

    def _advance_run(self, now: float) -> None:
        """Let a run end, and the next segment begin: right behind it when it is known in time."""
        run = self._run
        if self._following is not None and self._next_show >= self._following.slot0:
            self._run = run = self._following
            self._following = None
        if run is not None and self._following is None:
            length = run.segment.length_frames
            if length is not None and run.frame_of(self._next_draw) >= length:
                self._drop(run.segment)
                following = self._segments[0] if self._segments else None
                if following is not None and following.hearing.frames > 0:
                    self._following = Run(following, self._next_draw, 0)
                elif run.frame_of(self._next_show) >= length:
                    self._run = run = None
        if run is None and self._segments:
            segment = self._segments[0]
            if segment.hearing.frames > segment.frame0:
                self._begin(segment, now)

    def _drop(self, segment: HeardSegment) -> None:
        if self._segments and self._segments[0] is segment:
            self._segments.popleft()

    def _run_at(self, slot: int) -> Run | None:
        if self._following is not None and slot >= self._following.slot0:
            return self._following
        run = self._run
        if run is None or slot < run.slot0:
            return None
        length = run.segment.length_frames
        return run if length is None or run.frame_of(slot) < length else None

    def _offer_listening(self, now: float) -> Offer | None:
        """The first two segments are heard as far as pictures will be drawn soon."""
        for segment in list(self._segments)[:2]:
            if not segment.unheard and (segment.is_finished or not segment.is_ended):
                continue
            run = self._run_of(segment.number)
            drawn = segment.frame0 if run is None else max(0, run.frame_of(self._next_draw))
            if segment.hearing.frames >= drawn + _LISTEN_AHEAD_FRAMES:
                return None
            deadline = self._needed_at(segment, segment.hearing.frames, now) - self.cost_s
            picture = self._offer_picture(now)
            if picture is not None and picture.at <= now and picture.deadline < deadline:
                return picture
            return Offer(self, now, deadline, listen_to=segment)
        return None

    def _offer_picture(self, now: float) -> Offer | None:
        run = self._run_at(self._next_draw)
        if run is None or run.is_started:
            self._skip_what_is_too_late(now)
            run = self._run_at(self._next_draw)
        slot = self._next_draw
        # Pictures, not slots: a renderer slower than a slot still draws one after the other.
        ahead = len(self._ready)
        if run is None:
            if ahead >= IDLE_AHEAD_FRAMES:
                return None
            # the very first picture is what a visitor waits for
            deadline = self._time_of_slot(slot) if self.drawn else now
            return self._picture(slot, self._closing(slot), now, deadline)
        if ahead >= AHEAD_FRAMES:
            return None
        frame = run.frame_of(slot)
        deadline = self._needed_at(run.segment, frame, now)
        if frame < run.segment.hearing.frames:
            weight = min(1.0, self._mouth.weight + 1 / FADE_IN_FRAMES)
            request = FrameRequest(slot, run.segment.hearing, frame, weight, is_sounding=True)
            return self._picture(slot, request, now, deadline)
        if not run.is_started:
            return None
        # the sound goes on but what follows it is not known: close the mouth at the last moment
        return self._picture(slot, self._closing(slot), deadline - self.cost_s - 0.01, deadline)

    def _needed_at(self, segment: HeardSegment, frame: int, now: float) -> float:
        """When a frame is shown. What has no time yet is needed as if its sound began now, unless
        it follows sound that runs: then it has to wait for that anyway."""
        run, playing = self._run_of(segment.number), self._run
        if run is not None and run.is_started:
            return self._time_of_slot(run.slot0 + frame - run.frame0)
        if playing is not None and playing is not run and playing.is_started:
            length = playing.segment.length_frames
            if length is not None:
                return self._time_of_slot(playing.slot0 + length - playing.frame0 + frame)
        return now + (frame - segment.frame0) * FRAME_S

    def _picture(self, slot: int, request: FrameRequest, at: float, deadline: float) -> Offer:
        return Offer(self, at, deadline, request=request, generation=self._generation)

    def _closing(self, slot: int) -> FrameRequest:
        """An idle picture; after speech the mouth closes in a few steps."""
        mouth = self._mouth
        weight = mouth.weight - 1 / FADE_OUT_FRAMES
        if mouth.hearing is None or weight <= 1e-6:
            return FrameRequest(slot)
        return FrameRequest(slot, mouth.hearing, mouth.frame, weight)

    def _skip_what_is_too_late(self, now: float) -> None:
        """Slots that could not be ready in time are left out (the picture before stays)."""
        soonest = now + self.cost_s - LATE_S
        while self._time_of_slot(self._next_draw) < soonest:
            self._next_draw += 1
            self.skipped += 1
            SKIPPED.inc()
