"""Grows short hair once, in the rest head frame: longer on top and combed aside, cropped at the
sides, as good as shaved at the nape. Far fewer and shorter strands than a bob: cheap to draw.

Each strand is marched over the head's surface in a direction of combing, and stands off as its
layer says; neighbours share the noise of their direction, which makes tufts.
"""

from __future__ import annotations

import numpy as np
from mathutils import Vector
from mathutils.bvhtree import BVHTree
from scipy.spatial import cKDTree

from avatar_worker.recipes.people.blender.attributes import sample_mask
from avatar_worker.recipes.people.blender.hair import azimuth_deg, scalp_weight
from avatar_worker.recipes.people.character import Character, triangles
from avatar_worker.recipes.people.easing import smoothstep
from avatar_worker.recipes.people.mesh import BODY_VERTICES, Floats

STRANDS = 9_000
POINTS = 6
RADIUS_M = np.linspace(1.0, 0.4, POINTS) * 9e-5
TUFTS = 260
PART_X_DM = 0.30
"""Combed away from here, over the top of the head."""
LENGTHS_DM = (0.045, 0.12, 0.42)
"""At the nape and the sideburns, over the ears, on top."""


def grow_short(character: Character, seed: int = 4) -> Floats:
    """Strands [n, POINTS, 3] dm."""
    rng = np.random.default_rng(seed)
    faces = character.body_faces()
    faces = faces[(character.head_share[faces] > 0.3).all(axis=1)]
    surface = BVHTree.FromPolygons(
        [Vector(point) for point in character.rest[:BODY_VERTICES]], faces.tolist()
    )
    roots, normals = _roots(character, triangles(faces), rng)
    top = smoothstep(roots[:, 1], 6.95, 7.35)
    heading = _combed(roots, top) + _tufts(roots, rng) * (0.20 + 0.25 * top)[:, None]
    length = _lengths(roots, top, rng)
    rise = (0.35 + 0.35 * top) * rng.uniform(0.5, 1.1, len(roots))
    # The fringe is lifted before it falls back.
    rise += 0.45 * top * smoothstep(roots[:, 2], 0.75, 1.15)
    paths = [
        _march(surface, *each) for each in zip(roots, normals, heading, rise, length, strict=True)
    ]
    return np.array(paths)


def _roots(
    character: Character, faces: np.ndarray, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Places and surface normals [STRANDS, 3], evenly by area above the hairline."""
    corner = character.rest[faces]
    cross = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    doubled_area = np.linalg.norm(cross, axis=1)
    ears = sample_mask(character, character.data / "mpfb2/textures/mpfb_ears.jpg")
    hairline = character.person.look.hair.hairline
    weight = scalp_weight(character.rest, hairline) * (ears < 0.2)
    chance = doubled_area * weight[faces].min(axis=1)
    picked = rng.choice(len(faces), STRANDS, p=chance / chance.sum())
    u, v = rng.random((2, STRANDS, 1))
    folded = u + v > 1
    u, v = np.where(folded, 1 - u, u), np.where(folded, 1 - v, v)
    a, b, c = corner[picked].transpose(1, 0, 2)
    return a + u * (b - a) + v * (c - a), (cross / doubled_area[:, None])[picked]


def _combed(roots: Floats, top: Floats) -> Floats:
    """[n, 3] where each strand points: on top aside and back, else down and back."""
    x, y, z = roots.T
    aside = np.where(x > PART_X_DM, 0.6, -0.75)
    front = smoothstep(z, 0.3, 1.0)
    on_top = np.stack([aside, 0.15 * front, -0.35 - 0.35 * front], axis=1)
    behind = smoothstep(-z, -0.2, 0.3)
    below = np.stack([0.15 * np.sign(x), -1.0 + 0 * y, -0.55 * (1 - behind)], axis=1)
    return on_top * top[:, None] + below * (1 - top)[:, None]


def _tufts(roots: Floats, rng: np.random.Generator) -> Floats:
    """[n, 3] a random direction that neighbours share, and a little of each one's own."""
    middles = roots[rng.choice(len(roots), TUFTS, replace=False)]
    shared = rng.normal(0, 1, (TUFTS, 3))
    distance, nearest = cKDTree(middles).query(roots, k=3)
    share = 1 / (distance + 0.02)
    mixed = (shared[nearest] * share[..., None]).sum(axis=1) / share.sum(axis=1)[:, None]
    return mixed + rng.normal(0, 0.35, roots.shape)


def _lengths(roots: Floats, top: Floats, rng: np.random.Generator) -> Floats:
    """[n] dm."""
    shortest, middle, longest = LENGTHS_DM
    side = smoothstep(roots[:, 1], 6.35, 6.95)
    length = shortest + (middle - shortest) * side + (longest - middle) * top
    # The first rows over the forehead are shorter, so that no straight edge hangs there.
    front = azimuth_deg(roots) < 55
    first_rows = smoothstep(roots[:, 1], 7.2, 7.5)
    length *= np.where(front, 0.6 + 0.4 * first_rows, 1.0)
    return length * rng.uniform(0.65, 1.15, len(roots))


def _march(
    surface: BVHTree, root: Floats, normal: Floats, heading: Floats, rise: float, length: float
) -> Floats:
    """Points [POINTS, 3] dm: along the head in steps, each a little farther from it."""
    step = length / (POINTS - 1)
    here, path = root, [root]
    for at in range(1, POINTS):
        along = heading - normal * np.dot(heading, normal)
        along /= np.linalg.norm(along) + 1e-9
        # It leaves the skin steeply and lies down towards the tip.
        steep = rise * (1.5 - 1.3 * at / POINTS)
        ahead = here + step * (along + steep * normal) / np.hypot(1.0, steep)
        nearest, facing, _, _ = surface.find_nearest(Vector(ahead))
        if nearest is not None:
            foot, normal = np.array(nearest), np.array(facing)
            if np.dot(ahead - foot, normal) < 0.012:
                ahead = foot + 0.012 * normal
        here = ahead
        path.append(here)
    return np.array(path)
