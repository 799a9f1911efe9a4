"""A person's geometry: a blend of generic shape targets, 52 face units and one of our own, a head
that turns.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from avatar_worker.recipes.people.camera import ORIGIN_DM, PIVOT_DM, Pose
from avatar_worker.recipes.people.easing import smoothstep
from avatar_worker.recipes.people.mesh import (
    BODY_VERTICES,
    BaseMesh,
    Floats,
    Ints,
    Rig,
    load_base,
    load_rig,
    load_shape,
    load_units,
)
from avatar_worker.recipes.people.person import Person
from avatar_worker.recipes.people.units import TONGUE_TIP_UP

TONGUE_BENDS_DM = (0.82, 1.20)
"""Depths (z) between which the tongue bends up: the root stays, the tip moves whole."""
TONGUE_TIP_RISE_DM = 0.065
TONGUE_TIP_FORWARD_DM = 0.035
"""From where it rests to the ridge behind the upper teeth."""
TONGUE_UNDERSIDE_SHARE = 0.3
"""The underside hangs on the floor of the mouth: a slab that rises whole would leave the gap below
the upper teeth black."""
ARM_DOWN_DEG = 38.0
NECK_SHARE = {"head": 1.0, "neck03": 0.72, "neck02": 0.42, "neck01": 0.16}
"""How much a vertex follows the head, per bone it hangs on."""


class Character:
    """The mesh at rest and in any state.

    Attributes:
        person: who it is.
        base: topology and groups of the base mesh.
        rest: [N, 3] dm, shaped, the head before the camera, arms lowered, face neutral.
        head_share: [N] how far each vertex follows the head, 0…1.
        units: displacements [N, 3] dm by name: 52 and the raised tip of the tongue.
    """

    def __init__(self, data: Path, person: Person) -> None:
        self.data, self.person = data, person
        self.base: BaseMesh = load_base(data)
        self.units = load_units(data)
        rig = load_rig(data)
        rest = self.base.vertices.copy()
        for name, weight in person.shape.items():
            rest += weight * load_shape(data, name)
        for group, shift in person.teeth_shift_dm.items():
            rest[self.base.vertices_of(group)] += shift
        rest += ORIGIN_DM - person.head_dm
        self.rest: Floats = _lower_arms(rest, self.base, rig)
        self.head_share = _head_share(self.base, rig)
        self.units[TONGUE_TIP_UP] = _tongue_tip_up(self.base, self.rest)

    def joint(self, name: str) -> Floats:
        """Centre [3] dm of the cube that marks a joint."""
        return np.asarray(self.rest[self.base.vertices_of(f"joint-{name}")].mean(axis=0))

    def body_faces(self) -> Ints:
        """[F, 4] faces of the skin."""
        return self.base.faces[self.base.faces_of("body")]

    def vertices(self, units: Mapping[str, float], pose: Pose | None = None) -> Floats:
        """[N, 3] dm with these unit weights and this head pose."""
        shaped = self.rest.copy()
        for name, weight in units.items():
            if weight:
                shaped += weight * self.units[name]
        if pose is None:
            return shaped
        turned = (shaped - PIVOT_DM) @ pose.rotation.T + PIVOT_DM + pose.shift
        return shaped + self.head_share[:, None] * (turned - shaped)

    @property
    def origin(self) -> Floats:
        """Middle of the head [3] dm."""
        return ORIGIN_DM


def _head_share(base: BaseMesh, rig: Rig) -> Floats:
    share = np.zeros(len(base.vertices))
    for bone, (index, weight) in rig.weights.items():
        root = rig.ancestor(bone, set(NECK_SHARE))
        if root is not None:
            np.add.at(share, index, weight * NECK_SHARE[root])
    for group in np.unique(base.group_of_face):
        if group.startswith("helper") and any(part in group for part in ("eye", "teeth", "tongue")):
            share[base.vertices_of(str(group))] = 1.0
    # The ramp keeps the neck nearly still, so that one torso picture serves every frame.
    return smoothstep(share, 0.50, 0.95)


def _tongue_tip_up(base: BaseMesh, rest: Floats) -> Floats:
    """[N, 3] dm: the front of the tongue against the ridge of the upper teeth, as in t, d, n, l."""
    tongue = base.vertices_of("helper-tongue")
    _, height, depth = rest[tongue].T
    bent = smoothstep(depth, *TONGUE_BENDS_DM)
    front = height[depth > TONGUE_BENDS_DM[1] - 0.1]
    top = smoothstep(height, front.min(), front.max())
    share = TONGUE_UNDERSIDE_SHARE + (1 - TONGUE_UNDERSIDE_SHARE) * top
    moved = np.zeros_like(rest)
    moved[tongue, 1] = TONGUE_TIP_RISE_DM * bent * share
    moved[tongue, 2] = TONGUE_TIP_FORWARD_DM * bent
    return moved


def _lower_arms(rest: Floats, base: BaseMesh, rig: Rig) -> Floats:
    lowered = rest.copy()
    moving = ("upperarm", "lowerarm", "wrist", "finger", "metacarpal")
    for side, sign in (("L", 1.0), ("R", -1.0)):
        joint = rest[base.vertices_of(f"joint-{side.lower()}-shoulder")].mean(axis=0)
        share = np.zeros(len(rest))
        for bone, (index, weight) in rig.weights.items():
            if not bone.endswith(f".{side}"):
                continue
            if bone.startswith(moving):
                np.add.at(share, index, weight)
            elif bone.startswith("shoulder"):
                np.add.at(share, index, 0.45 * weight)
        angle = -sign * np.radians(ARM_DOWN_DEG)
        turn = np.array(
            [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
        )
        turned = (rest - joint) @ turn.T + joint
        lowered += share[:, None] * (turned - rest)
    return lowered


def triangles(faces: Ints) -> Ints:
    """Quads [F, 4] → triangles [2F, 3]."""
    return np.concatenate([faces[:, [0, 1, 2]], faces[:, [0, 2, 3]]])


def is_body(index: Ints) -> np.ndarray:
    """Which of these vertices belong to the skin."""
    return index < BODY_VERTICES
