"""A first shape and first poses, from the mesh's own idea of depth."""

from typing import Final

import numpy as np

from avatar_worker.prepare.pose.camera import Floats, Poses

EYE_CORNERS: Final = (0, 1)
"""The first two points are the outer corners of the eyes."""

CORNER_DISTANCE_M: Final = 0.09
"""Between the outer corners of an adult's eyes: what gives the scene its metres."""

ROUNDS: Final = 4


def mean_shape(meshes: Floats) -> tuple[Floats, Poses, Floats]:
    """The mean of shapes that differ by turn, place and size.

    Args:
        meshes: points of each frame; x right, y up, z towards the viewer, in pixels. [n, p, 3]

    Returns:
        The shape in metres, centred [p, 3]; turns of each frame, their shifts still 0; and pixels
        a metre in each frame [n].
    """
    centred = meshes - meshes.mean(axis=1, keepdims=True)
    shape = centred[len(meshes) // 2]
    turns, sizes = np.tile(np.eye(3), (len(meshes), 1, 1)), np.ones(len(meshes))
    for _ in range(ROUNDS):
        turns, sizes = _fit(shape, centred)
        back = np.einsum("nji,npj->npi", turns, centred) / sizes[:, None, None]
        shape = back.mean(axis=0)
    right, left = EYE_CORNERS
    scale = CORNER_DISTANCE_M / float(np.linalg.norm(shape[right] - shape[left]))
    return shape * scale, Poses(turns, np.zeros((len(meshes), 3))), sizes / scale


def _fit(shape: Floats, meshes: Floats) -> tuple[Floats, Floats]:
    """Turn and size that take the shape to each mesh. [n, 3, 3], [n]"""
    u, s, vt = np.linalg.svd(np.einsum("npi,pj->nij", meshes, shape))
    flip = np.ones((len(meshes), 3))
    flip[:, 2] = np.linalg.det(u @ vt)
    return (u * flip[:, None]) @ vt, (s * flip).sum(axis=1) / (shape**2).sum()


def first_poses(turned: Poses, sizes: Floats, middles_px: Floats, focal_px: float) -> Poses:
    """Poses at the distance at which a metre has the size seen.

    Args:
        turned: the turns.
        sizes: pixels a metre. [n]
        middles_px: middle of the points, from the picture's centre, y up. [n, 2]
        focal_px: of the camera.
    """
    distance = focal_px / sizes
    across = middles_px / sizes[:, None]
    return Poses(turned.turns, np.concatenate([across, -distance[:, None]], axis=1))
