"""The nine mouth parameters the audio encoder hears → unit weights of drawn lips and jaw.

Driving the drawn mouth through the encoder's own parameters makes the two agree: what the encoder
was taught to hear is exactly what the trainer sees. Closures come enforced from `mouth_curves`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from avatar_worker.recipes.audio_encoder.mouth import PARAMETERS, mouth_curves
from avatar_worker.recipes.people.easing import smoothstep
from avatar_worker.recipes.people.units import ALL_NAMES, DENTAL, PRESSED, TONGUE_TIP_UP
from avatar_worker.recipes.speech.utterance import SILENCE, Mark

Floats = NDArray[np.float64]

CORNERS_MEET = 0.06
"""How much of `mouthClose` the lips take beyond what the jaw has opened: rolled and pressed lips
alone leave a slit at each corner, four pixels high."""

_COLUMN = {name: at for at, name in enumerate(ALL_NAMES)}
_SIDED = frozenset(name[:-4] for name in ALL_NAMES if name.endswith("Left"))


def units_from_parameters(parameters: NDArray[np.floating]) -> Floats:
    """Mouth parameters [N, 9] in 0…1 → unit weights [N, 53], columns as in `ALL_NAMES`.

    The coefficients were fitted by hand so that each phone's target lands near the shape that was
    judged by eye for its class (see the table in `units.py`).
    """
    p = dict(zip(PARAMETERS, np.asarray(parameters, dtype=np.float64).T, strict=True))
    jaw, gap, close = p["jaw"], p["aper"], p["close"]
    rounded, wide, lip_on_teeth = p["round"], p["wide"], p["lab"]
    flare, tongue, teeth = p["flare"], p["tongue"], p["teeth"]

    # Rounding is a funnel in an open mouth (o) and a pucker in a narrow one (u, w).
    is_open = smoothstep(gap, 0.2, 0.5)
    free = 1.0 - close
    weights = np.zeros((len(jaw), len(ALL_NAMES)))

    def put(name: str, value: Floats) -> None:
        names = [f"{name}Left", f"{name}Right"] if name in _SIDED else [name]
        for one in names:
            weights[:, _COLUMN[one]] = np.clip(value, 0.0, 1.0)

    opened = 0.47 * jaw + 0.23 * rounded * jaw
    put("jawOpen", opened)
    # Without it a dropped jaw parts the pressed lips; the rest makes the corners meet too.
    put("mouthClose", close * (opened + CORNERS_MEET))
    lifted = np.minimum(0.32, 0.42 * gap + 0.15 * teeth + 0.05 * wide)
    put("mouthUpperUp", free * np.maximum(lifted * (1 - 0.5 * rounded), 0.35 * lip_on_teeth))
    lowered = 0.20 * gap + 0.35 * teeth + 0.25 * wide
    pushed_out = np.maximum(0.6 * rounded, 0.8 * flare)
    put("mouthLowerDown", free * (1 - lip_on_teeth) * lowered * (1 - pushed_out))
    put("mouthShrugUpper", free * (0.25 * wide + 0.15 * teeth))
    put("mouthStretch", np.minimum(0.32, 0.5 * wide))
    put("mouthSmile", 0.44 * wide**2)
    put("mouthPucker", rounded * (1 - flare) * (0.9 - 0.75 * is_open))
    put("mouthFunnel", np.maximum(rounded * (0.3 + 0.55 * is_open), 0.82 * flare))
    # The tongue's level tells where its tip is: behind the upper teeth for t, d, n (0.6) and
    # l (0.8), between the teeth for th (1).
    between = smoothstep(tongue, 0.8, 1.0)
    put(TONGUE_TIP_UP, free * smoothstep(tongue, 0.15, 0.55) * (1 - between))
    put("tongueOut", free * DENTAL["tongueOut"] * between)
    put("mouthShrugLower", 0.55 * lip_on_teeth)
    put("mouthPress", PRESSED["mouthPressLeft"] * close)
    put("mouthRollLower", PRESSED["mouthRollLower"] * close + 0.75 * lip_on_teeth)
    put("mouthRollUpper", PRESSED["mouthRollUpper"] * close)
    return weights


def mouth_units(marks: Sequence[Mark], times_s: NDArray[np.floating]) -> Floats:
    """Unit weights [N, 53] of the speaking mouth at these times."""
    parameters, _ = mouth_curves(marks, times_s)
    return units_from_parameters(parameters)


def speech_activity(marks: Sequence[Mark], times_s: NDArray[np.floating]) -> Floats:
    """[N] 0 in silence, 1 in speech, with soft edges of about ±0.16 s.

    The edges are no wider than what the renderer's audio window hears: the smile that fades while
    she speaks must follow from the sound alone.
    """
    grid = np.arange(-0.16, 0.161, 0.02)
    kernel = np.exp(-0.5 * (grid / 0.08) ** 2)
    speaking = np.zeros((len(times_s), len(grid)))
    around = np.asarray(times_s, dtype=np.float64)[:, None] + grid
    for mark in marks:
        if mark.phone != SILENCE:
            speaking += (around >= mark.start_s) & (around < mark.end_s)
    return np.asarray(np.minimum(speaking, 1.0) @ kernel / kernel.sum())
