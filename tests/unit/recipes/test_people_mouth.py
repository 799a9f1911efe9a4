"""What the mouth does for each phone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from avatar_worker.recipes.audio_encoder.mouth import SHAPES
from avatar_worker.recipes.people import units
from avatar_worker.recipes.people.mouth import mouth_units, speech_activity, units_from_parameters
from avatar_worker.recipes.speech.phones import PHONES
from avatar_worker.recipes.speech.utterance import Mark

pytestmark = pytest.mark.unit


def shape_of(phone: str) -> dict[str, float]:
    """The unit weights of a phone held for long."""
    (row,) = units_from_parameters(SHAPES[PHONES.index(phone)][None])
    return dict(zip(units.ALL_NAMES, row, strict=True))


@pytest.mark.parametrize(
    ("phone", "judged"),
    [
        ("m", units.PRESSED),
        ("f", units.LIP_ON_TEETH),
        ("t", units.ALVEOLAR),
        ("l", units.ALVEOLAR),
        ("θ", units.DENTAL),
        ("s", units.SIBILANT),
        ("ʃ", units.FLARED),
        ("k", units.BACK),
        ("ɑ", units.OPEN),
        ("ɛ", units.HALF_WIDE),
        ("i", units.WIDE),
        ("o", units.ROUND),
        ("u", units.NARROW),
    ],
)
def test_each_phone_comes_near_the_shape_that_was_judged_by_eye(
    phone: str, judged: Mapping[str, float]
) -> None:
    shape = shape_of(phone)

    apart = {n: abs(shape[n] - judged.get(n, 0.0)) for n in units.ALL_NAMES}

    # Rolled and pressed lips depend on the opening less than the jaw does.
    assert max(apart.values()) < 0.18, {n: a for n, a in apart.items() if a >= 0.18}


@pytest.mark.parametrize("phone", "pbm")
@pytest.mark.parametrize("vowels", ["ɑɑ", "iu", "oɛ"])
def test_lips_meet_in_every_closure_whatever_stands_around_it(phone: str, vowels: str) -> None:
    marks = [Mark(vowels[0], 0, 0.12), Mark(phone, 0.12, 0.17), Mark(vowels[1], 0.17, 0.3)]
    times = np.arange(0, 0.3, 0.005)

    weights = dict(zip(units.ALL_NAMES, mouth_units(marks, times).T, strict=True))
    closed = weights["mouthPressLeft"] > 0.9 * units.PRESSED["mouthPressLeft"]

    assert closed.sum() * 0.005 >= 0.04, "a closure shorter than a picture can be missed"
    # What the jaw opens, the lips close again; and nothing pulls them apart.
    at = np.argmax(weights["mouthPressLeft"])
    assert weights["mouthClose"][at] >= weights["jawOpen"][at]
    assert weights["mouthUpperUpLeft"][at] < 0.02
    assert weights["mouthLowerDownLeft"][at] < 0.02


@pytest.mark.parametrize("phone", "fv")
def test_the_lower_lip_reaches_the_teeth(phone: str) -> None:
    marks = [Mark("ɑ", 0, 0.15), Mark(phone, 0.15, 0.2), Mark("ɑ", 0.2, 0.35)]
    frame_times = np.arange(0.02, 0.35, 0.04)

    weights = dict(zip(units.ALL_NAMES, mouth_units(marks, frame_times).T, strict=True))

    assert weights["mouthRollLower"].max() > 0.65
    assert weights["mouthLowerDownLeft"][np.argmax(weights["mouthRollLower"])] < 0.05


def test_a_closure_takes_the_rounding_of_its_vowel() -> None:
    def pucker(vowel: str) -> float:
        marks = [Mark(vowel, 0, 0.12), Mark("b", 0.12, 0.18), Mark(vowel, 0.18, 0.3)]
        (row,) = mouth_units(marks, np.array([0.15]))
        return float(row[units.NAMES.index("mouthPucker")])

    assert pucker("u") > 0.4
    assert pucker("i") < 0.05


def test_silence_leaves_the_mouth_at_rest() -> None:
    marks = [Mark("sil", 0, 1)]

    assert np.abs(mouth_units(marks, np.array([0.1, 0.5, 0.9]))).max() < 1e-6


def test_activity_follows_the_sound_within_the_renderers_window() -> None:
    marks = [Mark("sil", 0, 1), Mark("ɑ", 1, 2), Mark("sil", 2, 3)]

    activity = speech_activity(marks, np.array([0.8, 1.0, 1.5, 2.0, 2.2]))

    assert activity[[0, 4]] == pytest.approx(0)
    assert activity[2] == pytest.approx(1)
    assert 0.3 < activity[1] < 0.7
