"""Puts the head's own axes where the renderer expects them."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from avatar_worker.prepare.mesh_parts import CHIN, FOREHEAD_TOP, LEFT_CHEEK, NOSE_TIP, RIGHT_CHEEK
from avatar_worker.prepare.pose.camera import Floats, Poses

NOSE_BEFORE_ORIGIN_M: Final = 0.1
"""The renderer's box is 25 cm deep; with the tip of the nose here, ears and hair fit behind it."""

CROWN_ABOVE_HAIRLINE: Final = 0.3
"""Of the face's height. The origin is midway between chin and crown."""


def head_axes(face: Floats) -> tuple[Floats, Floats]:
    """Axes and origin of the head in the axes in which its mesh is given.

    Args:
        face: the mesh of a face, metres. [468, 3]

    Returns:
        A matrix whose columns are right, up and towards the viewer [3, 3], and the origin [3].
    """
    across = face[LEFT_CHEEK] - face[RIGHT_CHEEK]
    right = across / np.linalg.norm(across)
    up = face[FOREHEAD_TOP] - face[CHIN]
    height = float(np.linalg.norm(up))
    up = up - (up @ right) * right
    up = up / np.linalg.norm(up)
    axes = np.stack([right, up, np.cross(right, up)], axis=1)
    middle = (face[LEFT_CHEEK] + face[RIGHT_CHEEK]) / 2
    place = axes.T @ middle
    chin, tip = axes.T @ face[CHIN], axes.T @ face[NOSE_TIP]
    place[1] = chin[1] + (1 + CROWN_ABOVE_HAIRLINE) / 2 * height
    place[2] = tip[2] - NOSE_BEFORE_ORIGIN_M
    return axes, axes @ place


def rebased(poses: Poses, axes: Floats, origin: Floats) -> Poses:
    """The same poses for points given in other axes: X_old = axes X_new + origin."""
    return Poses(poses.turns @ axes, poses.shifts + poses.turns @ origin)


def mesh_in_metres(
    meshes: Floats, poses: Poses, steady: NDArray[np.int64], points: Floats
) -> Floats:
    """A whole mesh in the axes of the steady points: the mean over frames. [468, 3]

    Args:
        meshes: x right, y up, z towards the viewer, pixels of any size. [n, 468, 3]
        poses: of these frames.
        steady: numbers of the points that are known.
        points: where they are, metres. [p, 3]
    """
    turned = np.einsum("nji,npj->npi", poses.turns, meshes)
    middle = turned[:, steady].mean(axis=1, keepdims=True)
    flat = turned - middle
    known = points - points.mean(axis=0)
    size = (flat[:, steady] * known).sum(axis=(1, 2)) / (flat[:, steady] ** 2).sum(axis=(1, 2))
    return np.asarray((flat * size[:, None, None]).mean(axis=0) + points.mean(axis=0))
