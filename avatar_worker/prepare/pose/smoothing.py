"""Heads have mass: poses that jump are wrong by what they jump."""

from typing import Final

import numpy as np

from avatar_worker.prepare.pose.camera import Floats, Poses, vectors_of

TURN_ACCELERATION: Final = np.radians(0.3)
SHIFT_ACCELERATION: Final = 0.0007
"""Typical change of speed from frame to frame, radians and metres: a quick nod (2°, three a second)
reaches 1.1° a frame², a talking head stays far below."""

ROUNDS: Final = 2
"""The second one only corrects for turns not adding up like numbers."""


def smooth(poses: Poses, information: Floats) -> Poses:
    """The likeliest poses, given how surely each frame's own is known.

    Args:
        poses: of consecutive frames.
        information: inverse covariance of each, zero where nothing is known (the frame is
            filled in from its neighbours). [n, 6, 6]
    """
    if len(poses.turns) < 3:
        return poses
    weight = np.repeat([TURN_ACCELERATION**-2, SHIFT_ACCELERATION**-2], 3)
    target, result = poses, poses
    for _ in range(ROUNDS):
        bend = _accelerations(result)  # [n - 2, 6]
        away = np.concatenate(
            [vectors_of(target.turns @ result.turns.transpose(0, 2, 1)),
             target.shifts - result.shifts], axis=1,
        )  # fmt: skip
        right = np.einsum("nij,nj->ni", information, away)
        pull = bend * weight
        right[:-2] -= pull
        right[1:-1] += 2 * pull
        right[2:] -= pull
        result = result.moved(_solve(information, weight, right))
    return result


def _accelerations(poses: Poses) -> Floats:
    turns = vectors_of(poses.turns[1:] @ poses.turns[:-1].transpose(0, 2, 1))
    return np.concatenate([np.diff(turns, axis=0), np.diff(poses.shifts, n=2, axis=0)], axis=1)


def _solve(information: Floats, weight: Floats, right: Floats) -> Floats:
    """Solve (information + second differences) steps = right, two frames a block. [n, 6]"""
    n = len(right)
    n_blocks = (n + 1) // 2
    bands = _second_difference_bands(n, 2 * n_blocks)
    diagonal = np.zeros((n_blocks, 12, 12))
    above = np.zeros((n_blocks, 12, 12))
    w = np.diag(weight)
    for half in (0, 1):
        at = slice(6 * half, 6 * half + 6)
        frames = np.arange(n_blocks) * 2 + half
        diagonal[:, at, at] = bands[0, frames, None, None] * w
        above[:, at, at] = bands[2, frames, None, None] * w
        known = frames < n
        diagonal[known, at, at] += information[frames[known]]
        diagonal[~known, at, at] += np.eye(6)
    first = bands[1, 0 : 2 * n_blocks : 2, None, None] * w
    diagonal[:, :6, 6:] = diagonal[:, 6:, :6] = first
    above[:, 6:, :6] = bands[1, 1 : 2 * n_blocks : 2, None, None] * w
    padded = np.zeros((n_blocks, 12))
    padded.reshape(-1)[: 6 * n] = right.reshape(-1)
    return _block_tridiagonal(diagonal, above, padded).reshape(-1, 6)[:n]


def _second_difference_bands(n: int, padded: int) -> Floats:
    """Diagonal, first and second upper diagonal of DᵀD, D being second differences. [3, padded]"""
    bands = np.zeros((3, padded))
    for offset, value in ((0, 1.0), (1, 4.0), (2, 1.0)):
        bands[0, offset : n - 2 + offset] += value
    bands[1, : n - 2] -= 2.0
    bands[1, 1 : n - 1] -= 2.0
    bands[2, : n - 2] += 1.0
    return bands


def _block_tridiagonal(diagonal: Floats, above: Floats, right: Floats) -> Floats:
    """Solve a symmetric system whose blocks touch their neighbours only."""
    n = len(right)
    carried = np.zeros((n, 12, 12))
    values = np.zeros((n, 12))
    block, value = diagonal[0], right[0]
    for i in range(n):
        if i:
            block = diagonal[i] - above[i - 1].T @ carried[i - 1]
            value = right[i] - above[i - 1].T @ values[i - 1]
        solved = np.linalg.solve(block, np.concatenate([above[i], value[:, None]], axis=1))
        carried[i], values[i] = solved[:, :-1], solved[:, -1]
    for i in range(n - 2, -1, -1):
        values[i] -= carried[i] @ values[i + 1]
    return values
