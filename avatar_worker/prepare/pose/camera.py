"""Turns, projection and their derivatives, for many frames at once."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Poses:
    """Where the head is in n frames: X_c = R X + t.

    Attributes:
        turns: R. [n, 3, 3]
        shifts: t in metres; z is negative in front of the camera. [n, 3]
    """

    turns: Floats
    shifts: Floats

    def moved(self, steps: Floats) -> Self:
        """Turned (about camera axes, radians) and shifted a little. steps [n, 6]"""
        return replace(
            self, turns=turns_about(steps[:, :3]) @ self.turns, shifts=self.shifts + steps[:, 3:]
        )

    def part(self, chosen: NDArray[np.int64]) -> Self:
        """Some of the frames."""
        return replace(self, turns=self.turns[chosen], shifts=self.shifts[chosen])

    def camera_to_head(self) -> Floats:
        """The matrices that `transforms_*.json` stores: [Rᵀ | −Rᵀ t]. [n, 4, 4]"""
        matrices = np.tile(np.eye(4), (len(self.turns), 1, 1))
        back = self.turns.transpose(0, 2, 1)
        matrices[:, :3, :3] = back
        matrices[:, :3, 3] = -(back @ self.shifts[:, :, None])[..., 0]
        return matrices


def turns_about(vectors: Floats) -> Floats:
    """Rotation matrices of rotation vectors in radians. [n, 3] → [n, 3, 3]"""
    angle = np.linalg.norm(vectors, axis=1)[:, None, None]
    safe = np.maximum(angle, 1e-12)
    cross = cross_matrices(vectors)
    first = np.where(angle < 1e-6, 1.0, np.sin(safe) / safe)
    second = np.where(angle < 1e-6, 0.5, (1 - np.cos(safe)) / safe**2)
    return np.asarray(np.eye(3) + first * cross + second * (cross @ cross))


def vectors_of(turns: Floats) -> Floats:
    """Rotation vectors of rotation matrices by less than half a turn. [n, 3, 3] → [n, 3]"""
    axis = np.stack(
        [
            turns[:, 2, 1] - turns[:, 1, 2],
            turns[:, 0, 2] - turns[:, 2, 0],
            turns[:, 1, 0] - turns[:, 0, 1],
        ],
        axis=1,
    )
    sine = np.linalg.norm(axis, axis=1) / 2
    cosine = (np.trace(turns, axis1=1, axis2=2) - 1) / 2
    angle = np.arctan2(sine, cosine)
    factor = np.where(sine < 1e-9, 0.5, angle / np.maximum(2 * sine, 1e-12))
    return np.asarray(axis * factor[:, None])


def cross_matrices(vectors: Floats) -> Floats:
    """Matrices that take the cross product with a vector. [n, 3] → [n, 3, 3]"""
    x, y, z = vectors.T
    zero = np.zeros_like(x)
    rows = [zero, -z, y, z, zero, -x, -y, x, zero]
    return np.stack(rows, axis=1).reshape(-1, 3, 3)


def project(points: Floats, poses: Poses, focal_px: float) -> Floats:
    """Head points in each frame, in pixels from the picture's centre: column, row. [n, p, 2]"""
    seen = np.einsum("nij,pj->npi", poses.turns, points) + poses.shifts[:, None]
    depth = -seen[..., 2]
    return np.stack([focal_px * seen[..., 0] / depth, -focal_px * seen[..., 1] / depth], axis=-1)


def derivatives(points: Floats, poses: Poses, focal_px: float) -> tuple[Floats, Floats, Floats]:
    """How pixels move with poses [n, p, 2, 6], points [n, p, 2, 3] and ln focal [n, p, 2]."""
    turned = np.einsum("nij,pj->npi", poses.turns, points)
    seen = turned + poses.shifts[:, None]
    x, y, depth = seen[..., 0], seen[..., 1], -seen[..., 2]
    zero = np.zeros_like(x)
    by_camera = np.stack(
        [
            np.stack([focal_px / depth, zero, focal_px * x / depth**2], axis=-1),
            np.stack([zero, -focal_px / depth, -focal_px * y / depth**2], axis=-1),
        ],
        axis=-2,
    )  # [n, p, 2, 3]
    crosses = -cross_matrices(turned.reshape(-1, 3)).reshape(*turned.shape, 3)
    by_pose = np.concatenate([by_camera @ crosses, by_camera], axis=-1)
    by_point = np.einsum("npij,njk->npik", by_camera, poses.turns)
    by_focal = np.stack([focal_px * x / depth, -focal_px * y / depth], axis=-1)
    return by_pose, by_point, by_focal
