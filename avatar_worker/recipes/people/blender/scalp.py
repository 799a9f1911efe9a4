"""Where hair grows: the surface of the head, the hairline on it, and roots spread above it."""

from __future__ import annotations

import numpy as np
from mathutils import Vector
from mathutils.bvhtree import BVHTree

from avatar_worker.recipes.people.character import Character, triangles
from avatar_worker.recipes.people.easing import smoothstep
from avatar_worker.recipes.people.mesh import BODY_VERTICES, Floats, Ints
from avatar_worker.recipes.people.person import Stops


def azimuth_deg(points: Floats) -> Floats:
    """[...] angle of points [..., 3] dm around the head, 0 in front, 180 behind, either side."""
    return np.degrees(np.abs(np.arctan2(points[..., 0], points[..., 2] - 0.38)))


def scalp_weight(points: Floats, hairline: Stops) -> Floats:
    """[...] how far points [..., 3] dm lie above the hairline, 0…1."""
    line = np.interp(azimuth_deg(points), *hairline)
    return smoothstep(points[..., 1] - line, -0.03, 0.10)


def head_surface(character: Character) -> tuple[Ints, BVHTree]:
    """Triangles [F, 3] of the head's skin, and the surface that strands lie on."""
    faces = character.body_faces()
    faces = faces[(character.head_share[faces] > 0.3).all(axis=1)]
    points = [Vector(point) for point in character.rest[:BODY_VERTICES]]
    return triangles(faces), BVHTree.FromPolygons(points, faces.tolist())


def spread_roots(
    character: Character, faces: Ints, weight: Floats, count: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Places and surface normals [count, 3] on triangles [F, 3], as dense as `weight` [F] says."""
    corner = character.rest[faces]
    cross = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    doubled_area = np.linalg.norm(cross, axis=1)
    chance = doubled_area * weight
    picked = rng.choice(len(faces), count, p=chance / chance.sum())
    u, v = rng.random((2, count, 1))
    folded = u + v > 1
    u, v = np.where(folded, 1 - u, u), np.where(folded, 1 - v, v)
    a, b, c = corner[picked].transpose(1, 0, 2)
    return a + u * (b - a) + v * (c - a), (cross / doubled_area[:, None])[picked]
