"""Sound and picture in step, exactly once, whatever arrives when. Simulated clock throughout."""

import asyncio
import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_contracts.audio import CHUNK_SAMPLES, FRAME_SAMPLES
from avatar_contracts.messages import PlayoutAlive, PlayoutReady
from avatar_worker.picture_show import sleep_until
from tests.fakes.virtual_time import run_in_virtual_time
from tests.unit.avatar_worker.stage import LOOK_AHEAD, Stage

pytestmark = pytest.mark.unit

TICK_S = 0.010


async def burst(stage: Stage, segment: int, chunks: int) -> None:
    for _ in range(chunks):
        stage.say(segment, CHUNK_SAMPLES)
    stage.playout.flush(segment)


def test_speech_after_idling_leaves_whole_and_in_step() -> None:
    async def main() -> None:
        async with Stage() as stage:
            await asyncio.sleep(1.013)
            await burst(stage, 1, 10)
            await asyncio.sleep(1.5)
            assert stage.heard() == stage.spoken[1]
            assert stage.finished() == {1: (0.8, False)}
            assert stage.started() == [1]
            offsets = stage.offsets_ms(1)
            assert len(offsets) == 20  # 800 ms are 20 pictures
            assert max(map(abs, offsets)) < 2.0
            assert stage.tracks.missed <= 1  # before the first push

    run_in_virtual_time(main())


def test_speech_begins_without_waiting_for_queued_silence() -> None:
    async def main() -> None:
        async with Stage(cost_s=0.004) as stage:
            await asyncio.sleep(1.0)
            said_at = stage.loop.time()
            await burst(stage, 1, 6)
            await asyncio.sleep(1.0)
            first = next(at for at, piece in stage.tracks.left if piece.any())
            # one picture (4 ms), at most 20 ms from the last idle picture, at most one tick
            assert first - said_at < 0.004 + 0.020 + TICK_S + 0.002

    run_in_virtual_time(main())


def test_idle_pictures_come_25_times_a_second_and_count_up() -> None:
    async def main() -> None:
        async with Stage() as stage:
            await asyncio.sleep(4.0)
            slots = [request.slot for _, request in stage.tracks.shown]
            assert slots == list(range(len(slots)))
            assert 99 <= len(slots) <= 102
            assert isinstance(stage.told[0][1], PlayoutReady)
            alive = [m for _, m in stage.told if isinstance(m, PlayoutAlive)]
            assert 7 <= len(alive) <= 8

    run_in_virtual_time(main())


def test_a_renderer_slower_than_three_slots_still_shows_a_moving_idle_face() -> None:
    """Its next possible picture lay beyond what may be drawn ahead: none was drawn at all."""

    async def main() -> None:
        async with Stage(cost_s=0.120) as stage:
            await asyncio.sleep(4.0)
            # 4 s at 120 ms a picture: 33 at most, some of them lost to the grid of 40 ms slots
            assert len(stage.tracks.shown) >= 16

    run_in_virtual_time(main())


def test_clear_stops_the_sound_closes_the_mouth_and_reports_what_was_heard() -> None:
    async def main() -> None:
        async with Stage() as stage:
            await asyncio.sleep(1.0)
            await burst(stage, 1, 40)
            await asyncio.sleep(1.2)
            heard_until = len(stage.heard())
            at = stage.loop.time()
            stage.playout.clear(1)
            stage.playout.clear(1)  # twice is once
            await asyncio.sleep(0.5)
            assert len(stage.heard()) - heard_until <= 240
            position_s, was_interrupted = stage.finished()[1]
            assert was_interrupted
            assert abs(position_s - len(stage.heard()) / 24_000) <= TICK_S + 1e-9
            after = [request for shown, request in stage.tracks.shown if shown > at]
            assert not any(request.is_sounding for request in after)
            # weight falls by a quarter each picture: closed in the fourth
            assert [request.weight for request in after[:5]] == [0.75, 0.5, 0.25, 0.0, 0.0]
            slots = [request.slot for _, request in stage.tracks.shown]
            assert slots == list(range(len(slots)))

    run_in_virtual_time(main())


def test_speech_after_an_interruption_is_in_step_again() -> None:
    async def main() -> None:
        async with Stage() as stage:
            await asyncio.sleep(1.0)
            await burst(stage, 1, 40)
            await asyncio.sleep(0.731)
            stage.playout.clear(1)
            stage.tracks.left.clear()
            stage.tracks.shown.clear()
            await asyncio.sleep(0.05)
            await burst(stage, 2, 10)
            await asyncio.sleep(2.0)
            assert stage.heard() == stage.spoken[2]
            assert max(map(abs, stage.offsets_ms(2))) < 2.0
            assert stage.finished()[2] == (0.8, False)

    run_in_virtual_time(main())


def test_sound_that_runs_out_goes_on_where_it_stopped_and_in_step() -> None:
    async def main() -> None:
        async with Stage() as stage:
            await asyncio.sleep(1.0)
            for _ in range(12):
                stage.say(1, CHUNK_SAMPLES)
            await asyncio.sleep(2.0)  # 960 ms of sound: it has run out
            assert len(stage.heard()) == 12 * CHUNK_SAMPLES
            for _ in range(12):
                stage.say(1, CHUNK_SAMPLES)
            stage.playout.flush(1)
            await asyncio.sleep(2.0)
            assert stage.heard() == stage.spoken[1]
            assert stage.finished() == {1: (24 * 0.08, False)}
            assert max(map(abs, stage.offsets_ms(1))) < 2.0
            assert stage.playout.counts.starved == 1

    run_in_virtual_time(main())


def test_a_slow_renderer_shows_fewer_pictures_never_late_ones_and_the_sound_does_not_care() -> None:
    async def main() -> None:
        async with Stage(cost_s=0.045) as stage:
            await asyncio.sleep(1.0)
            await burst(stage, 1, 50)
            await asyncio.sleep(5.0)
            assert stage.heard() == stage.spoken[1]
            offsets = stage.offsets_ms(1)
            assert max(map(abs, offsets)) <= 20.5
            # 4 s at 45 ms a picture: 88 of 100, and the cushion drawn before the start
            assert 85 <= len(offsets) <= 97
            pieces = [at for at, piece in stage.tracks.left if piece.any()]
            gaps = [b - a for a, b in pairwise(pieces)]
            assert max(gaps) < 0.0101

    run_in_virtual_time(main())


def test_two_utterances_back_to_back_leave_no_gap() -> None:
    async def main() -> None:
        async with Stage() as stage:
            await asyncio.sleep(1.0)
            await burst(stage, 1, 5)
            await burst(stage, 2, 5)
            await asyncio.sleep(2.0)
            assert stage.heard() == stage.spoken[1] + stage.spoken[2]
            pieces = [at for at, piece in stage.tracks.left if piece.any()]
            assert pieces[-1] - pieces[0] < 0.8
            assert stage.finished() == {1: (0.4, False), 2: (0.4, False)}

    run_in_virtual_time(main())


def test_a_segment_without_sound_is_finished_and_one_cleared_before_its_sound_too() -> None:
    async def main() -> None:
        async with Stage() as stage:
            stage.playout.flush(1)
            await asyncio.sleep(0.1)
            stage.playout.clear(2)
            stage.say(2, CHUNK_SAMPLES)  # late: it has been cleared
            await asyncio.sleep(0.5)
            assert stage.finished() == {1: (0.0, False), 2: (0.0, True)}
            assert stage.heard() == []

    run_in_virtual_time(main())


def test_a_segment_with_a_hole_plays_to_the_hole_and_ends_as_interrupted() -> None:
    async def main() -> None:
        async with Stage() as stage:
            for _ in range(5):
                stage.say(1, CHUNK_SAMPLES)
            stage.playout.break_off(1)
            await asyncio.sleep(1.5)
            assert stage.heard() == stage.spoken[1]
            assert stage.finished() == {1: (0.4, True)}

    run_in_virtual_time(main())


def test_leaving_ends_every_open_segment_once() -> None:
    async def main() -> None:
        async with Stage() as stage:
            await asyncio.sleep(0.5)
            await burst(stage, 1, 10)
            await burst(stage, 2, 10)
            await asyncio.sleep(0.4)
            stage.playout.close()
            stage.playout.close()
            finished = stage.finished()
            assert set(finished) == {1, 2}
            assert finished[1][1]
            assert finished[2] == (0.0, True)

    run_in_virtual_time(main())


def test_a_renderer_that_cannot_begin_does_not_hold_the_sound_for_ever() -> None:
    async def main() -> None:
        async with Stage(cost_s=2.0) as stage:
            await asyncio.sleep(5.0)
            said_at = stage.loop.time()
            await burst(stage, 1, 5)
            await asyncio.sleep(4.0)
            assert stage.heard() == stage.spoken[1]
            first = next(at for at, piece in stage.tracks.left if piece.any())
            assert first - said_at < 0.6 + 0.1
            assert stage.finished() == {1: (0.4, False)}

    run_in_virtual_time(main())


def test_real_time_sound_is_played_without_running_out() -> None:
    async def main() -> None:
        async with Stage() as stage:
            await asyncio.sleep(1.0)
            for _ in range(40):
                stage.say(1, CHUNK_SAMPLES)
                await asyncio.sleep(0.080)
            stage.playout.flush(1)
            await asyncio.sleep(1.5)
            assert stage.heard() == stage.spoken[1]
            assert stage.playout.counts.starved == 0
            assert stage.playout.pictures.counts.repeated <= 1

    run_in_virtual_time(main())


def test_the_simulated_clock_comes_to_every_time() -> None:
    """Else a picture that is due within a nanosecond is waited for without end."""

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def others_are_busy() -> None:
            loop.call_soon(others_are_busy)

        others_are_busy()
        due = math.nextafter(loop.time(), math.inf)
        for _ in range(3):
            await sleep_until(due, asyncio.Event())
        assert loop.time() >= due

    run_in_virtual_time(main())


steps = st.lists(
    st.tuples(
        st.sampled_from(["say", "say", "say", "say", "flush", "clear", "clear old", "new"]),
        st.integers(1, 4 * CHUNK_SAMPLES),
        st.sampled_from([0.0, 0.0, 0.003, 0.04, 0.08, 0.3, 1.1]),
    ),
    max_size=25,
)


@settings(max_examples=80, deadline=None)
@given(
    steps=steps,
    cost_ms=st.sampled_from([1, 8, 30, 45, 90]),
    look_ahead=st.sampled_from([0, LOOK_AHEAD]),
    phase_ms=st.floats(0, 9.9),
)
def test_every_sample_leaves_once_in_order_and_every_segment_finishes_once(
    steps: list[tuple[str, int, float]], cost_ms: int, look_ahead: int, phase_ms: float
) -> None:
    async def main() -> None:
        stage = Stage(cost_s=cost_ms / 1000, look_ahead=look_ahead)
        stage.tracks.phase_s = phase_ms / 1000
        async with stage:
            await asyncio.sleep(0.5)
            segment, cleared = 1, set[int]()
            for what, samples, wait_s in steps:
                if what == "say":
                    if segment in cleared:
                        segment += 1
                    stage.say(segment, samples)
                elif what == "flush":
                    stage.playout.flush(segment)
                    segment += 1
                elif what == "new":
                    segment += 1
                else:
                    up_to = segment if what == "clear" else segment - 1
                    stage.playout.clear(up_to)
                    cleared.update(range(1, up_to + 1))
                await asyncio.sleep(wait_s)
            stage.playout.flush(segment)
            total_s = sum(map(len, stage.spoken.values())) / 24_000
            await asyncio.sleep(total_s + 5 + 0.7 * len(stage.spoken))
            check(stage, cleared)

    run_in_virtual_time(main())


def check(stage: Stage, cleared: set[int]) -> None:
    finished = stage.finished()
    heard = stage.heard()
    at = 0
    for segment, values in sorted(stage.spoken.items()):
        position_s, was_interrupted = finished[segment]
        got = 0
        while at + got < len(heard) and got < len(values) and heard[at + got] == values[got]:
            got += 1
        at += got
        assert abs(position_s - got / 24_000) <= TICK_S + 1e-9
        heard_of_it = stage.offsets_ms(segment, at - got)[: got // FRAME_SAMPLES]
        assert all(abs(offset) <= 21 for offset in heard_of_it)
        if segment not in cleared:
            assert not was_interrupted
            assert got == len(values), f"{len(values) - got} samples of {segment} are missing"
    assert at == len(heard), "something was heard that nobody said, or twice"
    slots = [request.slot for _, request in stage.tracks.shown]
    assert slots == sorted(set(slots))
