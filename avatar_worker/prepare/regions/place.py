"""Where a pixel lies on or about a face: how far across, how far down."""

from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from avatar_worker.prepare.mesh_parts import (
    CHIN,
    FOREHEAD_TOP,
    LEFT_BROW,
    LEFT_CHEEK,
    LEFT_EYE,
    LIPS,
    OVAL,
    RIGHT_BROW,
    RIGHT_CHEEK,
    RIGHT_EYE,
    hull,
)

Floats = NDArray[np.float64]

FEATURE_MARGIN_PX: Final = 6


@dataclass(frozen=True, slots=True)
class Place:
    """Coordinates of every pixel in the frame of a face, which may be tilted.

    Attributes:
        across: 0 in the middle, ±0.5 at the cheeks. [H, W]
        down: 0 at the hairline, 1 at the chin. [H, W]
        inside: the outline of the face. [H, W]
        features: eyes, brows and lips, with a margin. [H, W]
    """

    across: Floats = field(repr=False)
    down: Floats = field(repr=False)
    inside: NDArray[np.bool_] = field(repr=False)
    features: NDArray[np.bool_] = field(repr=False)


def place_of(mesh: Floats, size: tuple[int, int]) -> Place:
    """Coordinates about a face whose mesh is given in pixels [468, 3]; size is height, width."""
    points = mesh[:, :2]
    axis = points[CHIN] - points[FOREHEAD_TOP]
    height = float(np.hypot(*axis))
    down = axis / height
    right = np.array([down[1], -down[0]])  # along the picture's columns when the face is upright
    width = abs(float((points[LEFT_CHEEK] - points[RIGHT_CHEEK]) @ right))
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float64)
    middle = (points[LEFT_CHEEK] + points[RIGHT_CHEEK]) / 2
    x, y = columns - points[FOREHEAD_TOP, 0], rows - points[FOREHEAD_TOP, 1]
    inside = np.zeros(size, np.uint8)
    outline = np.rint(points[list(OVAL)]).astype(np.int32)
    cv2.fillPoly(inside, [outline], 1)
    across = (columns - middle[0]) * right[0] + (rows - middle[1]) * right[1]
    features = np.zeros(size, bool)
    for part in (LIPS, RIGHT_EYE, LEFT_EYE, RIGHT_BROW, LEFT_BROW):
        features |= hull(mesh, part, size, margin_px=FEATURE_MARGIN_PX)
    return Place(
        across / max(width, 1.0), (x * down[0] + y * down[1]) / height, inside > 0, features
    )
