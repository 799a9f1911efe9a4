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
from avatar_worker.recipes.people.blender.scalp import (
    azimuth_deg,
    head_surface,
    scalp_weight,
    spread_roots,
)
from avatar_worker.recipes.people.character import Character
from avatar_worker.recipes.people.easing import smoothstep
from avatar_worker.recipes.people.mesh import Floats, Ints

STRANDS = 13_000
POINTS = 6
RADIUS_M = np.linspace(1.0, 0.45, POINTS) * 10e-5
TUFTS = 320
PART_X_DM = (0.16, 0.48)
"""Combed away from between these, over the top of the head: a soft parting, not a line."""
LENGTHS_DM = (0.05, 0.13, 0.40)
"""At the nape and the sideburns, over the ears, on top."""
LAYERS_DM = (0.035, 0.060, 0.150)
"""How far the outermost strands lie above the skin, at the same places."""
FRINGE_DM = 0.09
"""What the fringe is lifted by beyond that."""


def grow_short(character: Character, seed: int = 4) -> Floats:
    """Strands [n, POINTS, 3] dm."""
    rng = np.random.default_rng(seed)
    faces, surface = head_surface(character)
    roots, normals = spread_roots(character, faces, _weight(character, faces), STRANDS, rng)
    top = smoothstep(normals[:, 1], 0.20, 0.75)
    side = smoothstep(roots[:, 1], 6.35, 6.95)
    heading = _combed(roots, top) + _tufts(roots, rng) * (0.18 + 0.14 * top)[:, None]
    length = _by_place(LENGTHS_DM, side, top) * rng.uniform(0.65, 1.15, len(roots))
    length *= _first_rows(roots)
    fringe = top * smoothstep(roots[:, 2], 0.65, 1.05)
    layer = (_by_place(LAYERS_DM, side, top) + FRINGE_DM * fringe) * rng.uniform(
        0.15, 1.0, len(roots)
    )
    paths = [
        _march(surface, *each) for each in zip(roots, normals, heading, length, layer, strict=True)
    ]
    return np.array(paths)


def _weight(character: Character, faces: Ints) -> Floats:
    """[F] how densely hair grows on triangles [F, 3]: above the hairline, not on the ears."""
    ears = sample_mask(character, character.data / "mpfb2/textures/mpfb_ears.jpg")
    is_ear = (ears[faces] > 0.2).any(axis=1)
    # The largest share of the corners: the edge of the dark scalp is covered too.
    share = scalp_weight(character.rest, character.person.look.hair.hairline)[faces].max(axis=1)
    return share * ~is_ear


def _combed(roots: Floats, top: Floats) -> Floats:
    """[n, 3] where each strand points: on top aside and back, else down and back."""
    x, y, z = roots.T
    aside = np.interp(x, PART_X_DM, (-0.75, 0.65))
    front = smoothstep(z, 0.3, 1.0)
    on_top = np.stack([aside, 0.15 * front, -0.35 - 0.25 * front], axis=1)
    behind = smoothstep(-z, -0.2, 0.3)
    below = np.stack([0.15 * np.sign(x), np.full_like(y, -1.0), -0.5 * (1 - behind)], axis=1)
    return on_top * top[:, None] + below * (1 - top)[:, None]


def _tufts(roots: Floats, rng: np.random.Generator) -> Floats:
    """[n, 3] a random direction that neighbours share, and a little of each one's own."""
    middles = roots[rng.choice(len(roots), TUFTS, replace=False)]
    shared = rng.normal(0, 1, (TUFTS, 3))
    distance, nearest = cKDTree(middles).query(roots, k=3)
    share = 1 / (distance + 0.02)
    mixed = (shared[nearest] * share[..., None]).sum(axis=1) / share.sum(axis=1)[:, None]
    return mixed + rng.normal(0, 0.35, roots.shape)


def _by_place(values: tuple[float, float, float], side: Floats, top: Floats) -> Floats:
    """[n] of three values for nape, side and top."""
    nape, above_ears, above = values
    return nape + (above_ears - nape) * side + (above - above_ears) * top


def _first_rows(roots: Floats) -> Floats:
    """[n] factor of length: no straight edge hangs over the forehead."""
    in_front = azimuth_deg(roots) < 55
    return np.where(in_front, 0.6 + 0.4 * smoothstep(roots[:, 1], 7.2, 7.5), 1.0)


def _march(
    surface: BVHTree, root: Floats, normal: Floats, heading: Floats, length: float, layer: float
) -> Floats:
    """Points [POINTS, 3] dm along the head, rising to `layer` above it over the first half."""
    step = length / (POINTS - 1)
    here, path = root, [root]
    for at in range(1, POINTS):
        along = heading - normal * np.dot(heading, normal)
        along /= np.linalg.norm(along) + 1e-9
        ahead = here + step * along
        nearest, facing, _, _ = surface.find_nearest(Vector(ahead))
        if nearest is not None:
            foot, normal = np.array(nearest), np.array(facing)
            here = foot + layer * min(1.0, 2 * at / POINTS) * normal
        else:
            here = ahead
        path.append(here)
    return np.array(path)
