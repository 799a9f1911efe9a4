"""Brows, lids and jaw, as columns of `bs.npy`.

No network for all 52 ARKit coefficients comes in a package, so only what can be measured is: the
columns that renderer and trainer use, which are brows (seen in the pictures, `pose/template.py`)
and lids (on the mesh), and the jaw. All other columns are 0. Values are relative to this person's
own usual face and to her own closed eye.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from avatar_worker.prepare.pose.first import centred
from avatar_worker.prepare.pose.shape import mean_shape
from avatar_worker.prepare.pose.surface import BROW_ENDS

Floats = NDArray[np.float64]

N_COLUMNS: Final = 52
COLUMNS: Final = {
    "browDownLeft": 0, "browDownRight": 1, "browInnerUp": 2, "browOuterUpLeft": 3,
    "browOuterUpRight": 4, "eyeBlinkLeft": 8, "eyeBlinkRight": 9, "jawOpen": 24,
}  # fmt: skip
"""What is measured, in ARKit's alphabetical order without the neutral entry; left is the person's
left, at the right of the picture."""


@dataclass(frozen=True, slots=True)
class Side:
    """Mesh points of one eye.

    Attributes:
        outer: corner towards the temple.
        inner: corner towards the nose.
        above: upper lid, across its middle.
        below: lower lid, opposite to `above`.
    """

    outer: int
    inner: int
    above: tuple[int, ...]
    below: tuple[int, ...]


SIDES: Final = {
    "Right": Side(33, 133, (160, 159, 158), (144, 145, 153)),
    "Left": Side(263, 362, (387, 386, 385), (373, 374, 380)),
}
UPPER_LIP, LOWER_LIP = 13, 14

FULL_RAISE_M, FULL_LOWERING_M = 0.006, 0.006
"""How far a brow goes from rest."""

BROW_NOISE_M: Final = 0.0002
"""By which brows seem to move while they rest."""

FULL_JAW_M: Final = 0.035
CLOSED_AT_MOST: Final = 0.45
"""Of the usual opening: an eye that never closed further was never closed, only narrowed."""

SMOOTHING: Final = np.array([-3.0, 12.0, 17.0, 12.0, -3.0]) / 35
"""Savitzky–Golay, five frames, cubic, as in the original."""


def coefficients(meshes: Floats, brows: Floats, steady: NDArray[np.int64]) -> Floats:
    """Coefficients of every frame; frames without a face repeat their neighbours'. [n, 52]

    Args:
        meshes: in pixels, NaN where there is no face. [n, 468, 3]
        brows: by how many metres their ends (`BROW_ENDS`) have risen in frames with a face. [m, 4]
        steady: points that move with the skull; the corners of the eyes come first.
    """
    seen = np.flatnonzero(np.isfinite(meshes[:, 0, 0]))
    points = centred(meshes[seen])
    _, poses, sizes = mean_shape(points[:, steady])
    face = np.einsum("nji,npj->npi", poses.turns, points) / sizes[:, None, None]  # metres
    measured = np.zeros((len(seen), N_COLUMNS))
    rises = dict(zip(BROW_ENDS, _rises(brows).T, strict=True))
    for side, at in SIDES.items():
        inner, outer = (rises[f"{side.lower()} {end}"] for end in ("inner", "outer"))
        measured[:, COLUMNS[f"browOuterUp{side}"]] = outer / FULL_RAISE_M
        measured[:, COLUMNS[f"browDown{side}"]] = -(inner + outer) / 2 / FULL_LOWERING_M
        measured[:, COLUMNS[f"eyeBlink{side}"]] = _closure(points, at)
    inner = (rises["right inner"] + rises["left inner"]) / 2
    measured[:, COLUMNS["browInnerUp"]] = inner / FULL_RAISE_M
    gap = np.linalg.norm(face[:, UPPER_LIP] - face[:, LOWER_LIP], axis=1)
    measured[:, COLUMNS["jawOpen"]] = (gap - np.percentile(gap, 5)) / FULL_JAW_M
    nearest = np.abs(seen[None] - np.arange(len(meshes))[:, None]).argmin(axis=1)
    return np.asarray(smoothed(measured.clip(0.0, 1.0)[nearest]).clip(0.0, 1.0))


def smoothed(rows: Floats) -> Floats:
    """Smoothed along time. [n, c]"""
    half = len(SMOOTHING) // 2
    padded = np.pad(rows, ((half, half), (0, 0)), mode="edge")
    parts = [weight * padded[i : i + len(rows)] for i, weight in enumerate(SMOOTHING)]
    return np.asarray(sum(parts))


def _rises(brows: Floats) -> Floats:
    """Heights against the usual ones, without noise. [n, 4]"""
    rises = brows - np.median(brows, axis=0)
    return np.asarray(np.sign(rises) * np.maximum(np.abs(rises) - BROW_NOISE_M, 0.0))


def _closure(points: Floats, at: Side) -> Floats:
    """0 for an eye as open as usual, 1 for one as closed as it gets. [n]"""
    gaps = np.linalg.norm(points[:, list(at.above), :2] - points[:, list(at.below), :2], axis=2)
    width = np.linalg.norm(points[:, at.outer, :2] - points[:, at.inner, :2], axis=1)
    opening = gaps.mean(axis=1) / width
    usual = float(np.percentile(opening, 70))
    closed = min(float(opening.min()), CLOSED_AT_MOST * usual)
    return np.asarray((usual - opening) / max(usual - closed, 1e-6))
