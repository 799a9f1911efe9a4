"""Head pose, fixed camera and the projection between them.

Axes are MakeHuman's: x to the right of the picture, y up, z towards the viewer. Mesh coordinates
are decimetres (dm); head frame and camera are metres. The *canonical head frame* has its origin in
the middle of the head and is what the renderer learns in.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SIZE_PX = 512
FPS = 25
FOCAL_PX = 1332.6
CENTRE_PX = SIZE_PX / 2
METRES_PER_DM = 0.1
PIVOT_DM = np.array([0.0, 5.967, 0.459])
"""The head turns about this point, near the top of the neck."""
ORIGIN_DM = np.array([0.0, 6.6808, 0.42])
"""Origin of the canonical head frame: middle of chin and crown, middle of the depth."""
CAMERA_M = np.array([0.0, 0.645475, 0.992])


@dataclass(frozen=True)
class Pose:
    """Where the head is: angles in degrees, shift in dm."""

    pitch_deg: float = 0.0
    yaw_deg: float = 0.0
    roll_deg: float = 0.0
    shift_dm: tuple[float, float, float] = field(default=(0.0, 0.0, 0.0))

    @property
    def rotation(self) -> Array:
        """[3, 3] = yaw · pitch · roll, so that a nod stays a nod when the head is turned."""
        p, y, r = np.radians([self.pitch_deg, self.yaw_deg, self.roll_deg])
        about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
        about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
        about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
        return about_y @ about_x @ about_z

    @property
    def shift(self) -> Array:
        """[3] dm."""
        return np.asarray(self.shift_dm, dtype=np.float64)


def head_matrix(pose: Pose) -> Array:
    """[4, 4] canonical head frame → world, metres."""
    matrix = np.eye(4)
    matrix[:3, :3] = pose.rotation
    turned = pose.rotation @ (ORIGIN_DM - PIVOT_DM) + PIVOT_DM + pose.shift
    matrix[:3, 3] = turned * METRES_PER_DM
    return matrix


def rigid_matrix(pose: Pose) -> Array:
    """[4, 4] rest → posed for what sticks to the skull (hair, eyes), world metres."""
    matrix = np.eye(4)
    matrix[:3, :3] = pose.rotation
    moved = PIVOT_DM + pose.shift - pose.rotation @ PIVOT_DM
    matrix[:3, 3] = moved * METRES_PER_DM
    return matrix


def camera_matrix() -> Array:
    """[4, 4] camera → world, OpenGL style: looks along -z, y up; metres."""
    matrix = np.eye(4)
    matrix[:3, 3] = CAMERA_M
    return matrix


def transform_matrix(head: Array) -> Array:
    """Head matrix [4, 4] → the camera seen from the head, as `transforms_*.json` stores it."""
    return np.linalg.inv(head) @ camera_matrix()


def project_world(points_dm: Array) -> Array:
    """World points [N, 3] dm → pixel coordinates [N, 2] (column, row)."""
    seen = points_dm * METRES_PER_DM - CAMERA_M
    column = CENTRE_PX + FOCAL_PX * seen[:, 0] / -seen[:, 2]
    row = CENTRE_PX - FOCAL_PX * seen[:, 1] / -seen[:, 2]
    return np.stack([column, row], axis=1)


def project_head(points_m: Array, transform: Array, scale: float = 4.0) -> Array:
    """Head-frame points [N, 3] m → pixels [N, 2], by the renderer's own camera formula.

    The renderer permutes the world axes to (y, z, x), negates the camera's y and z and scales
    translations; this walks the same way so that a plan can be checked against it.
    """
    permuted = transform[[1, 2, 0]]
    rotation = permuted[:, :3] * np.array([1.0, -1.0, -1.0])
    centre = scale * permuted[:, 3]
    seen = (scale * points_m[:, [1, 2, 0]] - centre) @ rotation
    return FOCAL_PX * seen[:, :2] / seen[:, 2:] + CENTRE_PX
