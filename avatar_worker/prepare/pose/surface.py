"""The part of the face that moves with the skull, as points on its surface.

From the forehead to the tip of the nose, without the eyes. Brows stay: they give grip. How far each
point slides on the skull when a brow rises is known, so that this can be asked of a frame.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from avatar_worker.prepare.crop import SIZE_PX
from avatar_worker.prepare.mesh_parts import (
    CHIN,
    FOREHEAD_TOP,
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
BROWS: Final = (
    (((55, 107), (70, 63, 46, 53)), RIGHT_EYE),
    (((285, 336), (300, 293, 276, 283)), LEFT_EYE),
)
BROW_ENDS: Final = ("right inner", "right outer", "left inner", "left outer")
EYE_REACH, FOREHEAD_REACH = 0.8, 2.0
"""How far below and above a brow skin goes along with it, in distances from brow to eye."""

NEAR_PX2: Final = 9.0
"""Softens the interpolation between mesh points, which lie 5 to 20 px apart."""


@dataclass(frozen=True, slots=True)
class Surface:
    """p points of the head.

    Attributes:
        points: in metres, axes of the head. [p, 3]
        normals: outwards, of unit length. [p, 3]
        slides: how each point moves when an end of a brow rises by one (`BROW_ENDS`). [p, 4, 3]
    """

    points: Floats
    normals: Floats
    slides: Floats


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
    up = mesh[FOREHEAD_TOP] - mesh[CHIN]
    up = np.array([up[0], -up[1], -up[2]]) @ turn  # rows count downwards, depths away
    rises = _rises(mesh, places.reshape(*rows.shape, 2)[inside])
    slides = rises[..., None] * (up / np.linalg.norm(up))
    return Surface((seen[inside] - shift) @ turn, normals[inside] @ turn, slides)


def _rises(mesh: Floats, places: Floats) -> Floats:
    """How far points go along with the ends of the brows: 1 at an end, 0 at eyes and hairline.

    Args:
        mesh: of the frame, in pixels. [468, 3]
        places: column and row of the points. [p, 2]
    """
    rises = []
    for brow, eye in BROWS:
        inner, outer = (mesh[list(end), :2].mean(axis=0) for end in brow)
        along = outer - inner
        length = float(np.linalg.norm(along))
        down = np.array([-along[1], along[0]]) / length
        to_eye = (mesh[list(eye), :2].mean(axis=0) - (inner + outer) / 2) @ down
        down, to_eye = down * np.sign(to_eye), abs(float(to_eye))
        share = (places - inner) @ along / length**2
        below = (places - inner) @ down / to_eye
        across = _fading(np.abs(below) / np.where(below > 0, EYE_REACH, FOREHEAD_REACH))
        across = across * _fading(np.abs(share - 0.5) - 0.5)
        toward_outer = share.clip(0.0, 1.0)
        rises += [across * (1 - toward_outer), across * toward_outer]
    return np.stack(rises, axis=1)


def _fading(distance: Floats) -> Floats:
    """1 at 0 and less, 0 from 1 on, smooth between."""
    return np.asarray((1 + np.cos(np.pi * distance.clip(0.0, 1.0))) / 2)


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
