"""Which square of the video becomes the folder's pictures: one for the whole clip."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE_PX: Final = 512
"""Of the folder's pictures, as the original wants them."""

FACES_HIGH: Final = 2.3
"""Height of the square in faces (hairline to chin): head and hair fill 60 %, shoulders show."""

FACE_MIDDLE: Final = 0.47
"""Where the middle of the face lies, from the top."""

KEEP_WHOLE: Final = 0.9
"""A square that covers this share of the shorter side may as well cover all of it: nothing is
gained by cutting a little."""


@dataclass(frozen=True, slots=True)
class Crop:
    """A square in upright pixels of the video."""

    left: int
    top: int
    side: int

    def cut(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The square at the folder's size, RGB. [512, 512, 3]"""
        part = picture[self.top : self.top + self.side, self.left : self.left + self.side]
        if self.side == SIZE_PX:
            return np.ascontiguousarray(part)
        method = cv2.INTER_AREA if self.side > SIZE_PX else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(part, (SIZE_PX, SIZE_PX), interpolation=method))


def choose_crop(meshes: Sequence[NDArray[np.float64]], width: int, height: int) -> Crop:
    """The square that holds the head in all of these pictures.

    Args:
        meshes: points of the face in some pictures, in pixels. [468, 3] each
        width: of the video's pictures.
        height: likewise.
    """
    low = np.array([mesh[:, :2].min(axis=0) for mesh in meshes])
    high = np.array([mesh[:, :2].max(axis=0) for mesh in meshes])
    face = float(np.median(high[:, 1] - low[:, 1]))
    roaming = np.ptp((low + high) / 2, axis=0).max()
    limit = min(width, height)
    side = min(limit, round(face * FACES_HIGH + roaming))
    if side > KEEP_WHOLE * limit:
        side = limit
    middle = np.median((low + high) / 2, axis=0)
    left = int(np.clip(round(middle[0] - side / 2), 0, width - side))
    top = int(np.clip(round(middle[1] - side * FACE_MIDDLE), 0, height - side))
    return Crop(left, top, side)
