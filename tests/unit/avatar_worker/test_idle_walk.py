"""Forth and back through the track so that nobody sees where it turns."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar_worker.engines.idle_walk import EASE_SLOTS, IdleWalk

pytestmark = pytest.mark.unit


def places(walk: IdleWalk, slots: int) -> np.ndarray:
    return np.array([(at := walk(slot)).index + at.share for slot in range(slots)])


def test_a_walk_at_full_speed_comes_to_rest_and_turns_without_a_flip() -> None:
    walk = IdleWalk(np.full(99, 0.3))  # 100 frames, the same motion everywhere
    assert (walk.first, walk.last) == (0, 99)
    # 99 frames at one a slot, and each end takes 12 slots for 6 frames
    assert walk.slots_one_way == 99 + EASE_SLOTS
    found = places(walk, 4 * walk.slots_one_way)
    steps = np.diff(found)
    assert np.abs(steps).max() == pytest.approx(1.0)
    # a flip would be 2.0; slowing down from 1 to 0 over 12 slots is 1/12 a slot
    assert np.abs(np.diff(steps)).max() == pytest.approx(1 / EASE_SLOTS)
    assert np.abs(steps).min() > 0.04  # no picture is shown twice in a row
    assert found.min() == 0.0
    assert found.max() == 99.0


def test_between_the_turns_pictures_are_whole_frames_one_after_the_other() -> None:
    walk = IdleWalk(np.full(99, 0.3))
    found = places(walk, walk.slots_one_way)[EASE_SLOTS : -EASE_SLOTS + 1]
    assert found.tolist() == list(range(6, 94))


def test_it_turns_where_the_head_is_still_and_needs_no_slowing_down_there() -> None:
    speed = np.full(99, 0.3)
    speed[8:11] = speed[90:93] = 0.0  # still from frame 8 to 11 and from 90 to 93
    walk = IdleWalk(speed)
    # the middle of either stretch: the step 9 → 10, and 91 → 92
    assert (walk.first, walk.last) == (9, 92)
    assert walk.slots_one_way == 92 - 9
    found = places(walk, 2 * walk.slots_one_way + 2)
    assert found[:3].tolist() == [9, 10, 11]
    assert found[82:85].tolist() == [91, 92, 91]  # the last frame once
    assert found[-3:].tolist() == [10, 9, 10]


def test_it_does_not_look_for_a_turn_in_the_middle_of_the_track() -> None:
    speed = np.full(99, 0.3)
    speed[48:51] = 0.0
    walk = IdleWalk(speed)
    assert (walk.first, walk.last) == (0, 99)


def test_a_single_frame_stays() -> None:
    assert places(IdleWalk(np.zeros(0)), 5).tolist() == [0.0] * 5


@given(st.lists(st.floats(0, 10), max_size=60), st.integers(0, 10_000))
def test_every_slot_has_a_place_on_the_track_near_that_of_the_next(
    speed: list[float], slot: int
) -> None:
    walk = IdleWalk(np.array(speed))
    here, there = walk(slot), walk(slot + 1)
    assert 0 <= here.index <= len(speed)
    assert 0.0 <= here.share < 1.0
    assert here.share == 0.0 or here.index + 1 <= len(speed)
    assert abs(here.index + here.share - there.index - there.share) <= 1.0 + 1e-9
