"""Rooms are quiet, speech is not, and pauses within speech stay speech."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar_worker.audio.gate import AHEAD, NoiseGate

pytestmark = pytest.mark.unit

FRAME = 96


def sound(*levels_db: float) -> np.ndarray:
    """A frame of each level: a square wave of amplitude a has the root mean square a."""
    wave = np.where(np.arange(FRAME) % 2, 1.0, -1.0)
    return np.concatenate([10 ** (db / 20) * wave for db in levels_db]).astype(np.float32)


def openings(samples: np.ndarray, cuts: list[int] | None = None) -> list[float]:
    gate = NoiseGate(FRAME)
    for piece in np.split(samples, cuts or []):
        gate.push(piece)
    gate.finish()
    return [gate.opening(frame) for frame in range(-(-len(samples) // FRAME))]


def test_room_noise_leaves_the_gate_shut_and_soft_speech_opens_it() -> None:
    assert openings(sound(*[-50.0] * 30)) == [0.0] * 30
    assert openings(sound(*[-38.0] * 30)) == [1.0] * 30
    # two of the five decibels between −48 and −43
    assert openings(sound(-46.0)) == pytest.approx([0.4], abs=1e-3)


def test_it_opens_ahead_of_speech_and_closes_well_after_it_in_steps() -> None:
    noise, speech = [-50.0] * 20, [-20.0] * 3
    found = openings(sound(*noise, *speech, *noise))
    assert found[14:24] == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    # 400 ms after the last loud frame (22) the mouth may still follow
    assert found[32:38] == [1.0, 0.8, 0.6, 0.4, 0.2, 0.0]


def test_a_pause_of_400_ms_within_speech_is_left_as_it_is() -> None:
    assert openings(sound(-20.0, *[-60.0] * 10, -20.0)) == [1.0] * 12


def test_what_is_needed_of_the_future_is_there_when_a_vector_is_certain() -> None:
    # Vector k waits for 252.5 ms after its frame begins, 6060 samples at 24 kHz: that is this
    # frame and len(AHEAD) whole ones behind it, and some.
    assert (1 + len(AHEAD)) * 960 < 6060


@given(st.lists(st.integers(0, 10 * FRAME), max_size=6))
def test_it_does_not_depend_on_how_the_sound_was_cut(cuts: list[int]) -> None:
    samples = sound(-50, -50, -20, -43, -50, -50, -50, -44, -41, -50)[: 10 * FRAME - 7]
    assert openings(samples, sorted(cuts)) == openings(samples)
