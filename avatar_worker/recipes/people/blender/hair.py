"""Grows the bob once, in the rest head frame; afterwards it only follows the head.

Guides march along the surface of the head under gravity and are kept out of the face; children
scatter at the root and gather towards the tip, which makes locks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from mathutils import Vector
from mathutils.bvhtree import BVHTree

from avatar_worker.recipes.people.blender.scalp import head_surface, scalp_weight, spread_roots
from avatar_worker.recipes.people.character import Character
from avatar_worker.recipes.people.easing import smoothstep
from avatar_worker.recipes.people.mesh import Floats

GUIDES = 2300
CHILDREN = 6
POINTS = 14
STEP_DM = 0.07
MAX_STEPS = 70
GRAVITY = 0.42
PART_X_DM = 0.20
END_Y_DM = 5.78
FLYAWAY_SHARE = 0.015
RADIUS_M = np.linspace(1.0, 0.45, POINTS) * 10e-5
"""Fewer and thicker than real hair: 512 pixels do not tell, and few samples suffice."""


def grow_bob(character: Character, seed: int = 3) -> Floats:
    """Strands [n, POINTS, 3] dm."""
    rng = np.random.default_rng(seed)
    faces, surface = head_surface(character)
    middle = character.rest[faces].mean(axis=1)
    x, y, z = middle.T
    is_ear = (np.abs(x) > 0.66) & (y < 6.75) & (z > 0.2) & (z < 0.62)
    weight = np.where(is_ear, 0.0, scalp_weight(middle, character.person.look.hair.hairline))
    roots, normals = spread_roots(character, faces, weight, GUIDES, rng)
    guides = []
    for root, normal in zip(roots, normals, strict=True):
        path = _Guide(root, normal, layer=rng.random(), jitter=rng.normal(0, 0.045)).grow(surface)
        if len(path) >= 4:
            guides.append(_smooth_and_resample(path))
    return _add_flyaways(_add_children(np.array(guides), rng), character.origin, rng)


@dataclass
class _Guide:
    """One guide strand: where it starts, and how far from the head its layer lies."""

    root: Floats
    normal: Floats
    layer: float
    jitter: float

    def __post_init__(self) -> None:
        x, y, z = self.root
        self.front = float(smoothstep(z, 0.55, 1.15) * smoothstep(y, 6.9, 7.15))
        self.back = float(smoothstep(-z, -0.5, 0.1))
        self.top = float(smoothstep(y, 7.0, 7.6))
        self.side = 1.0 if x > PART_X_DM else -1.0
        if z < 0.15 and abs(x) < 0.6 and y > 6:  # the back fans out from the middle
            self.side = float(np.sign(x - PART_X_DM * smoothstep(z, -0.2, 0.3))) or 1.0
        self.offset = 0.03 + 0.13 * self.layer * (0.45 + 0.55 * self.top) + 0.03 * self.layer
        self.end_y = END_Y_DM + self.jitter + 0.10 * self.layer - 0.12 * self.back

    def grow(self, surface: BVHTree) -> Floats:
        """Points [n, 3] dm from root to tip."""
        sideways = self.side * (0.9 * (1 - self.back) + 0.15 * self.back)
        backwards = -0.45 * self.front - 0.4 * self.back
        heading = np.array([sideways, 0.25 * self.top, backwards]) + 0.30 * self.normal
        heading /= np.linalg.norm(heading)
        here = self.root.copy()
        path = [here]
        for step in range(MAX_STEPS):
            pull_back = -0.10 * self.front if here[1] > 6.9 else 0.0
            heading = heading + np.array([0.05 * self.side, -GRAVITY, pull_back])
            heading /= np.linalg.norm(heading)
            ahead = here + STEP_DM * heading
            ahead = self._lie_on_head(surface, ahead, min(1.0, (step + 1) / 5))
            ahead = self._stay_off_face(ahead)
            walked = ahead - here
            length = np.linalg.norm(walked)
            if length < 1e-6:
                break
            heading = 0.35 * heading + 0.65 * walked / length
            heading /= np.linalg.norm(heading)
            here = ahead
            path.append(here)
            if here[1] < self.end_y:
                break
        return np.array(path)

    def _lie_on_head(self, surface: BVHTree, point: Floats, rise: float) -> Floats:
        nearest, direction, _, _ = surface.find_nearest(Vector(point))
        if nearest is None:
            return point
        foot, normal = np.array(nearest), np.array(direction)
        height = float(np.dot(point - foot, normal))
        wanted = self.offset * rise
        if height < wanted and np.linalg.norm(point - foot) < 0.6:
            return foot + wanted * normal
        if point[1] > 6.35 and height > wanted + 0.02:
            return point + 0.5 * (foot + (wanted + 0.02) * normal - point)
        return point

    def _stay_off_face(self, point: Floats) -> Floats:
        x, y, z = point
        if z > 0.70 and y < 7.36:
            edge = np.interp(y, [5.6, 6.2, 6.7, 7.05, 7.36], [0.60, 0.69, 0.68, 0.56, 0.22])
            if self.side * x < edge:
                x = self.side * (edge + 0.05 * self.layer)
        if y < 6.25:  # the ends curl in
            depth = (6.25 - y) / 0.5
            x -= self.side * 0.022 * (1 - self.back) * depth
            z += 0.012 * self.back * depth
        return np.array([x, y, min(z, 1.02) if y < 7.0 else z])


def _smooth_and_resample(path: Floats) -> Floats:
    for _ in range(3):
        path[1:-1] = 0.25 * path[:-2] + 0.5 * path[1:-1] + 0.25 * path[2:]
    travelled = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))]
    at = np.linspace(0.0, travelled[-1], POINTS)
    return np.stack([np.interp(at, travelled, path[:, axis]) for axis in range(3)], axis=1)


def _add_children(guides: Floats, rng: np.random.Generator) -> Floats:
    count = len(guides)
    along = np.linspace(0.0, 1.0, POINTS)[None, :, None]
    grown = []
    for _ in range(CHILDREN):
        root_scatter = rng.normal(0, 0.030, (count, 1, 3))
        drift = rng.normal(0, 0.018, (count, 1, 3))
        turns = rng.uniform(1.0, 2.6, (count, 1, 1))
        phase = rng.uniform(0, 2 * np.pi, (count, 1, 3))
        wave = 0.008 * np.sin(2 * np.pi * turns * along + phase) * along
        length = 1 - 0.22 * rng.random((count, 1, 1)) ** 3
        where = along * length * (POINTS - 1)
        low = np.clip(np.floor(where).astype(int), 0, POINTS - 2)
        part = where - low
        take = np.repeat(low, 3, axis=2)
        shortened = np.take_along_axis(guides, take, axis=1) * (1 - part)
        shortened = shortened + np.take_along_axis(guides, take + 1, axis=1) * part
        scatter = root_scatter * (1 - 0.88 * np.sqrt(along))
        grown.append(shortened + scatter + 0.6 * drift * along + wave)
    return np.concatenate(grown)


def _add_flyaways(strands: Floats, centre: Floats, rng: np.random.Generator) -> Floats:
    along = np.linspace(0.0, 1.0, POINTS)[None, :, None]
    count = int(len(strands) * FLYAWAY_SHARE)
    picked = rng.choice(len(strands), count, replace=False)
    outwards = strands[picked, -1] - centre
    outwards[:, 1] *= 0.3
    outwards /= np.linalg.norm(outwards, axis=1)[:, None]
    reach = rng.uniform(0.0, 0.11, (count, 1, 1))
    ripple = 0.012 * np.sin(9 * along + rng.uniform(0, 6, (count, 1, 3))) * along
    strands[picked] += outwards[:, None] * along**1.5 * reach + ripple
    return strands
