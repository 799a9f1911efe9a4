"""The 68 landmarks of the iBUG scheme as points of the 468-point mesh.

The scheme: 0–16 jaw from the person's right ear to the left one, 17–21 and 22–26 brows, 27–30 ridge
of the nose, 31–35 its lower edge, 36–41 and 42–47 eyes (outer corner of the person's right eye
first, clockwise), 48–59 outer lips, 60–67 inner lips. Each point of the mesh is the one at that
place of the face; the mesh is symmetric, so a left point is the mirror of a right one.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from avatar_worker.prepare.models.detector import FaceDetector
from avatar_worker.prepare.models.mesh import FaceMesh

MESH_POINTS: Final = (
    *(127, 234, 93, 132, 172, 136, 149, 148, 152),  # jaw, the person's right ear to the chin
    *(377, 378, 365, 397, 361, 323, 454, 356),  # and on to the left ear
    *(70, 63, 105, 66, 107), *(336, 296, 334, 293, 300),  # brows
    *(168, 197, 5, 4), *(98, 97, 2, 326, 327),  # nose
    *(33, 160, 158, 133, 153, 144), *(362, 385, 387, 263, 373, 380),  # eyes
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),  # outer lips
    *(78, 82, 13, 312, 308, 317, 14, 87),  # inner lips
)  # fmt: skip


def landmarks(mesh: NDArray[np.float64]) -> NDArray[np.float64]:
    """Column and row of the 68 landmarks. [468, 3] → [68, 2]"""
    return np.asarray(mesh[list(MESH_POINTS), :2])


def landmark_finder() -> Callable[[NDArray[np.uint8]], NDArray[np.float32] | None]:
    """Finds the landmarks of single pictures, RGB [H, W, 3] → [68, 2]; None without a face.

    Raises:
        ModelsMissingError: the networks are not installed; the text says how to.
    """
    mesh = FaceMesh(FaceDetector())

    def find(picture: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        mesh.forget()
        points = mesh(picture)
        return None if points is None else landmarks(points).astype(np.float32)

    return find
