"""Where faces are in a picture: boxes, and enough points to turn them upright."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from avatar_worker.prepare.models.network import Network

INPUT_PX: Final = 128
LAYERS: Final = ((16, 2), (8, 6))
"""Cells a side, and anchors a cell."""

MIN_SCORE: Final = 0.6
MAX_OVERLAP: Final = 0.3
"""Intersection over union from which two boxes are the same face."""


@dataclass(frozen=True, slots=True)
class Face:
    """A face that was found.

    Attributes:
        box: left, top, right, bottom in pixels; may reach beyond the picture. [4]
        points: right eye, left eye, nose, mouth, right ear, left ear (of the person). [6, 2]
        score: how sure, 0 … 1.
    """

    box: NDArray[np.float64]
    points: NDArray[np.float64]
    score: float

    @property
    def height_px(self) -> float:
        """From the brows to the chin, roughly."""
        return float(self.box[3] - self.box[1])


class FaceDetector:
    """Finds the faces of a picture, the surest first."""

    def __init__(self) -> None:
        self._network = Network("detector")
        self._anchors = _anchors()

    def __call__(self, picture: NDArray[np.uint8]) -> list[Face]:
        """Faces in an RGB picture [H, W, 3] of any size.

        A picture that is not square is looked at whole and in its square parts, because a face
        that fills less than a tenth of the network's input is not seen.
        """
        height, width = picture.shape[:2]
        side = min(height, width)
        found = self._in_square(picture, 0, 0, max(height, width))
        if max(height, width) > 1.2 * side:
            for share in (0.0, 0.5, 1.0):
                left, top = round(share * (width - side)), round(share * (height - side))
                found += self._in_square(picture[top : top + side, left : left + side],
                                         left, top, side)  # fmt: skip
        return _without_doubles(found)

    def _in_square(self, part: NDArray[np.uint8], left: int, top: int, side: int) -> list[Face]:
        """Faces of a part, padded with black to a square at the right and below."""
        scale = INPUT_PX / side
        height, width = part.shape[:2]
        small = cv2.resize(part, (max(1, round(width * scale)), max(1, round(height * scale))),
                           interpolation=cv2.INTER_AREA)  # fmt: skip
        square = np.zeros((INPUT_PX, INPUT_PX, 3), np.float32)
        square[: small.shape[0], : small.shape[1]] = small
        boxes, scores = self._network(square / 127.5 - 1.0)
        sure = 1.0 / (1.0 + np.exp(-scores[:, 0].clip(-80.0, 80.0)))
        faces = []
        for index in np.flatnonzero(sure >= MIN_SCORE):
            raw = boxes[index].astype(np.float64)
            centre = self._anchors[index] + raw[:2] / INPUT_PX
            half = raw[2:4] / INPUT_PX / 2
            points = self._anchors[index] + raw[4:].reshape(6, 2) / INPUT_PX
            corner = np.array([left, top], np.float64)
            box = np.concatenate([(centre - half) * side + corner, (centre + half) * side + corner])
            faces.append(Face(box, points * side + corner, float(sure[index])))
        return faces


def _anchors() -> NDArray[np.float64]:
    """Centres of the cells, 0 … 1, as often as they have anchors. [896, 2]"""
    rows = []
    for cells, repeats in LAYERS:
        places = (np.arange(cells) + 0.5) / cells
        y, x = np.meshgrid(places, places, indexing="ij")
        rows.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), repeats, axis=0))
    return np.concatenate(rows)


def _without_doubles(faces: list[Face]) -> list[Face]:
    """One of each group of overlapping boxes: the surest."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(_overlap(face.box, other.box) < MAX_OVERLAP for other in kept):
            kept.append(face)
    return kept


def _overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Shared area over the smaller box's: a box inside another is the same face."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(np.prod(sides.clip(0.0)))
    smaller = min(float(np.prod(a[2:] - a[:2])), float(np.prod(b[2:] - b[:2])))
    return shared / max(smaller, 1e-9)
