"""The 52 face units, one of our own, and the mouth shapes made of them.

A unit's name ends in the character's own side: `Left` is on the right of the picture.
"""

from __future__ import annotations

from collections.abc import Mapping

Units = Mapping[str, float]

NAMES: tuple[str, ...] = (
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight",
    "eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft",
    "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight",
    "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose",
    "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel",
    "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight",
    "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower",
    "mouthShrugUpper", "mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft",
    "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight", "noseSneerLeft",
    "noseSneerRight", "tongueOut",
)  # fmt: skip
"""Alphabetical, which is also the column order of `bs.npy`."""

TONGUE_TIP_UP = "tongueTipUp"
"""Not among the 52, which only push the tongue forward; made in `character.py`."""

ALL_NAMES: tuple[str, ...] = (*NAMES, TONGUE_TIP_UP)
"""What the mesh can do. The first 52 columns of a row of weights are those of `bs.npy`."""


def both(name: str, weight: float) -> dict[str, float]:
    """The unit on both sides."""
    return {f"{name}Left": weight, f"{name}Right": weight}


def scaled(units: Units, factor: float) -> dict[str, float]:
    """All weights times a factor."""
    return {name: weight * factor for name, weight in units.items()}


def mixed(*parts: Units) -> dict[str, float]:
    """Sum of weights."""
    total: dict[str, float] = {}
    for part in parts:
        for name, weight in part.items():
            total[name] = total.get(name, 0.0) + weight
    return total


FRIENDLY: dict[str, float] = {
    "mouthSmileLeft": 0.38,
    "mouthSmileRight": 0.36,
    **both("cheekSquint", 0.25),
    **both("mouthDimple", 0.1),
    "browInnerUp": 0.12,
    "mouthClose": 0.04,  # else the smile opens the corners
}
"""The resting face; 0.4 of it stays while she speaks."""

BLINK = both("eyeBlink", 1.0)
PRESSED = {
    **both("mouthPress", 0.35),
    "mouthRollLower": 0.35,
    "mouthRollUpper": 0.30,
    "mouthClose": 0.08,
}
LIP_ON_TEETH = {"mouthRollLower": 0.75, **both("mouthUpperUp", 0.35), "mouthShrugLower": 0.55}
DENTAL = {
    "jawOpen": 0.20,
    "tongueOut": 0.66,
    **both("mouthLowerDown", 0.2),
    **both("mouthUpperUp", 0.2),
}
ALVEOLAR = {
    "jawOpen": 0.17,
    TONGUE_TIP_UP: 1.0,
    **both("mouthUpperUp", 0.25),
    **both("mouthLowerDown", 0.2),
}
SIBILANT = {
    "jawOpen": 0.05,
    **both("mouthStretch", 0.3),
    **both("mouthUpperUp", 0.35),
    **both("mouthLowerDown", 0.5),
    "mouthShrugUpper": 0.25,
}
FLARED = {"jawOpen": 0.08, "mouthFunnel": 0.75, "mouthPucker": 0.15, **both("mouthUpperUp", 0.2)}
BACK = {"jawOpen": 0.14, **both("mouthUpperUp", 0.18), **both("mouthLowerDown", 0.15)}
OPEN = {"jawOpen": 0.45, **both("mouthLowerDown", 0.2), **both("mouthUpperUp", 0.3)}
HALF_WIDE = {
    "jawOpen": 0.26,
    **both("mouthStretch", 0.3),
    **both("mouthSmile", 0.15),
    **both("mouthUpperUp", 0.25),
    **both("mouthLowerDown", 0.25),
    "mouthShrugUpper": 0.2,
}
WIDE = {
    "jawOpen": 0.12,
    **both("mouthSmile", 0.4),
    **both("mouthStretch", 0.3),
    **both("mouthUpperUp", 0.3),
    **both("mouthLowerDown", 0.4),
    "mouthShrugUpper": 0.3,
}
ROUND = {"jawOpen": 0.32, "mouthFunnel": 0.65, "mouthPucker": 0.1}
NARROW = {"jawOpen": 0.10, "mouthPucker": 0.85, "mouthFunnel": 0.3}
