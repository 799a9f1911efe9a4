"""Where the lips of the drawn character meet, from her mesh: the truth for `lips.lip_gap_px`.

What is drawn is not the mesh itself but the smooth surface that it stands for, up to 6 px inside
its corners where the lips are pushed out. So the mouth's part of the mesh is refined as the drawing
program does it (Catmull & Clark 1978, two levels); the gap is what is left between the lowest point
of the upper lip and the highest of the lower one, column by column. The 68 landmarks of a data
folder are corners of the coarse mesh, and no truth in this sense.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from avatar_worker.recipes.people.camera import Pose, project_world
from avatar_worker.recipes.people.character import Character
from avatar_worker.recipes.people.landmarks import VERTICES

LEVELS: Final = 2
PATCH_EDGES, LIP_EDGES = 6, 3
"""So many edges away from the inner lips the patch ends, and the lips."""

COLUMNS_PX: Final = (-8, -4, 0, 4, 8)
COLUMN_HALF_PX: Final = 2.0
FAR: Final = 99
SURE: Final = 0.3
"""Sides are +1 and −1 at the corners of the mesh, and blended between."""

Floats = NDArray[np.float64]
Faces = NDArray[np.int64]


class DrawnLips:
    """The lips of one character in any state."""

    def __init__(self, character: Character) -> None:
        self._character = character
        faces = character.body_faces()
        upper, lower = (
            edges_from(faces, VERTICES[part]) for part in (slice(61, 64), slice(65, 68))
        )
        nearest = np.minimum(upper, lower)
        inside = faces[(nearest[faces] <= PATCH_EDGES).all(axis=1)]
        self._used, numbers = np.unique(inside, return_inverse=True)
        self._faces: Faces = numbers.reshape(inside.shape)
        side = np.sign(lower - upper)[self._used]
        is_lip = (nearest <= LIP_EDGES)[self._used]
        self._marks: Floats = np.stack([side, is_lip], axis=1).astype(np.float64)

    def gap_px(self, units: Mapping[str, float], pose: Pose) -> float:
        """Mean over the mouth's centre columns; 0 where the lips touch."""
        corners = self._character.vertices(units, pose)
        points = np.concatenate([corners[self._used], self._marks], axis=1)
        faces = self._faces
        for _ in range(LEVELS):
            points, faces = refine(points, faces)
        column, row = project_world(points[:, :3]).T
        side, is_lip = points[:, 3], points[:, 4] > 0.5
        middle = project_world(corners[VERTICES])[[51, 57, 62, 66], 0].mean()
        gaps = []
        for offset in COLUMNS_PX:
            near = is_lip & (np.abs(column - middle - offset) < COLUMN_HALF_PX)
            gaps.append(row[near & (side < -SURE)].min() - row[near & (side > SURE)].max())
        return max(0.0, float(np.mean(gaps)))


def edges_from(faces: Faces, start: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many edges each vertex is away from the nearest of `start`; at most `FAR`. [n]"""
    away = np.full(int(faces.max()) + 1, FAR)
    away[start] = 0
    ends = edges_of(faces)
    for step in range(1, PATCH_EDGES + 3):
        for a, b in (ends.T, ends.T[::-1]):
            reached = b[(away[a] == step - 1) & (away[b] > step)]
            away[reached] = step
    return away


def edges_of(faces: Faces) -> Faces:
    """The two ends of each side of each face, smaller number first. [4 F, 2]"""
    return np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=2).reshape(-1, 2), axis=1)


def refine(points: Floats, faces: Faces) -> tuple[Floats, Faces]:
    """One level of Catmull & Clark's refinement; edges at the border stay where they are.

    With n faces around a vertex v, F the mean of their centres and E that of the middles of its
    edges, the new v is (F + 2 E + (n − 3) v) / n.

    Args:
        points: what is refined, places and anything else. [V, c]
        faces: four corners each. [F, 4]
    """
    edges, edge_of = np.unique(edges_of(faces), axis=0, return_inverse=True)
    edge_of = edge_of.reshape(faces.shape)
    centre = points[faces].mean(axis=1)  # [F, c]
    middle = points[edges].mean(axis=1)  # [E, c]
    n_faces = np.bincount(edge_of.ravel(), minlength=len(edges))[:, None]
    beside = _sums(edge_of, np.repeat(centre, 4, axis=0), len(edges)) / n_faces
    on_edge = np.where(n_faces == 2, (middle + beside) / 2, middle)
    around = np.maximum(np.bincount(faces.ravel(), minlength=len(points)), 1)[:, None]
    n_edges = np.maximum(np.bincount(edges.ravel(), minlength=len(points)), 1)[:, None]
    of_faces = _sums(faces, np.repeat(centre, 4, axis=0), len(points)) / around
    of_edges = _sums(edges, np.repeat(middle, 2, axis=0), len(points)) / n_edges
    moved = (of_faces + 2 * of_edges + (around - 3) * points) / around
    kept = np.where(around == n_edges, moved, points)
    first_edge, first_centre = len(points), len(points) + len(edges)
    corner = np.arange(len(faces)) + first_centre
    quarters = [
        np.stack([faces[:, k], first_edge + edge_of[:, k], corner,
                  first_edge + edge_of[:, k - 1]], axis=1)
        for k in range(4)
    ]  # fmt: skip
    return np.concatenate([kept, on_edge, centre]), np.concatenate(quarters)


def _sums(where: Faces, values: Floats, n: int) -> Floats:
    total = np.zeros((n, values.shape[1]))
    np.add.at(total, where.ravel(), values)
    return total
