"""The plan: the same every time, within its ranges, useful when stopped early."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatar_worker.recipes.people import motion, units
from avatar_worker.recipes.people.jonas import JONAS
from avatar_worker.recipes.people.mira import MIRA
from avatar_worker.recipes.people.person import Line
from avatar_worker.recipes.people.plan import Plan, make_plan
from avatar_worker.recipes.people.script import (
    SpokenTrack,
    TrackTooLongError,
    shared_out,
    speak_script,
)
from tests.unit.recipes.people_cast import lines, plan_of, short_track, speak

pytestmark = pytest.mark.unit

IDLE = 200


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(short_track(), IDLE)


def column(plan: Plan, name: str, kind: str) -> np.ndarray:
    return np.array([f.units.get(name, 0.0) for f in plan.frames if f.kind == kind])


def test_planning_twice_gives_the_same_plan(plan: Plan) -> None:
    assert plan_of(short_track(), IDLE) == plan
    assert plan_of(short_track(), IDLE, seed=21) != plan


def test_a_plan_survives_its_file(plan: Plan, tmp_path: Path) -> None:
    plan.write(tmp_path / "plan.json")

    assert Plan.read(tmp_path / "plan.json") == plan


def test_a_plan_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"version": 99}')

    with pytest.raises(ValueError, match="version 99"):
        Plan.read(tmp_path / "plan.json")


def test_poses_stay_within_the_range_and_use_it(plan: Plan) -> None:
    for kind, limits in (("idle", motion.IDLE_RANGE), ("speech", MIRA.schedule.range)):
        poses = [f.pose for f in plan.frames if f.kind == kind]
        yaw = np.array([p.yaw_deg for p in poses])
        assert yaw.max() == pytest.approx(limits.yaw_deg)
        assert yaw.min() == pytest.approx(-limits.yaw_deg)
        assert max(abs(p.pitch_deg) for p in poses) <= limits.pitch_deg + 1e-9
        assert max(abs(p.roll_deg) for p in poses) <= limits.roll_deg + 1e-9
        assert max(max(map(abs, p.shift_dm)) for p in poses) <= limits.shift_dm + 1e-9
        assert np.abs(np.diff(yaw)).max() < 0.8, "a jump from one frame to the next"


def test_the_loop_stands_still_at_both_ends(plan: Plan) -> None:
    yaw = np.array([f.pose.yaw_deg for f in plan.frames[:IDLE]])
    speed = np.abs(np.diff(yaw))

    assert max(speed[0], speed[-1]) < 0.01
    assert speed.max() > 0.1


def test_the_loop_keeps_the_mouth_closed(plan: Plan) -> None:
    for name in ("jawOpen", "mouthUpperUpLeft", "mouthLowerDownLeft", "mouthPucker"):
        assert not column(plan, name, "idle").any()
    assert column(plan, "mouthSmileLeft", "idle") == pytest.approx(0.38)


def test_the_loop_blinks_fully_and_opens_more_slowly_than_it_closes(plan: Plan) -> None:
    lid = column(plan, "eyeBlinkLeft", "idle")
    closed = np.flatnonzero(lid > 0.95)
    blinks = np.split(closed, np.flatnonzero(np.diff(closed) > 10) + 1)

    assert len(blinks) == 3
    first = blinks[0]
    before, after = lid[first[0] - 8 : first[0]], lid[first[-1] + 1 : first[-1] + 9]
    assert (before > 0.01).sum() < (after > 0.01).sum()


def test_half_closed_lids_are_shown_often_enough_to_be_learnt() -> None:
    track = short_track(frames=400)

    lid = column(plan_of(track, 10), "eyeBlinkLeft", "speech")

    assert ((lid > 0.2) & (lid < 0.9)).mean() >= 0.05
    assert (lid > 0.95).any()


def test_lids_and_brows_do_not_depend_on_what_is_said() -> None:
    names = ["eyeBlinkLeft", "eyeBlinkRight", *units.NAMES[:5]]
    said = speak_script(speak, 100, lines("mɑpibɑ", "fuviwɑm"))
    other = speak_script(speak, 100, lines("susɛsus", "ɑɑ"))

    for name in names:
        one, two = (column(plan_of(track, 10), name, "speech") for track in (said, other))
        np.testing.assert_array_equal(one, two)


def test_all_weights_are_known_units_between_0_and_1(plan: Plan) -> None:
    for frame in plan.frames:
        assert set(frame.units) <= set(units.ALL_NAMES)
        assert all(0 < weight <= 1 for weight in frame.units.values())


def test_every_frame_is_drawn_once_and_the_first_ones_span_everything(plan: Plan) -> None:
    assert sorted(plan.order) == list(range(len(plan.frames)))
    early = plan.order[: len(plan.order) // 4]
    assert any(at < IDLE for at in early)
    assert {plan.frames[at].utterance for at in early} == {None, 0, 1}


def test_the_loop_grows_without_gaps(plan: Plan) -> None:
    idle = [at for at in plan.order if at < IDLE]

    assert idle == list(range(IDLE))


def test_the_last_lines_are_held_out_in_one_piece(plan: Plan) -> None:
    held_out = plan.validation

    assert held_out == tuple(range(held_out[0], len(plan.frames)))
    assert {plan.frames[at].utterance for at in held_out} == {1}


def test_sound_and_marks_lie_on_the_same_clock() -> None:
    track = short_track()

    assert len(track.samples) == 100 * 960
    assert track.marks[0].start_s == 0
    assert track.marks[-1].end_s == pytest.approx(4.0)
    for one, two in zip(track.marks, track.marks[1:], strict=False):
        assert two.start_s == pytest.approx(one.end_s)
        assert not one.phone == two.phone == "sil"
    for mark in track.marks:
        if mark.phone != "sil":
            middle = round((mark.start_s + mark.end_s) / 2 * 24_000)
            assert track.samples[middle] == pytest.approx(0.5)
    assert track.samples[0] == track.samples[-1] == 0


def test_sentences_that_do_not_fit_are_refused() -> None:
    with pytest.raises(TrackTooLongError, match="60"):
        speak_script(speak, 60, lines("mɑpibɑmɑpibɑ", "fuviwɑmfuviwɑm"))


def test_a_track_survives_its_files(tmp_path: Path) -> None:
    track = short_track()

    track.write(tmp_path)
    read = SpokenTrack.read(tmp_path)

    assert (read.marks, read.starts, read.frames) == (track.marks, track.starts, track.frames)
    np.testing.assert_array_equal(read.samples, track.samples)


def test_a_film_is_drawn_frame_after_frame_and_nothing_is_held_out() -> None:
    track = short_track(200)
    film = make_plan(track, JONAS)

    assert film.who == "jonas"
    assert film.order == tuple(range(200))
    assert film.validation == ()
    assert {f.kind for f in film.frames} == {"speech"}
    assert [f.audio_index for f in film.frames] == list(film.order)
    assert max(abs(f.pose.yaw_deg) for f in film.frames) == pytest.approx(8.0)
    assert max(abs(f.pose.pitch_deg) for f in film.frames) == pytest.approx(4.0)
    lid = np.array([f.units.get("eyeBlinkLeft", 0.0) for f in film.frames])
    assert lid.max() > 0.95


def test_pauses_are_as_long_as_the_lines_ask_for() -> None:
    # A sentence is 3 phones of 0.08 s and 0.24 s of silence around them: 0.48 s, 12 frames.
    script = [Line("anybody", "mɑm", 3.0), Line("anybody", "mɑm"), Line("anybody", "mɑm", 2.0)]

    track = speak_script(speak, 176, script)

    # 176 − 3 · 12 = 140 frames in shares of 3, 1, 2 and 1 behind the last: 60, 20, 40, 20.
    assert track.starts == (0, 60 + 12, 60 + 12 + 20 + 12)


def test_equal_pauses_differ_by_a_frame_at_most_and_the_first_are_longer() -> None:
    assert shared_out(11, [1.0, 1.0, 1.0, 1.0]) == [3, 3, 3, 2]
