"""What is done to the tracks that come with the footage: head poses and eyes.

Smoothing is off unless asked for: the pictures in the data folder were taken with the unsmoothed
poses. Offsets that training found for its cameras belong to the frames it was trained on.
"""

from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float

from avatar_worker.render.data_folder import Footage
from avatar_worker.render.scene import Scene

POSE_WINDOW_FRAMES: Final = 7
EYE_WINDOW_FRAMES: Final = 3
HEAD_RADIUS: Final = 0.3
"""About that of a head, in the field's units."""


def smooth_path(footage: Footage, window: int = POSE_WINDOW_FRAMES) -> Footage:
    """Centred moving mean of the poses; the window shrinks at both ends.

    Positions are averaged as they are, rotations by the rotation nearest to all of them
    (Markley et al. 2007, averaging quaternions).
    """
    poses = footage.poses.copy()
    for index in range(len(poses)):
        near = footage.poses[_around(index, window)]
        poses[index, :3, :3] = mean_rotation(near[:, :3, :3])
        poses[index, :3, 3] = near[:, :3, 3].mean(axis=0)
    return replace(footage, poses=poses)


def smooth_eyes(footage: Footage, window: int = EYE_WINDOW_FRAMES) -> Footage:
    """Moving mean over frames *and* components, as the original has it.

    All components of a frame become equal; meaningful only for a single one (eye closure).
    """
    eyes = footage.eyes.copy()
    for index in range(len(eyes)):
        eyes[index] = footage.eyes[_around(index, window)].mean()
    return replace(footage, eyes=eyes)


def offset_cameras(
    footage: Footage, turns: Float[np.ndarray, "m 3"], shifts: Float[np.ndarray, "m 3"]
) -> Footage:
    """Cameras with the offsets that training found for them.

    Args:
        footage: all frames of the train split.
        turns: rotations about x, y and z in degrees, applied one after the other. m ≥ n
        shifts: of the cameras' positions, in the field's axes.
    """
    poses = footage.poses.copy()
    n = len(poses)
    for pose, degrees in zip(poses, turns[:n], strict=True):
        # The original turns directions as row vectors: by the transposed matrix from the left.
        pose[:3, :3] = _turn(np.deg2rad(degrees.astype(np.float64)) + 1e-8).T @ pose[:3, :3]
    poses[:, :3, 3] += shifts[:n]
    return replace(footage, poses=poses)


def _turn(angles: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Rx · Ry · Rz."""
    total = np.eye(3)
    for axis, angle in enumerate(angles):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[second, first], turn[first, second] = np.sin(angle), -np.sin(angle)
        total = total @ turn
    return total


def _around(index: int, window: int) -> slice:
    half = window // 2
    return slice(max(0, index - half), index + half + 1)


def head_speed(poses: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "m"]:
    """How far points around a head move before the camera from each pose to the next. m = n − 1"""
    corners = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    poses = poses.astype(np.float64)
    seen = (HEAD_RADIUS * corners - poses[:, None, :3, 3]) @ poses[:, :3, :3]  # [n, 8, 3]
    return np.asarray(np.linalg.norm(np.diff(seen, axis=0), axis=2).mean(axis=1))


def scene_between(a: Scene, b: Scene, share: float) -> Scene:
    """A moment between two neighbouring frames; fit for small motion, since pictures are blended.

    Args:
        a: at share 0.
        b: at share 1; of the same character.
        share: in [0, 1].
    """
    pose = _mix(a.pose, b.pose, share)
    pose[:3, :3] = _nearest_rotation(pose[:3, :3].astype(np.float64))
    return Scene(
        pose=pose,
        intrinsics=a.intrinsics,
        eye=_mix(a.eye, b.eye, share),
        background=_mix(a.background, b.background, share),
        original=_mix_pictures(a.original, b.original, share),
        mask=_mix_pictures(a.mask, b.mask, share),
    )


def _mix_pictures(a: np.ndarray | None, b: np.ndarray | None, share: float) -> np.ndarray | None:
    return None if a is None or b is None else _mix(a, b, share)


def _mix(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    """Of their type; eight bits are rounded."""
    return np.asarray(cv2.addWeighted(a, 1.0 - share, b, share, 0.0)).reshape(a.shape)


def mean_rotation(rotations: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "3 3"]:
    """The rotation whose summed squared distance to all is smallest, float32.

    It maximises the trace of its product with the sum; the singular vectors of the sum give it.
    """
    return _nearest_rotation(rotations.astype(np.float64).sum(axis=0))


def _nearest_rotation(matrix: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3 3"]:
    left, _, right = np.linalg.svd(matrix)
    sign = np.linalg.det(left @ right)
    return np.asarray(left @ np.diag((1.0, 1.0, sign)) @ right, dtype=np.float32)
