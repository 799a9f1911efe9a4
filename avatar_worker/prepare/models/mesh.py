"""The 468 points of a face, found near where it was before."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from avatar_worker.prepare.models.detector import Face, FaceDetector
from avatar_worker.prepare.models.network import Network

N_POINTS: Final = 468
MESH_PX: Final = 192
EYE_PX: Final = 64
FACE_MARGIN: Final = 1.5
EYE_MARGIN: Final = 2.3
"""Side of the square looked at, as a multiple of the face's box and of the eye's width."""

MIN_PRESENCE: Final = 0.5

EYE_CORNERS: Final = {"right": (33, 133), "left": (263, 362)}
"""Outer and inner corner of the person's eyes."""

LIDS: Final = {
    "right": (33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173),
    "left": (263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398),
}
"""Mesh points of an eye's rim in the order of the eye network's first 16: below from the outer to
the inner corner, then above."""


@dataclass(frozen=True, slots=True)
class Square:
    """A turned square of a picture: centre and side in pixels, turn in radians."""

    x: float
    y: float
    side: float
    turn: float

    def cut(self, picture: NDArray[np.uint8], size: int, *, mirrored: bool = False
            ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:  # fmt: skip
        """The square upright, values 0 … 1 [size, size, 3], and the way back [2, 3]."""
        half, cos, sin = self.side / size, np.cos(self.turn), np.sin(self.turn)
        back = np.array([[cos, -sin, 0.0], [sin, cos, 0.0]]) * half
        if mirrored:
            back = back @ np.array([[-1.0, 0.0, size - 1], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        middle = back @ np.array([(size - 1) / 2, (size - 1) / 2, 1.0])
        back[:, 2] += (self.x, self.y) - middle
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        inside = cv2.warpAffine(picture, back, (size, size), flags=flags,
                                borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
        return inside.astype(np.float32) / 255.0, back


def around_face(face: Face) -> Square:
    """Where to look for the mesh of a face that the detector found."""
    across = face.points[1] - face.points[0]  # from the person's right eye to the left one
    centre = (face.box[:2] + face.box[2:]) / 2
    side = float((face.box[2:] - face.box[:2]).max()) * FACE_MARGIN
    return Square(centre[0], centre[1], side, float(np.arctan2(across[1], across[0])))


def around_mesh(points: NDArray[np.float64]) -> Square:
    """Where to look for the mesh in the next picture."""
    across = points[263, :2] - points[33, :2]
    turn = float(np.arctan2(across[1], across[0]))
    cos, sin = np.cos(turn), np.sin(turn)
    upright = points[:, :2] @ np.array([[cos, -sin], [sin, cos]])
    low, high = upright.min(axis=0), upright.max(axis=0)
    centre = np.array([[cos, -sin], [sin, cos]]) @ ((low + high) / 2)
    return Square(centre[0], centre[1], float((high - low).max()) * FACE_MARGIN, turn)


class FaceMesh:
    """Follows one face from picture to picture."""

    def __init__(self, detector: FaceDetector) -> None:
        self._detector = detector
        self._mesh, self._eye = Network("mesh"), Network("iris")
        self._square: Square | None = None

    def forget(self) -> None:
        """The next picture has nothing to do with the last one."""
        self._square = None

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        """Points of the face in an RGB picture [H, W, 3], None without one.

        Looked for near the last place first, then by the detector. The rims of the eyes come from
        the eye network, which follows a blink more closely.

        Returns:
            Column, row and depth in pixels; depth has no fixed zero and is smaller towards the
            camera. [468, 3]
        """
        points = self._near(picture, self._square) if self._square else None
        if points is None:
            faces = self._detector(picture)
            nearest = max(faces, key=lambda face: face.height_px, default=None)
            points = self._near(picture, around_face(nearest)) if nearest else None
            if points is not None:  # a box is a rough place to start from
                points = self._near(picture, around_mesh(points))
        if points is None:
            self._square = None
            return None
        self._square = around_mesh(points)
        for side in LIDS:
            self._refine_eye(picture, points, side)
        return points

    def _near(self, picture: NDArray[np.uint8], square: Square) -> NDArray[np.float64] | None:
        upright, back = square.cut(picture, MESH_PX)
        raw, presence = self._mesh(upright)
        if 1.0 / (1.0 + np.exp(-float(presence.ravel()[0]))) < MIN_PRESENCE:
            return None
        points = raw.reshape(N_POINTS, 3).astype(np.float64)
        flat = points[:, :2] @ back[:, :2].T + back[:, 2]
        return np.concatenate([flat, points[:, 2:] * square.side / MESH_PX], axis=1)

    def _refine_eye(
        self, picture: NDArray[np.uint8], points: NDArray[np.float64], side: str
    ) -> None:
        """Replace the rim of an eye. The network knows eyes at the picture's left, which are the
        person's right ones; the other is mirrored."""
        outer, inner = points[EYE_CORNERS[side][0], :2], points[EYE_CORNERS[side][1], :2]
        across = outer - inner if side == "left" else inner - outer
        centre = (outer + inner) / 2
        square = Square(centre[0], centre[1], float(np.hypot(*across)) * EYE_MARGIN,
                        float(np.arctan2(across[1], across[0])))  # fmt: skip
        upright, back = square.cut(picture, EYE_PX, mirrored=side == "left")
        rim = self._eye(upright)[0].reshape(-1, 3)[: len(LIDS[side]), :2].astype(np.float64)
        points[list(LIDS[side]), :2] = rim @ back[:, :2].T + back[:, 2]
