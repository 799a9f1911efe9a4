"""Which points of the 468-point mesh lie where on a face."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

OVAL: Final = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""Outline of the face: top of the forehead, down the person's left side, chin, and up again."""

FOREHEAD_TOP, CHIN, NOSE_TIP = 10, 152, 4
UNDER_NOSE_TIP: Final = 5
RIGHT_CHEEK, LEFT_CHEEK = 234, 454
"""Before the ears; right and left are the person's."""

RIGHT_EYE: Final = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE: Final = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
RIGHT_BROW: Final = (70, 63, 105, 66, 107, 46, 53, 52, 65, 55)
LEFT_BROW: Final = (300, 293, 334, 296, 336, 276, 283, 282, 295, 285)
LIPS: Final = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185,
)  # fmt: skip

STEADY: Final = (
    33, 263, 133, 362,  # corners of the eyes
    168, 6, 197, 195, 5, 4, 1, 98, 327, 2, 115, 344, 45, 275, 220, 440, 174, 399, 114, 343,  # nose
    8, 9, 151, 10, 109, 338, 67, 297, 103, 332, 54, 284, 21, 251, 108, 337, 69, 299,  # forehead
    # temples
    104, 333, 68, 298, 71, 301, 162, 389, 139, 368, 127, 356, 34, 264, 143, 372, 227, 447,
    234, 454, 116, 345, 117, 346, 118, 347, 123, 352, 50, 280, 101, 330,  # cheekbones
)  # fmt: skip
"""What moves with the skull more than with speech; the outer corners of the eyes come first."""


def hull(
    mesh: NDArray[np.float64], part: tuple[int, ...], size: tuple[int, ...], margin_px: int = 0
) -> NDArray[np.bool_]:
    """Pixels inside the convex outline of some points, grown by a margin; size is height, width."""
    picture = np.zeros(size[:2], np.uint8)
    corners = np.rint(mesh[list(part), :2]).astype(np.int32)
    cv2.fillConvexPoly(picture, cv2.convexHull(corners), 1)
    if margin_px:
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin_px + 1,) * 2)
        return np.asarray(cv2.dilate(picture, disc) > 0)
    return np.asarray(picture > 0)
