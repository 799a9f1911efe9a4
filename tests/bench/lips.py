"""How far lips are apart in a picture, by its pixels.

Landmark finders smooth over closed mouths: the mesh's inner lips read up to 4 px where lips touch.
So landmarks only say where the mouth is, and the pixels there that are no lip are counted: dark
ones (the inside, against the brightness of the same picture's lips) and those without the lips' red
(teeth). A tongue counts as lip, so wide gaps read too small. How well this follows drawn truth:
`python -m tests.bench.lip_closure --truth`.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

REFERENCE_PX: Final = 512
"""Distances below are for pictures of this width."""

HALF_COLUMNS: Final = 8
"""So many columns on either side of the mouth's centre are looked at."""

MARGIN_PX: Final = 7
"""Above and below the inner lips found: they are off by as much as 4 px."""

BRIGHT_PERCENTILE: Final = 90
LIP_RED, DARK_RED = 0.55, 0.35
"""Red over that of bright lips: from here on it is lip, up to there it is dark."""

LIP_TINT, TOOTH_TINT = 0.27, 0.15
"""(red − green) over red, likewise for teeth; the lower lip's highlights come to 0.27."""

UPPER_LIP, LOWER_LIP = 51, 57
UPPER_INNER, LOWER_INNER = 62, 66
"""Landmarks in the middle of the lips: their outer edges and their inner ones."""


def lip_gap_px(picture: NDArray[np.uint8], landmarks: NDArray[np.floating]) -> float:
    """Mean height of what is between the lips in the mouth's centre columns, in pixels.

    Args:
        picture: RGB. [H, W, 3]
        landmarks: column and row of the 68 landmarks, see `prepare.landmarks68`. [68, 2]
    """
    scale = picture.shape[1] / REFERENCE_PX
    middle = landmarks[[UPPER_LIP, LOWER_LIP, UPPER_INNER, LOWER_INNER], 0].mean()
    half, margin = round(HALF_COLUMNS * scale), round(MARGIN_PX * scale)
    left, right = round(float(middle)) - half, round(float(middle)) + half + 1
    top, bottom = int(landmarks[UPPER_LIP, 1]), int(landmarks[LOWER_LIP, 1]) + 1
    bright = np.percentile(picture[top:bottom, left:right, 0], BRIGHT_PERCENTILE)
    top = max(top, round(float(landmarks[UPPER_INNER, 1])) - margin)
    bottom = min(bottom, round(float(landmarks[LOWER_INNER, 1])) + margin + 1)
    part = picture[top:bottom, left:right].astype(np.float64)
    red, green = part[..., 0], part[..., 1]
    is_dark = _ramp(red / max(float(bright), 1.0), LIP_RED, DARK_RED)
    is_tooth = _ramp((red - green) / np.maximum(red, 1.0), LIP_TINT, TOOTH_TINT)
    return float(np.maximum(is_dark, is_tooth).sum(axis=0).mean())


def _ramp(values: NDArray[np.float64], zero: float, one: float) -> NDArray[np.float64]:
    return ((values - zero) / (one - zero)).clip(0.0, 1.0)
