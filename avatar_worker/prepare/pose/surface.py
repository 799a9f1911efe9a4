"""The part of the face that moves with the skull, as points on its surface.

From the forehead to the tip of the nose, without the eyes. Brows stay: they give grip, and where
they move they are weighed down (`template.py`).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from avatar_worker.prepare.crop import SIZE_PX
from avatar_worker.prepare.mesh_parts import (
    LEFT_EYE,
    OVAL,
    RIGHT_EYE,
    STEADY,
    UNDER_NOSE_TIP,
    hull,
)
from avatar_worker.prepare.pose.bundle import Scene
from avatar_worker.prepare.pose.camera import Floats

STEP_PX: Final = 3
EYE_MARGIN_PX: Final = 7
NEAR_PX2: Final = 9.0
"""Softens the interpolation between mesh points, which lie 5 to 20 px apart."""


@dataclass(frozen=True, slots=True)
class Surface:
    """p points of the head.

    Attributes:
        points: in metres, axes of the head. [p, 3]
        normals: outwards, of unit length. [p, 3]
    """

    points: Floats
    normals: Floats


def steady_surface(mesh: Floats, scene: Scene, frame: int) -> Surface:
    """The surface as the mesh of one frame shows it.

    Args:
        mesh: of that frame, in pixels. [468, 3]
        scene: with its pose.
        frame: its place in the scene.
    """
    turn, shift = scene.poses.turns[frame], scene.poses.shifts[frame]
    depth = _metric_depth(mesh, scene.points @ turn.T + shift)
    rows, columns = np.mgrid[0:SIZE_PX:STEP_PX, 0:SIZE_PX:STEP_PX].astype(np.float64)
    places = np.stack([columns.ravel(), rows.ravel()], axis=1)
    inside = _region(mesh)[rows.astype(int), columns.astype(int)]
    near = 1.0 / (((places[:, None] - mesh[None, :, :2]) ** 2).sum(axis=2) + NEAR_PX2) ** 2
    z = (near @ depth / near.sum(axis=1)).reshape(rows.shape)
    middle = (SIZE_PX - 1) / 2
    x = (columns - middle) * -z / scene.focal_px
    y = (rows - middle) * z / scene.focal_px
    seen = np.stack([x, y, z], axis=-1)
    normals = np.cross(np.gradient(seen, axis=1), -np.gradient(seen, axis=0))
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    return Surface((seen[inside] - shift) @ turn, normals[inside] @ turn)


def _metric_depth(mesh: Floats, steady: Floats) -> Floats:
    """The network's depths, brought to metres by the steady points. [468]"""
    known = np.stack([-mesh[list(STEADY), 2], np.ones(len(STEADY))], axis=1)
    factor, offset = np.linalg.lstsq(known, steady[:, 2], rcond=None)[0]
    return np.asarray(-mesh[:, 2] * factor + offset)


def _region(mesh: Floats) -> NDArray[np.bool_]:
    """Pixels of the steady part. [H, W]"""
    region = hull(mesh, OVAL, (SIZE_PX, SIZE_PX))
    region[max(0, int(mesh[UNDER_NOSE_TIP, 1])) :] = False
    for eye in (RIGHT_EYE, LEFT_EYE):
        region &= ~hull(mesh, eye, region.shape, margin_px=EYE_MARGIN_PX)
    return region
