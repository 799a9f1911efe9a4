"""Bundle adjustment: the shape, the focal length and the poses that explain what was seen.

Poses are eliminated frame by frame (each is seen by its own pixels only), so that the system to
solve has the size of the shape, however many frames there are.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from avatar_worker.prepare.pose.camera import Floats, Poses, derivatives, project

SHAPE_DEVIATION_M: Final = 0.004
"""How far a point may lie from where the mesh's own depth puts it."""

FOCAL_PRIOR: Final = 0.4
"""Of ln focal about the first guess. A small face tells little about how far away the camera is."""

PIXEL_NOISE: Final = 1.0
"""Of the steadiest points; a point's own noise is estimated on top."""

INDEPENDENT_FRAMES: Final = 10
"""The network errs alike in frames that look alike: a clip tells as much as this many pictures."""

ROUNDS: Final = 12
DAMPING: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Scene:
    """What explains the pixels.

    Attributes:
        points: of the head, in metres. [p, 3]
        focal_px: of the camera.
        poses: of n frames.
        noise_px: how far each point strays from where it should be seen. [p]
    """

    points: Floats
    focal_px: float
    poses: Poses
    noise_px: Floats


def adjust(scene: Scene, seen_px: Floats, *, fixed_focal: bool) -> Scene:
    """Improve everything; pixels from the picture's centre, row down. [n, p, 2]"""
    prior = scene
    for _ in range(ROUNDS):
        by_pose, by_point, by_focal = derivatives(scene.points, scene.poses, scene.focal_px)
        error = seen_px - project(scene.points, scene.poses, scene.focal_px)
        weight = 1.0 / scene.noise_px**2
        matrix, vector = _scene_system(by_point, by_focal, error, weight)
        hidden, bound = _pose_system(by_pose, error, weight)
        cross = np.concatenate(
            [
                np.einsum("npai,p,npaj->nipj", by_pose, weight, by_point).reshape(
                    len(error), 6, -1
                ),
                np.einsum("npai,p,npa->ni", by_pose, weight, by_focal)[..., None],
            ],
            axis=2,
        )  # [n, 6, 3p + 1]
        inverse = np.linalg.inv(hidden)
        matrix -= np.einsum("nia,nib->ab", cross, inverse @ cross, optimize=True)
        vector -= np.einsum("nia,ni->a", inverse @ cross, bound)
        _add_beliefs(matrix, vector, scene, prior, fixed_focal=fixed_focal)
        step = np.linalg.solve(matrix, vector)
        pose_steps = (inverse @ (bound[..., None] - cross @ step[:, None]))[..., 0]
        scene = replace(
            scene,
            points=scene.points + step[:-1].reshape(-1, 3),
            focal_px=scene.focal_px * float(np.exp(np.clip(step[-1], -0.3, 0.3))),
            poses=scene.poses.moved(pose_steps),
        )
        left = seen_px - project(scene.points, scene.poses, scene.focal_px)
        scene = replace(scene, noise_px=np.hypot(PIXEL_NOISE, _spread(left)))
    return scene


def _scene_system(
    by_point: Floats, by_focal: Floats, error: Floats, weight: Floats
) -> tuple[Floats, Floats]:
    """Normal equations of shape and ln focal. [3p + 1, 3p + 1], [3p + 1]"""
    n_points = len(weight)
    matrix, vector = np.zeros((3 * n_points + 1,) * 2), np.zeros(3 * n_points + 1)
    own = np.einsum("npai,p,npaj->pij", by_point, weight, by_point)
    for p in range(n_points):
        matrix[3 * p : 3 * p + 3, 3 * p : 3 * p + 3] = own[p]
    vector[:-1] = np.einsum("npai,p,npa->pi", by_point, weight, error).reshape(-1)
    mixed = np.einsum("npai,p,npa->pi", by_point, weight, by_focal).reshape(-1)
    matrix[:-1, -1] = matrix[-1, :-1] = mixed
    matrix[-1, -1] = np.einsum("npa,p,npa->", by_focal, weight, by_focal)
    vector[-1] = np.einsum("npa,p,npa->", by_focal, weight, error)
    return matrix, vector


def _add_beliefs(
    matrix: Floats, vector: Floats, scene: Scene, prior: Scene, *, fixed_focal: bool
) -> None:
    """What is known beforehand about shape and focal length."""
    belief = len(scene.poses.turns) / INDEPENDENT_FRAMES
    own = np.arange(len(vector) - 1)
    matrix[own, own] += belief / SHAPE_DEVIATION_M**2
    vector[:-1] -= belief / SHAPE_DEVIATION_M**2 * (scene.points - prior.points).reshape(-1)
    stiffness = 1e12 if fixed_focal else belief / FOCAL_PRIOR**2
    matrix[-1, -1] += stiffness
    vector[-1] -= stiffness * float(np.log(scene.focal_px / prior.focal_px))


def fit_poses(scene: Scene, seen_px: Floats) -> Poses:
    """Best poses for a known shape and focal length, beginning with those of the scene."""
    poses, weight = scene.poses, 1.0 / scene.noise_px**2
    for _ in range(ROUNDS):
        by_pose, _, _ = derivatives(scene.points, poses, scene.focal_px)
        error = seen_px - project(scene.points, poses, scene.focal_px)
        hidden, bound = _pose_system(by_pose, error, weight)
        step = np.linalg.solve(hidden, bound[..., None])[..., 0]
        poses = poses.moved(np.asarray(step, np.float64))
    return poses


def _pose_system(by_pose: Floats, error: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Normal equations of each frame's pose. [n, 6, 6], [n, 6]"""
    weighted = by_pose * weight[None, :, None, None]
    hidden = np.einsum("npai,npaj->nij", weighted, by_pose)
    diagonal = np.einsum("nii->ni", hidden)
    diagonal *= 1 + DAMPING  # a view on the matrices
    return hidden, np.einsum("npai,npa->ni", weighted, error)


def _spread(left: Floats) -> Floats:
    """Typical length of what is left over of each point. [n, p, 2] → [p]"""
    return np.asarray(np.sqrt((left**2).sum(axis=2).mean(axis=0) / 2))
