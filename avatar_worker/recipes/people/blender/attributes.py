"""Values painted on the skin's vertices: lips, redness, freckles, scalp, beard, and classes."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from avatar_worker.recipes.people.blender.geometry import add_attribute
from avatar_worker.recipes.people.blender.scalp import azimuth_deg, scalp_weight
from avatar_worker.recipes.people.character import Character
from avatar_worker.recipes.people.easing import smoothstep
from avatar_worker.recipes.people.mesh import Floats, Ints
from avatar_worker.recipes.people.person import Beard, Place

HEAD_CLASS_SHARE = 0.80
"""A vertex that follows the head at least this far is head, else neck."""
GUMS_DEPTH_DM = (0.3, 1.15)
"""Inside the mouth, the skin between these depths (z) fades from throat into inner lip."""


def sample_mask(character: Character, picture: Path) -> Floats:
    """[N] value 0…1 of a grey picture at each skin vertex (mean over its corners)."""
    grey = np.asarray(Image.open(picture).convert("L"), dtype=np.float64) / 255
    height, width = grey.shape
    base = character.base
    faces = base.faces_of("body")
    u, v = base.uv[base.face_uv[faces]].reshape(-1, 2).T
    row = np.clip(((1 - v) * height).astype(int), 0, height - 1)
    column = np.clip((u * width).astype(int), 0, width - 1)
    corner = base.faces[faces].ravel()
    total, count = np.zeros(len(base.vertices)), np.zeros(len(base.vertices))
    np.add.at(total, corner, grey[row, column])
    np.add.at(count, corner, 1)
    return total / np.maximum(count, 1)


class SkinAttributes:
    """All painted values of the whole mesh, [N] each."""

    def __init__(self, character: Character, textures: Path) -> None:
        rest, look = character.rest, character.person.look
        skin = look.skin
        self.rest = rest
        self.lips = sample_mask(character, textures / "mpfb_lips.jpg")
        self.inside = sample_mask(character, textures / "mpfb_inside-mouth.jpg")
        self.gums = self.inside * smoothstep(rest[:, 2], *GUMS_DEPTH_DM)
        ears = sample_mask(character, textures / "mpfb_ears.jpg")
        is_head = character.head_share > 0.9
        self.scalp = scalp_weight(rest, look.hair.hairline) * is_head * (ears < 0.3)
        nose = rest[np.argmax(rest[:, 2] * (rest[:, 1] > 6))]

        def spot(centre: ArrayLike, radius: float) -> Floats:
            apart = rest - np.asarray(centre)
            return np.exp(-(apart**2).sum(axis=1) / (2 * radius**2))

        def pair(left: Place, radius: float) -> Floats:
            return spot(left, radius) + spot((-left[0], *left[1:]), radius)

        cheeks, chin = pair(skin.cheeks, 0.16), spot(skin.chin, 0.14)
        self.red = np.clip(0.30 * cheeks + 0.30 * spot(nose, 0.10) + 0.12 * chin, 0, 1)
        freckled = pair(skin.upper_cheeks, 0.2) + spot(nose + np.array([0, 0.1, 0]), 0.16)
        self.freckles = np.clip(skin.freckles * freckled, 0, 1)
        self.beard = _beard(rest, skin.beard) * (ears < 0.3) * (1 - self.lips) * (1 - self.inside)
        head = character.head_share > HEAD_CLASS_SHARE
        face = head & (self.scalp < 0.5) & (ears < 0.3) & (rest[:, 2] > 0.45)
        self.classes = np.stack([head, ~head | face, np.zeros_like(head)], axis=1)

    def paint(self, mesh: bpy.types.Mesh, vertices: Ints) -> None:
        """Writes the values of these vertices to the mesh."""
        add_attribute(mesh, "rest", self.rest[vertices] * 0.1, vector=True)
        add_attribute(mesh, "seg", self.classes[vertices], vector=True)
        for name in ("lips", "inside", "gums", "scalp", "red", "freckles", "beard"):
            add_attribute(mesh, name, getattr(self, name)[vertices], vector=False)


def _beard(points: Floats, beard: Beard | None) -> Floats:
    """[N] how much stubble grows at points [N, 3] dm, 0…1."""
    if beard is None:
        return np.zeros(len(points))
    azimuth, height = azimuth_deg(points), points[:, 1]
    below = smoothstep(np.interp(azimuth, *beard.upper) - height, -0.03, 0.09)
    above = smoothstep(height - np.interp(azimuth, *beard.lower), -0.10, 0.10)
    return below * above
