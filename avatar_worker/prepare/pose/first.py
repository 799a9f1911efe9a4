"""Poses from the mesh alone: shape, focal length, and a pose for every frame."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from avatar_worker.prepare.crop import SIZE_PX
from avatar_worker.prepare.mesh_parts import STEADY
from avatar_worker.prepare.pose.bundle import PIXEL_NOISE, Scene, adjust, fit_poses
from avatar_worker.prepare.pose.camera import Floats
from avatar_worker.prepare.pose.shape import first_poses, mean_shape

USUAL_DISTANCE_M: Final = 0.8
"""Between a person who records herself and the camera: the first guess of the focal length."""

MAX_BUNDLE_FRAMES: Final = 200
"""More tell nothing new about the shape."""


def from_meshes(meshes: Floats, focal_px: float | None) -> Scene:
    """What explains the steady points of all frames.

    Args:
        meshes: columns and rows of pixels, and depths, of n frames that show a face. [n, 468, 3]
        focal_px: None to estimate it.
    """
    points = centred(meshes[:, list(STEADY)])
    shape, turned, sizes = mean_shape(points)
    guess = focal_px or USUAL_DISTANCE_M * float(np.median(sizes))
    poses = first_poses(turned, sizes, points[..., :2].mean(axis=1), guess)
    noise = np.full(len(STEADY), PIXEL_NOISE)
    some = evenly(len(meshes), MAX_BUNDLE_FRAMES)
    seen = points[..., :2] * (1.0, -1.0)  # rows count downwards
    scene = adjust(
        Scene(shape, guess, poses.part(some), noise), seen[some], fixed_focal=focal_px is not None
    )
    poses = first_poses(turned, sizes, points[..., :2].mean(axis=1), scene.focal_px)
    everything = Scene(scene.points, scene.focal_px, poses, scene.noise_px)
    return Scene(scene.points, scene.focal_px, fit_poses(everything, seen), scene.noise_px)


def centred(meshes: Floats) -> Floats:
    """Pixel columns, rows and depths → from the picture's centre; y up, z towards the viewer."""
    middle = (SIZE_PX - 1) / 2  # pixels are counted by their centres
    return (meshes - (middle, middle, 0.0)) * (1.0, -1.0, -1.0)


def evenly(n: int, at_most: int) -> NDArray[np.int64]:
    """Up to so many of n numbers, spread evenly."""
    return np.unique(np.linspace(0, n - 1, min(n, at_most)).astype(np.int64))
