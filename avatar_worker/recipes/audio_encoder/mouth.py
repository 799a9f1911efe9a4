"""Phones → nine mouth parameters over time: the targets that the encoder learns to hear.

Every phone has a target shape and insists on it to a degree that fades before and after it
(dominance functions after Cohen and Massaro). Lip closures are too short to survive such an
average, so they are laid over the curves. The numbers are phonetic judgement, not measurements.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from avatar_worker.recipes.speech.phones import PHONES, VOWELS
from avatar_worker.recipes.speech.utterance import SILENCE, Mark

PARAMETERS = ("jaw", "aper", "close", "round", "wide", "lab", "flare", "tongue", "teeth")
"""Jaw opening, lip gap, lips pressed, rounding, spread, lip on teeth, flare, tongue, teeth: 0…1."""

JAW, APERTURE, CLOSE, ROUND, WIDE, LABIODENTAL, FLARE, TONGUE, TEETH = range(9)

_SHAPES = """
sil   0    0    0  0    0    0  0    0    0
pbm   .05  0    1  0    0    0  0    0    0
f     .1   .15  0  0    .15  1  .1   0    .2
v     .12  .15  0  0    .15  1  .1   0    .2
θð    .2   .3   0  0    .15  0  .1   1    .3
t     .15  .28  0  0    .2   0  .1   .6   .5
d     .17  .28  0  0    .2   0  .1   .6   .5
n     .18  .28  0  0    .2   0  .1   .6   .4
ɾ     .2   .3   0  0    .2   0  .1   .5   .3
l     .28  .38  0  0    .15  0  .05  .8   .1
sz    .05  .22  0  0    .4   0  .2   .2   1
ʃʒ    .08  .32  0  .65  0    0  .9   .1   .9
ɹ     .2   .28  0  .55  0    0  .4   .1   .3
w     .1   .12  0  1    0    0  0    0    0
j     .12  .25  0  0    .6   0  0    .1   .4
kɡ    .22  .32  0  0    .1   0  0    0    .1
ŋ     .22  .3   0  0    .1   0  0    0    .1
h     .25  .35  0  0    0    0  0    0    0
i     .18  .32  0  0    .9   0  0    .05  .3
ɪ     .28  .4   0  0    .55  0  0    .05  .15
e     .35  .48  0  0    .7   0  0    0    .1
ɛ     .5   .6   0  0    .5   0  0    0    0
æ     .7   .75  0  0    .55  0  0    0    0
ɑ     .95  .9   0  .05  .05  0  0    0    0
a     .95  .9   0  0    .2   0  0    0    0
ʌ     .55  .6   0  0    .1   0  0    0    0
ə     .35  .42  0  0    .1   0  0    0    .05
ɔ     .7   .7   0  .55  0    0  .1   0    0
o     .5   .48  0  .75  0    0  .05  0    0
ʊ     .3   .32  0  .6   0    0  .1   0    0
u     .18  .2   0  .95  0    0  .1   0    0
ɜ     .35  .4   0  .45  0    0  .25  0    .1
"""

_VOWEL_DOMINANCE = (1, 1, 1, 1, 1, 0.3, 0.4, 0.4, 0.4)
_CONSONANT_DOMINANCE = (0.35, 0.35, 0.35, 0.35, 0.35, 0.9, 0.9, 0.9, 0.9)
_DOMINANCE = """
sil   .6   .6   .6   .25  .25  .6   .6   .6   .6
pbm   .8   1    .35  .12  .12  .9   .3   .3   .5
fv    .8   1    .35  .2   .35  .9   .9   .9   .9
sz    1.2  1    .35  .25  .5   .9   .9   .9   .9
ʃʒ    1.2  1    .35  1    .8   .9   .9   .9   .9
w     1    1    1    2    1.5  1    1    1    1
ɹ     .5   .6   .35  .8   .35  .9   .9   .9   .9
θðl   .6   .7   .35  .35  .35  .9   .9   1.2  .9
kɡŋh  .3   .3   .2   .2   .2   .2   .2   .2   .2
j     .35  .35  .35  .35  1    .9   .9   .9   .9
"""
"""Where a phone insists more or less than its kind: rounding and spread pass through p, b and m,
nearly everything through k, ɡ, ŋ and h; sibilants hold the jaw, w the lips."""

_ANTICIPATION_S = np.array([55, 50, 40, 90, 80, 40, 55, 45, 50]) / 1000
_CARRY_OVER_S = np.array([60, 55, 40, 60, 60, 40, 50, 45, 50]) / 1000
_SHORT_PHONE_S = 0.060

_HELD_SHARE = {"p": 0.65, "b": 0.8, "m": 1.0, "f": 0.95, "v": 0.95}
"""How much of the phone the lips stay shut: a stop ends with its release."""

_RISE_S, _SHORTEST_HOLD_S, _FALL_S = 0.060, 0.060, 0.050


def _table(lines: str) -> dict[str, list[float]]:
    rows = (line.split() for line in lines.strip().splitlines())
    values = {row[0]: [float(value) for value in row[1:]] for row in rows}
    return {
        phone: row
        for phones, row in values.items()
        for phone in ([SILENCE] if phones == SILENCE else phones)
    }


def _dominance(phone: str) -> Sequence[float]:
    kind = _VOWEL_DOMINANCE if phone in VOWELS else _CONSONANT_DOMINANCE
    return _table(_DOMINANCE).get(phone, kind)


SHAPES: NDArray[np.float64] = np.array([_table(_SHAPES)[phone] for phone in PHONES])
"""Target shape of each phone, `[38, 9]`."""

DOMINANCE: NDArray[np.float64] = np.array([_dominance(phone) for phone in PHONES])
"""How much each phone insists on its shape, `[38, 9]`."""


def mouth_curves(
    marks: Sequence[Mark], times_s: NDArray[np.floating]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """The mouth at given times.

    Args:
        marks: Phones in order, without gaps; at least one.
        times_s: When, `[N]`, in seconds.

    Returns:
        Parameters `[N, 9]` in 0…1 and the phone heard at each time `[N]`, an index of `PHONES`.
    """
    phones = np.array([PHONES.index(mark.phone) for mark in marks])
    starts_s = np.array([mark.start_s for mark in marks])
    ends_s = np.array([mark.end_s for mark in marks])
    times = np.asarray(times_s, dtype=np.float64)

    until_s = np.maximum(starts_s - times[:, None], 0)
    since_s = np.maximum(times[:, None] - ends_s, 0)
    weight = np.sqrt(np.minimum(1, (ends_s - starts_s) / _SHORT_PHONE_S))
    curves = np.empty((len(times), len(PARAMETERS)))
    for p in range(len(PARAMETERS)):
        fade = np.exp(-until_s / _ANTICIPATION_S[p] - since_s / _CARRY_OVER_S[p])
        insists = DOMINANCE[phones, p] * weight * fade
        curves[:, p] = insists @ SHAPES[phones, p] / (insists.sum(axis=1) + 1e-9)

    for mark in marks:
        if mark.phone in _HELD_SHARE:
            p = CLOSE if mark.phone in "pbm" else LABIODENTAL
            curves[:, p] = np.maximum(curves[:, p], _closure(mark, times))
    curves[:, APERTURE] *= 1 - curves[:, CLOSE]
    curves[:, JAW] *= 1 - 0.6 * curves[:, CLOSE]
    on_teeth = curves[:, LABIODENTAL]
    limit = np.where(on_teeth > 0.3, 1 - 0.85 * on_teeth, 1)
    curves[:, APERTURE] = np.minimum(curves[:, APERTURE], limit)

    index = np.clip(np.searchsorted(ends_s, times, side="right"), 0, len(marks) - 1)
    outside = (times < starts_s[0]) | (times >= ends_s[-1])
    heard = np.where(outside, PHONES.index(SILENCE), phones[index])
    return curves.astype(np.float32), heard.astype(np.uint8)


def _closure(mark: Mark, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """A smooth trapezoid that is 1 while the lips are shut, at least `_SHORTEST_HOLD_S` long."""
    start_s = mark.start_s
    end_s = start_s + mark.duration_s * _HELD_SHARE[mark.phone]
    if end_s - start_s < _SHORTEST_HOLD_S:
        middle_s = (start_s + end_s) / 2
        start_s, end_s = middle_s - _SHORTEST_HOLD_S / 2, middle_s + _SHORTEST_HOLD_S / 2
    rise = np.clip((times_s - (start_s - _RISE_S)) / _RISE_S, 0, 1)
    fall = np.clip((end_s + _FALL_S - times_s) / _FALL_S, 0, 1)
    ramp = rise * fall
    return ramp * ramp * (3 - 2 * ramp)
