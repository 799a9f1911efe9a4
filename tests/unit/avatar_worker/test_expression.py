"""Brows and lids as a session wants them, never beyond what the head has seen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar_worker.engines.base import EngineError
from avatar_worker.engines.expression import (
    BLINK_RATE_MAX,
    GAIN_MAX,
    PRESETS,
    Expression,
    ExpressionOptions,
)
from avatar_worker.engines.idle_walk import WalkPosition

pytestmark = pytest.mark.unit

N_FRAMES = 100
MINUTE = 60 * 25
BLINK = np.array([0.3, 0.9, 1.0, 0.6, 0.2], np.float32)


def track() -> np.ndarray:
    """Brows that go up and down, one blink in frames 40 to 44."""
    eyes = np.zeros((N_FRAMES, 7), np.float32)
    swing = np.sin(np.arange(N_FRAMES) / 7.0)
    eyes[:, :2] = 0.05 * (1 - swing)[:, None]
    eyes[:, 2:5] = 0.2 + 0.1 * swing[:, None]
    eyes[40:45, 5:] = BLINK[:, None]
    return eyes


def session(eyes: np.ndarray, slots: int = MINUTE, **options: object) -> np.ndarray:
    """The vectors of a session that walks through the track again and again."""
    expression = Expression(eyes, ExpressionOptions.of(options))
    found = [expression(slot, WalkPosition(slot % len(eyes))) for slot in range(slots)]
    return np.stack([eye for eye in found if eye is not None])


def blinks(lids: np.ndarray) -> int:
    return int((np.diff((lids > 0.5).astype(int)) == 1).sum())


def test_without_options_the_scene_keeps_its_own() -> None:
    expression = Expression(track(), ExpressionOptions.of({"portrait": True, "eye": "upper"}))
    assert expression(40, WalkPosition(40)) is None


@pytest.mark.parametrize("rate", [6, 15, 30])
def test_blinks_come_as_often_as_asked_and_look_like_the_characters_own(rate: int) -> None:
    lids = session(track(), 4 * MINUTE, blink_rate=rate)[:, 5]
    assert blinks(lids) == pytest.approx(4 * rate, abs=1)
    begins = np.flatnonzero(np.diff((lids > 0.1).astype(int)) == 1) + 1
    for begin in begins[:-1]:
        np.testing.assert_allclose(lids[begin : begin + 5], BLINK)
    gaps = np.diff(begins)
    assert gaps.min() < 0.9 * gaps.mean() < gaps.max()  # not to a clock
    assert gaps.min() > 5


def test_a_rate_of_0_keeps_the_eyes_open_and_the_brows_going() -> None:
    eyes = session(track(), N_FRAMES, blink_rate=0)
    assert eyes[:, 5:].max() == 0.0
    np.testing.assert_allclose(eyes[:, :5], track()[:, :5], atol=1e-6)


def test_a_track_without_a_blink_has_none_to_give() -> None:
    eyes = track()
    eyes[:, 5:] = 0.02
    np.testing.assert_allclose(session(eyes, blink_rate=20)[:, 5:], 0.02)


def test_gains_move_brows_and_lids_about_their_middle() -> None:
    eyes = track()
    halved = session(eyes, N_FRAMES, brow_gain=0.5)
    middle = np.median(eyes, axis=0)
    np.testing.assert_allclose(halved[:, :5], (middle + (eyes - middle) / 2)[:, :5], atol=1e-6)
    np.testing.assert_allclose(halved[:, 5:], eyes[:, 5:])
    # the lids' middle is open, 0: with a gain of 0.5 they close half-way
    np.testing.assert_allclose(session(eyes, N_FRAMES, eye_gain=0.5)[40:45, 5], BLINK / 2)


def test_presets_move_the_brows_where_they_say() -> None:
    plain = track().mean(axis=0)
    attentive = session(track(), N_FRAMES, preset="attentive").mean(axis=0)
    assert (attentive[2:5] > plain[2:5]).all()
    assert (attentive[:2] < plain[:2]).all()
    serious = session(track(), N_FRAMES, preset="serious").mean(axis=0)
    assert (serious[2:5] < plain[2:5]).all()
    assert (serious[:2] > plain[:2]).all()
    relaxed = session(track(), N_FRAMES, preset="relaxed")
    assert relaxed[0, 5] == pytest.approx(0.15)
    assert relaxed[42, 5] == pytest.approx(1.0)  # she still blinks


@given(
    st.sampled_from(sorted(PRESETS)),
    st.floats(-5, 1e6),
    st.floats(-5, 1e6),
    st.none() | st.floats(-5, 1e6),
)
def test_nothing_leaves_the_range_of_the_track(
    preset: str, brow: float, lid: float, rate: float | None
) -> None:
    eyes = track()
    found = session(eyes, 120, preset=preset, brow_gain=brow, eye_gain=lid, blink_rate=rate)
    if len(found):  # neutral at gains of 1 leaves everything to the scenes
        assert (found >= eyes.min(axis=0) - 1e-6).all()
        assert (found <= eyes.max(axis=0) + 1e-6).all()


def test_numbers_are_brought_into_range_and_anything_else_is_refused() -> None:
    found = ExpressionOptions.of({"blink_rate": 900, "brow_gain": -1, "eye_gain": 50})
    assert found == ExpressionOptions(BLINK_RATE_MAX, 0.0, GAIN_MAX)
    assert ExpressionOptions.of({"brow_gain": 10**400}).brow_gain == GAIN_MAX
    assert session(track(), 5, blink_rate=1e-310)[:, 5].max() == 0.0
    for options in ({"preset": "furious"}, {"preset": 3}, {"brow_gain": "2"}, {"eye_gain": True}):
        with pytest.raises(EngineError, match="expected"):
            ExpressionOptions.of(options)
    with pytest.raises(EngineError, match="blink_rate is nan"):
        ExpressionOptions.of({"blink_rate": float("nan")})


@pytest.mark.parametrize("n_eye", [1, 2, 4])
def test_smaller_vectors_have_lids_and_perhaps_brows(n_eye: int) -> None:
    eyes = np.zeros((N_FRAMES, n_eye), np.float32)
    eyes[40:45, -1 if n_eye != 2 else slice(None)] = BLINK if n_eye != 2 else BLINK[:, None]
    lids = session(eyes, blink_rate=20)[:, -1]
    assert blinks(lids) == pytest.approx(20, abs=1)


def test_between_two_frames_the_vector_is_between_theirs() -> None:
    eyes = track()
    expression = Expression(eyes, ExpressionOptions(brow_gain=1.0, blink_rate=0.0))
    found = expression(0, WalkPosition(10, 0.25))
    assert found is not None
    np.testing.assert_allclose(found, 0.75 * eyes[10] + 0.25 * eyes[11], atol=1e-6)
