"""One render thread for all sessions: the most urgent first, the broken ones alone."""

import math
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from avatar_contracts.audio import CHUNK_SAMPLES, FRAME_SAMPLES
from avatar_worker.bundle_files import BundleUnreadableError
from avatar_worker.drawing import AHEAD_FRAMES, FRAME_S, IDLE_AHEAD_FRAMES, Drawing
from avatar_worker.engines.base import EngineError, Face, FrameRequest, Rgb, Samples
from avatar_worker.engines.synctalk import SyncTalkEngine, SyncTalkFace, SyncTalkHearing
from avatar_worker.render.painters import KernelPainter
from avatar_worker.render.scene import Scene
from avatar_worker.scheduler import Scheduler
from avatar_worker.trained import open_trained
from tests.fakes.renderer import FakeEngine, FakeFace, FakeHearing
from tests.unit.avatar_worker import mini

pytestmark = pytest.mark.unit


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


LOOK_AHEAD = 6060  # 252.5 ms, the encoder's


class SlowHearing(FakeHearing):
    """Takes its time: 4 ms for the 40 ms of a frame, as the encoder does."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(LOOK_AHEAD)
        self._clock = clock

    def push(self, samples: Samples) -> None:
        super().push(samples)
        self._clock.now += 0.004 * len(samples) / FRAME_SAMPLES


class SlowFace(FakeFace):
    def __init__(self, clock: Clock) -> None:
        super().__init__(LOOK_AHEAD)
        self._clock = clock

    def listen(self) -> FakeHearing:
        self.hearings.append(SlowHearing(self._clock))
        return self.hearings[-1]


class SlowEngine(FakeEngine):
    """Draws one picture at a time, and each takes as long as it says."""

    max_batch = 1

    def __init__(self, clock: Clock, cost_s: float) -> None:
        super().__init__(LOOK_AHEAD)
        self.drawn_by: list[Face] = []
        self._clock = clock
        self._cost_s = cost_s

    def open(self, options: dict[str, object]) -> FakeFace:
        return SlowFace(self._clock)

    def draw(self, wanted: Sequence[tuple[Face, FrameRequest]]) -> list[Rgb]:
        self._clock.now += self._cost_s * len(wanted)
        self.drawn_by += [face for face, _ in wanted]
        return super().draw(wanted)


def session(engine: FakeEngine, scheduler: Scheduler, first_at: float) -> Drawing:
    """A session whose slots begin at `first_at`."""
    drawing = Drawing(
        engine,
        engine.open({}),
        time_of_slot=lambda slot: first_at + slot * FRAME_S,
        on_ready=lambda: None,
        wake=scheduler.wake,
    )
    scheduler.add(drawing)
    return drawing


def pass_time(
    scheduler: Scheduler, clock: Clock, sessions: dict[Drawing, float], seconds: float
) -> None:
    """Let the render loop work; a slot is over when its time has come, shown or not.

    Args:
        sessions: when the first slot of each begins.
    """
    end = clock.now + seconds
    while clock.now < end:
        idle_s = scheduler.step()
        clock.now += min(idle_s, 0.002)
        for drawing, first_at in sessions.items():
            if clock.now > first_at and not drawing.is_waiting_for_start(drawing._next_show):
                drawing.pass_over(math.ceil((clock.now - first_at) / FRAME_S))


def say(drawing: Drawing, number: int, chunks: int) -> None:
    for _ in range(chunks):
        drawing.hear(number, np.zeros(CHUNK_SAMPLES, np.float32))


def begin(drawing: Drawing, number: int, sessions: dict[Drawing, float], clock: Clock) -> None:
    """The sound of a segment leaves now: speech moves the grid of its session's slots."""
    sessions[drawing] = clock.now - drawing.start(number, 0, clock.now) * FRAME_S
    drawing._time_of_slot = lambda slot: sessions[drawing] + slot * FRAME_S


def test_sessions_of_one_character_are_drawn_together_and_others_by_deadline() -> None:
    clock = Clock()
    scheduler = Scheduler(clock)
    near, far = FakeEngine(), FakeEngine()
    first = session(near, scheduler, 100.1)
    second = session(near, scheduler, 100.2)
    third = session(far, scheduler, 100.3)
    for drawing in (first, second, third):
        drawing.drawn = 1  # their first pictures were shown long ago
    assert scheduler.step() == 0.0
    assert near.batches == [2]
    assert far.batches == []


def test_the_earliest_deadline_of_all_characters_is_drawn_first() -> None:
    scheduler = Scheduler(Clock())
    drawn: list[str] = []

    def character(name: str) -> FakeEngine:
        engine = FakeEngine()
        draw = engine.draw
        engine.draw = lambda wanted: drawn.append(name) or draw(wanted)  # type: ignore[method-assign]  # says who
        return engine

    # slots at 300 and 340 ms, 110 and 150, 130 and 170
    for name, first_at in (("late", 100.30), ("early", 100.11), ("second", 100.13)):
        session(character(name), scheduler, first_at).drawn = 1
    while scheduler.step() == 0.0:
        pass
    assert drawn == ["early", "second", "early", "second", "late", "late"]


@pytest.mark.parametrize(
    ("cost_s", "phases_s"),
    [
        (0.040, (0.0, 0.010, 0.010)),
        (0.020, (0.0, 0.010, 0.020, 0.030)),
        (0.050, (0.0, 0.0, 0.0)),
    ],
)
def test_sessions_that_are_too_many_for_the_machine_share_it(
    cost_s: float, phases_s: tuple[float, ...]
) -> None:
    """Slots that cannot be in time are left out, which moves a session's next deadline. Whose slots
    came first then was drawn every time, and the others never."""
    clock = Clock()
    scheduler = Scheduler(clock)
    engine = SlowEngine(clock, cost_s)
    sessions = {session(engine, scheduler, 100 + at): 100 + at for at in phases_s}
    pass_time(scheduler, clock, sessions, 4.0)
    drawn = [drawing.drawn for drawing in sessions]
    assert sum(drawn) >= 0.95 * 4.0 / cost_s  # no time is lost
    assert max(drawn) - min(drawn) <= 2


def test_speech_that_begins_does_not_take_the_time_of_others() -> None:
    """A burst of speech was heard 16 frames ahead and drawn 8 ahead before anybody else's turn."""
    clock = Clock()
    scheduler = Scheduler(clock)
    engine = SlowEngine(clock, 0.010)
    sessions = {session(engine, scheduler, 100 + at): 100 + at for at in (0.1, 0.12)}
    speaking, other = sessions
    pass_time(scheduler, clock, sessions, 1.0)
    skipped = other.skipped
    began = clock.now
    say(speaking, 1, 125)
    while speaking.prospect(1, 0) is None:
        pass_time(scheduler, clock, sessions, 0.001)
    # 320 ms of sound are heard in 32 ms, the first picture takes 10; one of the other's may come
    # before each
    assert clock.now - began < 0.065
    pass_time(scheduler, clock, sessions, 0.5)
    assert speaking.ready == AHEAD_FRAMES
    assert other.skipped == skipped


def test_an_utterance_behind_another_is_heard_in_time_and_not_before_everything_else() -> None:
    clock = Clock()
    scheduler = Scheduler(clock)
    engine = SlowEngine(clock, 0.010)
    sessions = {session(engine, scheduler, 100 + at): 100 + at for at in (0.1, 0.12)}
    speaking, other = sessions
    say(speaking, 1, 8)
    speaking.end(1)
    while speaking.prospect(1, 0) is None:
        scheduler.step()
    begin(speaking, 1, sessions, clock)
    pass_time(scheduler, clock, sessions, 0.2)
    skipped = other.skipped, speaking.skipped
    say(speaking, 2, 125)
    pass_time(scheduler, clock, sessions, 1.0)
    assert speaking.prospect(2, 0) is not None  # the first 640 ms are over
    assert (other.skipped, speaking.skipped) == skipped


def test_speech_begins_soon_on_a_machine_with_too_many_sessions() -> None:
    """They all miss deadlines that lie before the moment at which anybody begins to speak."""
    clock = Clock()
    scheduler = Scheduler(clock)
    engine = SlowEngine(clock, 0.015)
    sessions = {session(engine, scheduler, 100 + 0.007 * n): 100 + 0.007 * n for n in range(8)}
    pass_time(scheduler, clock, sessions, 2.0)
    speaking = next(iter(sessions))
    began = clock.now
    say(speaking, 1, 125)
    while speaking.prospect(1, 0) is None:
        pass_time(scheduler, clock, sessions, 0.001)
    # after one picture of everybody, 8 × 15 ms: 32 ms of hearing, 15 of drawing
    assert clock.now - began < 0.2

    begin(speaking, 1, sessions, clock)
    drawn = {drawing: drawing.drawn for drawing in sessions}
    pass_time(scheduler, clock, sessions, 4.0)
    got = [drawing.drawn - drawn[drawing] for drawing in sessions]
    assert max(got) - min(got) <= 2  # although it takes time to hear as well
    assert min(got) >= 20


def test_idle_pictures_are_drawn_a_little_ahead_and_no_further() -> None:
    scheduler = Scheduler(Clock())
    engine = FakeEngine()
    session(engine, scheduler, 100.5)
    while scheduler.step() == 0.0:
        pass
    assert len(engine.batches) == IDLE_AHEAD_FRAMES


def test_speech_is_heard_in_steps_and_drawn_ahead_within_bounds() -> None:
    scheduler = Scheduler(Clock())
    engine = FakeEngine()
    drawing = session(engine, scheduler, math.inf)
    for _ in range(250):  # 20 s
        drawing.hear(1, np.zeros(1920, np.float32))
    while scheduler.step() == 0.0:
        pass
    hearing = drawing.face.hearings[0]  # type: ignore[attr-defined]
    assert AHEAD_FRAMES <= hearing.frames <= 3 * AHEAD_FRAMES
    assert len(engine.batches) == AHEAD_FRAMES


def test_a_session_that_cannot_be_drawn_fails_alone() -> None:
    scheduler = Scheduler(Clock())
    engine = FakeEngine()
    good = session(engine, scheduler, 100.1)
    bad = session(engine, scheduler, 100.1)
    engine.fails.add(bad.face)
    scheduler.step()
    assert isinstance(bad.failure, ValueError)
    assert good.failure is None
    assert good.take(0) is not None
    assert engine.batches == [2, 1, 1]
    while scheduler.step() == 0.0:
        pass
    assert engine.batches == [2, 1, 1, 1, 1]  # slots 1 and 2 of the good one; nothing of the bad


class NanFace(SyncTalkFace):
    """What it hears is not a number."""

    def listen(self) -> SyncTalkHearing:
        hearing = super().listen()
        hearing.vectors = [np.full(32, np.nan, np.float32)] * 3 * AHEAD_FRAMES
        return hearing


def test_nan_and_a_missing_pose_leave_their_batch_mates_their_pictures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained = open_trained(mini.DATA, mini.WORKSPACE)
    audio = mini.audio_model()
    character = trained.character(portrait=True, width=48, height=48, audio=audio)
    engine = SyncTalkEngine(character, device="cpu", threads=1)
    lone = Scheduler(Clock())
    alone = session(engine, lone, 100.1)
    lone.step()
    expected = alone.take(0)

    gone = engine._walk(5).index
    scene_of = type(character.scenes).scene

    def scene(scenes: object, index: int) -> Scene:
        if index == gone:
            raise BundleUnreadableError(f"pictures of pose {index} cannot be read")
        return scene_of(scenes, index)

    monkeypatch.setattr(type(character.scenes), "scene", scene)
    monkeypatch.setattr(KernelPainter, "max_batch", 4)
    batches: list[int] = []
    draw = engine.draw
    monkeypatch.setattr(engine, "draw", lambda wanted: batches.append(len(wanted)) or draw(wanted))
    scheduler = Scheduler(Clock())
    good, bad, lost, other = (session(engine, scheduler, 100.1) for _ in range(4))
    bad.face = NanFace(audio, bad.face.expression, character.scenes)  # type: ignore[attr-defined]  # it has one
    say(bad, 1, 1)
    lost.pass_over(5)
    scheduler.step()
    assert batches == [4, 1, 1, 1, 1]
    assert isinstance(bad.failure, EngineError)
    assert "finite" in str(bad.failure)
    assert isinstance(lost.failure, EngineError)
    assert f"pose {gone}" in str(lost.failure)
    for mate in (good, other):
        picture = mate.take(0)
        assert picture is not None
        assert expected is not None
        assert np.array_equal(picture.i420, expected.i420)


def test_a_session_that_cannot_be_heard_fails_alone() -> None:
    scheduler = Scheduler(Clock())
    engine = FakeEngine()
    good = session(engine, scheduler, 100.1)
    bad = session(engine, scheduler, 100.1)
    for drawing in (good, bad):
        say(drawing, 1, 5)
    bad.face.hearings[0].finish()  # type: ignore[attr-defined]  # it now refuses to hear more
    while scheduler.step() == 0.0:
        pass
    assert isinstance(bad.failure, AssertionError)
    assert good.failure is None
    assert good.ready == AHEAD_FRAMES


def test_a_session_that_cannot_say_what_it_wants_fails_alone() -> None:
    """It took the render thread with it, and so every session of the process."""
    scheduler = Scheduler(Clock())
    engine = FakeEngine()
    good = session(engine, scheduler, 100.1)
    bad = session(engine, scheduler, 100.1)
    bad._time_of_slot = lambda _slot: 1 / 0
    while scheduler.step() == 0.0:
        pass
    assert isinstance(bad.failure, ZeroDivisionError)
    assert good.failure is None
    assert good.ready == IDLE_AHEAD_FRAMES


class PatientHearing(FakeHearing):
    """Hears nothing until the test lets it."""

    def __init__(self, may_hear: threading.Event) -> None:
        super().__init__(LOOK_AHEAD)
        self._may_hear = may_hear
        self.pushed = 0

    def push(self, samples: Samples) -> None:
        self.pushed += 1
        assert self._may_hear.wait(10)
        super().push(samples)


def test_helpers_listen_while_others_are_drawn_and_take_one_step_of_a_session_at_a_time() -> None:
    may_hear = threading.Event()
    scheduler = Scheduler(Clock(), helpers=2)
    engine = FakeEngine(LOOK_AHEAD)
    speaking, idle = (session(engine, scheduler, 100.1) for _ in range(2))
    slow = PatientHearing(may_hear)
    speaking.face.listen = lambda: slow  # type: ignore[method-assign]
    say(speaking, 1, 10)
    while scheduler.step() == 0.0:
        pass
    assert slow.pushed <= 1
    assert idle.ready == IDLE_AHEAD_FRAMES
    may_hear.set()
    finish_helping(scheduler)
    # 10 chunks are 20 pictures' worth less the look-ahead of 6.3; 8 are drawn ahead
    assert slow.frames == 13
    assert speaking.ready == AHEAD_FRAMES
    scheduler.close()


def test_a_session_that_a_helper_cannot_hear_fails_alone() -> None:
    scheduler = Scheduler(Clock(), helpers=2)
    engine = FakeEngine()
    good, bad = (session(engine, scheduler, 100.1) for _ in range(2))
    for drawing in (good, bad):
        say(drawing, 1, 5)
    bad.face.hearings[0].finish()  # type: ignore[attr-defined]  # it now refuses to hear more
    finish_helping(scheduler)
    assert isinstance(bad.failure, AssertionError)
    assert good.ready == AHEAD_FRAMES
    scheduler.close()


def finish_helping(scheduler: Scheduler) -> None:
    """Until nothing is to be done and no helper is at work."""
    while scheduler.step() == 0.0 or scheduler._listening:
        with scheduler._changed:
            scheduler._changed.wait(0.01)


def test_the_loop_turns_without_sessions_and_stops_when_told() -> None:
    scheduler = Scheduler()
    scheduler.start()
    before = scheduler.progress
    for _ in range(3):
        scheduler.wake()
    scheduler.close()
    scheduler.close()
    assert scheduler.progress >= max(1, before)
