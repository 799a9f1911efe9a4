"""Brows bound to skin triangles and lashes bound to the lash strips: both follow the face."""

from __future__ import annotations

import numpy as np
from mathutils import Vector
from mathutils.bvhtree import BVHTree
from scipy.spatial import cKDTree

from avatar_worker.recipes.people.character import Character, triangles
from avatar_worker.recipes.people.mesh import BODY_VERTICES, Floats, Ints

BROW_POINTS = 5
BROW_TAPER = np.linspace(1.0, 0.25, BROW_POINTS)
LASH_POINTS = 5
LASHES_PER_QUAD = {"1": 4, "2": 9}
LASH_RADIUS_M = {"1": 4.5e-5, "2": 9e-5}
LASH_LENGTH = {"1": 0.75, "2": 1.15}
"""By row: 1 the lower lid, 2 the upper. Length in lash strips."""
LASH_GROWTH = ((0.0, 0.22, 0.8, 1.0), (0.25, 0.8, 1.1, 0.8))
"""Share of length and radius from the inner to the outer corner of the eye; where the lids meet,
full lashes would pile up to a blot."""


class Brows:
    """Strands stored in the frames of the triangles they grow from."""

    def __init__(self, character: Character, seed: int = 5) -> None:
        rest = character.rest
        self.look = character.person.look.brows
        self.radius_m = BROW_TAPER * self.look.radius_m
        faces = triangles(character.body_faces())
        x, y, z = rest[faces].mean(axis=1).T
        near = (y > 6.5) & (y < 7.2) & (z > 0.9) & (np.abs(x) < 0.7)
        self._faces = faces[near]
        surface = BVHTree.FromPolygons(
            [Vector(point) for point in rest[:BODY_VERTICES]], self._faces.tolist()
        )
        rng = np.random.default_rng(seed)
        eye_y = float(character.joint("l-eye")[1])
        triangle, local = [], []
        for side in (1.0, -1.0):
            for _ in range(self.look.strands):
                strand = self._strand(surface, rest, side, eye_y, rng)
                if strand is not None:
                    triangle.append(strand[0])
                    local.append(strand[1])
        self._corners = self._faces[np.array(triangle)]
        self._local = np.array(local)

    def _strand(
        self,
        surface: BVHTree,
        rest: Floats,
        side: float,
        eye_y: float,
        rng: np.random.Generator,
    ) -> tuple[int, Floats] | None:
        along = rng.random() ** 1.15  # 0 at the nose, denser there
        if rng.random() > 0.25 + 0.75 * along / 0.16:  # but it begins with single strands
            return None
        across = float(np.clip(rng.normal(0, 0.52), -1.1, 1.1))  # thins out towards both edges
        look = self.look
        x = np.interp(along, *look.across)
        y = eye_y + np.interp(along, *look.rise) + across * np.interp(along, *look.spread)
        hit, normal, face, _ = surface.ray_cast(Vector((side * x, y, 1.6)), Vector((0, 0, -1)))
        if hit is None:
            return None
        root, up = np.array(hit), np.array(normal)
        angle = np.interp(along, [0, 0.2, 0.6, 1], [70, 34, 6, -22]) - 18 * across
        angle = np.radians(angle + rng.normal(0, 8))
        heading = np.array([side * np.cos(angle), np.sin(angle), 0.0])
        heading -= up * np.dot(heading, up)
        heading /= np.linalg.norm(heading)
        length = np.interp(along, [0, 0.3, 0.8, 1], [0.080, 0.092, 0.065, 0.04])
        length *= rng.uniform(0.6, 1.15) * look.length
        t = np.linspace(0.0, 1.0, BROW_POINTS)[:, None]
        points = root + heading * length * t + up * (0.010 + 0.020 * np.sin(0.75 * np.pi * t))
        corner = rest[self._faces[face]]
        return face, (points - corner[0]) @ np.linalg.inv(_frames(corner[None])[0]).T

    def points(self, vertices: Floats) -> Floats:
        """Strands [n, BROW_POINTS, 3] dm on this state of the mesh."""
        corner = vertices[self._corners]
        return corner[:, None, 0] + np.einsum("nij,nkj->nki", _frames(corner), self._local)


def _frames(corner: Floats) -> Floats:
    """Triangles [n, 3, 3] → bases [n, 3, 3], columns: two edges and their normal."""
    first, second = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    return np.stack([first, second, np.cross(first, second)], axis=2)


class Lashes:
    """Strands across the quads of the lash strips, root on the lid."""

    def __init__(self, character: Character, seed: int = 2) -> None:
        rest, look = character.rest, character.person.look.lashes
        skin = np.flatnonzero(character.head_share[:BODY_VERTICES] > 0.5)
        lid = cKDTree(rest[skin])
        rng = np.random.default_rng(seed)
        corners, along, length, radius = [], [], [], []
        for side in "lr":
            for row in "12":
                group = f"helper-{side}-eyelashes-{row}"
                across = np.abs(rest[character.base.vertices_of(group), 0])
                quads = character.base.faces[character.base.faces_of(group)]
                distance = lid.query(rest)[0]
                if look.rooted_alike:
                    distance = _rows_from_root(quads, distance)
                for quad in quads:
                    ordered = _root_edge_first(quad, distance[quad])
                    place = np.abs(rest[ordered[:2], 0]).mean() - across.min()
                    growth = np.interp(place / np.ptp(across), *LASH_GROWTH)
                    count = LASHES_PER_QUAD[row]
                    for at in range(count):
                        corners.append(ordered)
                        along.append((at + rng.random()) / count)
                        length.append(
                            rng.uniform(0.75, 1.05) * LASH_LENGTH[row] * growth * look.length
                        )
                        radius.append(LASH_RADIUS_M[row] * growth * look.thickness)
        self._corners = np.array(corners)
        self._along = np.array(along)[:, None]
        self._length = np.array(length)[:, None]
        self.radius_m = np.linspace(1.0, 0.2, LASH_POINTS) * np.array(radius)[:, None]

    def points(self, vertices: Floats) -> Floats:
        """Strands [n, LASH_POINTS, 3] dm on this state of the mesh."""
        root_a, root_b, tip_a, tip_b = vertices[self._corners].transpose(1, 0, 2)
        root = root_a + self._along * (root_b - root_a)
        tip = tip_a + self._along * (tip_b - tip_a)
        reach = (tip - root) * self._length
        return root[:, None] + reach[:, None] * np.linspace(0, 1, LASH_POINTS)[None, :, None]


def _root_edge_first(quad: Ints, distance: Floats) -> Ints:
    """Orders a quad as (root a, root b, tip a, tip b): the root edge lies nearest to the lid."""
    choices = [(0, 1, 3, 2), (3, 2, 0, 1), (1, 2, 0, 3), (0, 3, 1, 2)]
    best = min(
        choices, key=lambda c: distance[c[0]] + distance[c[1]] - distance[c[2]] - distance[c[3]]
    )
    return quad[list(best)]


def _rows_from_root(quads: Ints, distance: Floats) -> Floats:
    """How many quads each vertex of a strip is away from the side that lies on the lid.

    Args:
        quads: a grid, the strip. [F, 4]
        distance: of every vertex of the mesh to the lid. [N]

    Returns:
        Rows, 0 on the lid; of no meaning outside of the strip. [N]
    """
    ends = np.sort(np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1)
    edges, uses = np.unique(ends, axis=0, return_counts=True)
    vertices, faces = np.unique(quads, return_counts=True)
    corners = set(vertices[faces == 1].tolist())
    border = edges[uses == 1].tolist()
    sides = []
    for corner in corners:  # walk along the border to the next corner, both ways
        for first in (edge for edge in border if corner in edge):
            side, edge = [corner], first
            while True:
                side.append(edge[0] if edge[1] == side[-1] else edge[1])
                if side[-1] in corners:
                    break
                edge = next(e for e in border if side[-1] in e and side[-2] not in e)
            sides.append(side)
    longest = max(map(len, sides))
    root = min((s for s in sides if len(s) == longest), key=lambda s: distance[s].mean())
    rows = np.full(len(distance), np.inf)
    rows[root] = 0
    for _ in range(len(quads)):
        for here, there in (edges.T, edges.T[::-1]):
            np.minimum.at(rows, there, rows[here] + 1)
    return rows
