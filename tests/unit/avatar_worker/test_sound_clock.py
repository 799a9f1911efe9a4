"""Reading a clock that can be seen only late."""

import random

import pytest

from avatar_worker.sound_clock import TICK_S, TICK_SAMPLES, SoundClock

pytestmark = pytest.mark.unit


def read(clock: SoundClock, true_origin_s: float, ticks: range, late_s: list[float]) -> None:
    """The source's ticks as they come to us: each a little late."""
    for tick, late in zip(ticks, late_s, strict=True):
        clock.observe(true_origin_s + tick * TICK_S + late, (tick + 1) * TICK_SAMPLES)


def test_the_earliest_of_late_readings_is_believed() -> None:
    chance = random.Random(1)
    clock = SoundClock(100.0)
    late = [chance.expovariate(1 / 0.006) for _ in range(200)]  # 6 ms in the mean
    read(clock, 100.0047, range(200), late)
    assert clock.time_of(0) == pytest.approx(100.0047 + min(late), abs=1e-9)


def test_samples_leave_in_whole_ticks() -> None:
    clock = SoundClock(50.0)
    assert clock.left(49.999) == 0
    assert clock.left(50.0) == TICK_SAMPLES
    assert clock.left(50.0099) == TICK_SAMPLES
    assert clock.left(clock.time_of(TICK_SAMPLES)) == 2 * TICK_SAMPLES


def test_a_tick_that_found_nothing_moves_everything_later() -> None:
    clock = SoundClock(50.0)
    clock.miss(TICK_SAMPLES + 1)  # part of a tick cannot be taken
    assert clock.time_of(0) == pytest.approx(50.020)


def test_a_missed_tick_nobody_noticed_is_found_by_readings_that_agree() -> None:
    clock = SoundClock(50.0)
    read(clock, 50.0, range(5), [0.0003] * 5)
    read(clock, 50.0 + TICK_S, range(5, 30), [0.0006] * 25)
    assert clock.time_of(0) == pytest.approx(50.0103, abs=0.0005)


def test_after_a_cut_a_missed_tick_is_found_at_once() -> None:
    clock = SoundClock(50.0)
    read(clock, 50.0, range(5), [0.0003] * 5)
    clock.doubt()
    read(clock, 50.0 + TICK_S, range(5, 8), [0.0006] * 3)
    assert clock.time_of(0) == pytest.approx(50.0103, abs=0.0005)


def test_one_busy_moment_is_not_a_missed_tick() -> None:
    clock = SoundClock(50.0)
    read(clock, 50.0, range(5), [0.0003] * 5)
    read(clock, 50.0, range(5, 15), [0.015] * 10)
    assert clock.time_of(0) == pytest.approx(50.0003, abs=1e-9)
