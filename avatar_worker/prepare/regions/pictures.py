"""Labels as the pictures that the original's scripts read."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from avatar_worker.prepare.regions.labels import FACE, HEAD, NECK, TORSO

COLOURS: Final = {HEAD: (0, 0, 255), FACE: (0, 0, 255), NECK: (0, 255, 0), TORSO: (255, 0, 0)}
"""RGB; the original's scripts name them in BGR. What is left is white."""

CHIN_PX: Final = 5
BLUR_PX, BLUR_SIGMA = 9, 4.0


def parsing_picture(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`parsing/<id>.png`: head blue, neck green, torso red, background white. [H, W, 3]"""
    picture = np.full((*labels.shape, 3), 255, np.uint8)
    for which, colour in COLOURS.items():
        picture[labels == which] = colour
    return picture


def face_picture(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`parsing/<id>_face.png`: the face blue on white, the chin lengthened, softened. [H, W, 3]

    In the middle half of its columns the face grows by nine rows downwards, room for a jaw that
    opens further than in this frame.
    """
    face = (labels == FACE).copy()
    columns = np.flatnonzero(face.any(axis=0))
    if len(columns):
        quarter = int(columns[-1] - columns[0]) // 4
        for column in range(int(columns[0]) + quarter, int(columns[0]) + 3 * quarter):
            rows = np.flatnonzero(face[:, column])
            if len(rows):
                chin = min(int(rows[-1]) + CHIN_PX, len(face) - 1)
                face[max(chin - CHIN_PX, 0) : chin + CHIN_PX, column] = True
    picture = np.full((*labels.shape, 3), 255, np.uint8)
    picture[face] = (0, 0, 255)
    return np.asarray(cv2.GaussianBlur(picture, (BLUR_PX, BLUR_PX), BLUR_SIGMA), np.uint8)
