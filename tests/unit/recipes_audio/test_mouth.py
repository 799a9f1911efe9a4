"""Mouth curves: the numbers of the recipe, and that no closure is averaged away."""

import numpy as np
import pytest

from avatar_worker.recipes.audio_encoder.label_step import FRAME_S, STEP_S, frame_labels
from avatar_worker.recipes.audio_encoder.mouth import (
    APERTURE,
    CLOSE,
    DOMINANCE,
    JAW,
    LABIODENTAL,
    PARAMETERS,
    ROUND,
    SHAPES,
    WIDE,
    mouth_curves,
)
from avatar_worker.recipes.speech.phones import PHONES
from avatar_worker.recipes.speech.utterance import SILENCE, Mark

pytestmark = pytest.mark.unit


def shape(phone: str) -> dict[str, float]:
    return dict(zip(PARAMETERS, SHAPES[PHONES.index(phone)], strict=True))


def sentence(*phones: tuple[str, float]) -> list[Mark]:
    marks: list[Mark] = []
    for phone, duration_s in phones:
        start_s = marks[-1].end_s if marks else 0.0
        marks.append(Mark(phone, start_s, start_s + duration_s))
    return marks


def test_the_tables_hold_the_recipes_numbers():
    assert SHAPES.shape == DOMINANCE.shape == (38, 9)
    assert not SHAPES[PHONES.index(SILENCE)].any()
    assert SHAPES[PHONES.index("ɑ")].tolist() == [0.95, 0.9, 0, 0.05, 0.05, 0, 0, 0, 0]
    assert shape("u")["round"] == 0.95
    assert shape("ʒ") == shape("ʃ")
    assert shape("ʃ")["flare"] == 0.9
    for phone in "pbm":
        assert shape(phone)["close"] == 1
    for phone in "fv":
        assert shape(phone)["lab"] == 1
    assert DOMINANCE[PHONES.index("w"), ROUND] == 2
    assert DOMINANCE[PHONES.index("p"), WIDE] == 0.12
    assert DOMINANCE[PHONES.index("ɑ"), LABIODENTAL] == 0.3


def test_two_phones_meet_in_the_middle_as_their_dominance_says():
    marks = sentence(("i", 0.1), ("ɑ", 0.1))
    curves, phones = mouth_curves(marks, np.array([0.05, 0.15]))
    far = np.exp(-0.05 / 0.055)  # ɑ is 50 ms ahead; the jaw anticipates with 55 ms
    assert curves[0, JAW] == pytest.approx((0.18 + 0.95 * far) / (1 + far), abs=1e-5)
    past = np.exp(-0.05 / 0.060)
    assert curves[1, JAW] == pytest.approx((0.95 + 0.18 * past) / (1 + past), abs=1e-5)
    assert [PHONES[p] for p in phones] == ["i", "ɑ"]


@pytest.mark.parametrize("phone", list("pbmfv"))
@pytest.mark.parametrize("duration_s", [0.02, 0.05, 0.12])
def test_every_closure_fills_a_frame_wherever_it_falls(phone: str, duration_s: float):
    parameter = CLOSE if phone in "pbm" else LABIODENTAL
    for offset_s in np.arange(0, FRAME_S, 0.005):
        marks = sentence((SILENCE, 0.2 + offset_s), ("ɑ", 0.12), (phone, duration_s), ("i", 0.2))
        times_s = np.arange(0, marks[-1].end_s, STEP_S)
        labels, _ = frame_labels(*mouth_curves(marks, times_s), n_frames=14)
        assert labels[:, parameter].max() > 0.9


def test_pressed_lips_leave_no_gap_and_hold_the_jaw():
    marks = sentence(("ɑ", 0.2), ("m", 0.1), ("ɑ", 0.2))
    curves, _ = mouth_curves(marks, np.array([0.1, 0.25]))
    assert curves[1, CLOSE] == pytest.approx(1, abs=1e-6)
    assert curves[1, APERTURE] == pytest.approx(0, abs=1e-6)
    assert curves[1, JAW] < 0.5 * curves[0, JAW]


def test_a_stop_between_rounded_vowels_stays_rounded():
    curves, _ = mouth_curves(sentence(("u", 0.15), ("b", 0.08), ("u", 0.15)), np.array([0.19]))
    assert curves[0, ROUND] > 0.6


def test_curves_stay_between_0_and_1():
    marks = sentence(*((phone, 0.07) for phone in PHONES))
    curves, _ = mouth_curves(marks, np.arange(0, marks[-1].end_s, 0.003))
    assert curves.min() >= 0
    assert curves.max() <= 1 + 1e-6


def test_the_label_of_frame_i_is_the_curve_at_its_middle():
    steps = np.arange(0, 101)
    ramp = np.repeat((steps * STEP_S)[:, None], 9, axis=1)
    labels, _ = frame_labels(ramp, np.zeros(101, np.uint8), n_frames=5)
    assert labels[1:6, 0] == pytest.approx([0.02, 0.06, 0.10, 0.14, 0.18])


def test_labels_of_a_stretched_sound_move_with_it():
    ramp = np.repeat((np.arange(101) * STEP_S)[:, None], 9, axis=1)
    labels, _ = frame_labels(ramp, np.zeros(101, np.uint8), n_frames=5, stretch=1.25)
    assert labels[5, 0] == pytest.approx(0.18 / 1.25)
