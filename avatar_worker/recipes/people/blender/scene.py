"""The whole scene: builds it once, then draws one state after another."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import assert_never

import bpy
import numpy as np
from mathutils import Matrix

from avatar_worker.recipes.people.blender import (
    clothes,
    geometry,
    hair,
    materials,
    short_hair,
    stage,
)
from avatar_worker.recipes.people.blender.attributes import SkinAttributes
from avatar_worker.recipes.people.blender.strands import Brows, Lashes
from avatar_worker.recipes.people.camera import METRES_PER_DM, SIZE_PX, Pose, rigid_matrix
from avatar_worker.recipes.people.character import Character
from avatar_worker.recipes.people.mesh import Floats, Ints
from avatar_worker.recipes.people.window import Window

MASK_SAMPLES = 4
HEAD, FACE, CLOTH, NOTHING = (1, 0, 0, 0), (1, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 0)
BY_ATTRIBUTE = (0, 0, 0, 1)
"""Class colours, RGB + "ask the mesh"; the neck is green. `masks.py` reads them back."""


class Scene:
    """A person before the backdrop."""

    def __init__(self, character: Character, samples: int) -> None:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self.character, self.look = character, character.person.look
        self._state_parts: list[tuple[bpy.types.Object, Ints]] = []
        self._add_body()
        self._add_mouth()
        self.eyes = [self._add_eye(side) for side in "lr"]
        self._add_brows_and_lashes()
        self.hair = self._add_hair()
        self.cloth, self.collar = clothes.add_sweater(character)
        stage.add_camera()
        stage.add_lights()
        self.backdrop = stage.add_backdrop(self.look.backdrop)
        stage.configure(samples)
        self._classes = materials.classes()
        self._colour_classes()

    def _add_body(self) -> None:
        base, rest = self.character.base, self.character.rest
        faces = base.faces_of("body")
        corners = rest[base.faces[faces]]
        # What the sweater hides is left out.
        kept = (corners[..., 1].min(1) > 4.7) & (np.abs(corners[..., 0]).max(1) < 1.05)
        self.body, self.body_vertices = geometry.add_part("body", base, rest, faces[kept])
        geometry.subdivide(self.body)
        textures = self.character.data / "mpfb2/textures"
        self.body.data.materials.append(materials.skin(textures, self.look))
        SkinAttributes(self.character, textures).paint(self.body.data, self.body_vertices)
        self._state_parts.append((self.body, self.body_vertices))

    def _add_mouth(self) -> None:
        base, rest = self.character.base, self.character.rest
        ivory, pink = materials.teeth(), materials.tongue()
        for group in ("helper-upper-teeth", "helper-lower-teeth", "helper-tongue"):
            part, used = geometry.add_part(group, base, rest, base.faces_of(group))
            geometry.subdivide(part)
            if group == "helper-tongue":
                part.data.materials.append(pink)
            else:
                geometry.add_attribute(part.data, "across", np.abs(rest[used, 0]), vector=False)
                part.data.materials.append(ivory)
            self._state_parts.append((part, used))

    def _add_eye(self, side: str) -> tuple[bpy.types.Object, Floats]:
        """An own sphere: the helper eye has too few faces for a round iris.

        Returns:
            The object and its rest matrix [4, 4], MakeHuman axes in metres.
        """
        helper = self.character.rest[self.character.base.vertices_of(f"helper-{side}-eye")]
        low, high = helper.min(axis=0), helper.max(axis=0)
        radius = (high[0] - low[0]) / 2
        centre = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2] + radius])
        direction, faces = _sphere(around=64, down=48)
        off_axis = np.hypot(direction[:, 0], direction[:, 1])
        cornea = np.clip(1 - (off_axis / 0.56) ** 2, 0, 1) ** 1.2 * (direction[:, 2] > 0)
        points = direction * (1 + 0.075 * cornea)[:, None] * radius * 0.985
        mesh = bpy.data.meshes.new(f"eye-{side}")
        mesh.from_pydata(geometry.to_blender(points).tolist(), [], faces)
        geometry.smooth(mesh)
        geometry.add_attribute(mesh, "eye_direction", direction, vector=True)
        mesh.materials.append(bpy.data.materials.get("eye") or materials.eye(self.look))
        inwards = Pose(
            yaw_deg=float(np.degrees(materials.EYE_TURN_RAD)) * (-1 if side == "l" else 1)
        )
        rest = np.eye(4)
        rest[:3, :3] = inwards.rotation
        rest[:3, 3] = centre * METRES_PER_DM
        return geometry.link(f"eye-{side}", mesh), rest

    def _add_hair(self) -> bpy.types.Object:
        style = self.look.hair.style
        if style == "bob":
            strands, radius_m = hair.grow_bob(self.character), hair.RADIUS_M
        elif style == "short":
            strands, radius_m = short_hair.grow_short(self.character), short_hair.RADIUS_M
        else:
            assert_never(style)
        surface = materials.strands("hair", self.look.hair.colour, 0.3, self.look.hair.ior)
        return geometry.add_curves("hair", strands, radius_m, surface)

    def _add_brows_and_lashes(self) -> None:
        rest = self.character.rest
        self._brows, self._lashes = Brows(self.character), Lashes(self.character)
        self.brows = geometry.add_curves(
            "brows",
            self._brows.points(rest),
            self._brows.radius_m,
            materials.strands("brow", self.look.brows.colour, 0.4),
        )
        self.lashes = geometry.add_curves(
            "lashes",
            self._lashes.points(rest),
            self._lashes.radius_m,
            materials.strands("lash", self.look.lashes.colour, 0.1),
        )

    def _colour_classes(self) -> None:
        for thing in bpy.context.scene.objects:
            thing.color = FACE
        self.hair.color = HEAD
        self.body.color = BY_ATTRIBUTE
        self.cloth.color = self.collar.color = CLOTH
        self.backdrop.color = NOTHING

    def set_state(self, units: Mapping[str, float], pose: Pose) -> None:
        """Moves everything to these unit weights and this head pose."""
        vertices = self.character.vertices(units, pose)
        for part, used in self._state_parts:
            geometry.move_vertices(part, vertices[used])
        geometry.move_curves(self.brows, self._brows.points(vertices))
        geometry.move_curves(self.lashes, self._lashes.points(vertices))
        moved = rigid_matrix(pose)
        back = np.linalg.inv(geometry.AXES)
        for eye, rest in self.eyes:
            eye.matrix_world = Matrix(geometry.AXES @ moved @ rest @ back)
        self.hair.matrix_world = Matrix(geometry.AXES @ moved @ back)

    def render(self, path: Path, window: Window | None = None) -> None:
        """Draws the picture, or only a window of it, as PNG."""
        render = bpy.context.scene.render
        render.use_border = render.use_crop_to_border = window is not None
        if window is not None:
            render.border_min_x, render.border_max_x = window.left / SIZE_PX, window.right / SIZE_PX
            render.border_min_y = 1 - window.bottom / SIZE_PX
            render.border_max_y = 1 - window.top / SIZE_PX
        render.filepath = str(path)
        with _silent():
            bpy.ops.render.render(write_still=True)

    def render_mask(self, path: Path) -> None:
        """Draws the class mask of the present state: red head, yellow face, green neck, blue
        cloth, black rest."""
        with self._flat_classes():
            self.render(path)

    @contextmanager
    def _flat_classes(self) -> Iterator[None]:
        scene = bpy.context.scene
        cycles, view = scene.cycles, scene.view_settings
        layer = scene.view_layers[0]
        before = (cycles.samples, view.view_transform, view.look)
        layer.material_override = self._classes
        cycles.samples, cycles.use_denoising, cycles.use_adaptive_sampling = (
            MASK_SAMPLES,
            False,
            False,
        )
        view.look = "None"  # first: looks belong to a transform
        view.view_transform = "Raw"
        try:
            yield
        finally:
            layer.material_override = None
            cycles.use_denoising = cycles.use_adaptive_sampling = True
            cycles.samples, view.view_transform, view.look = before


@contextmanager
def _silent() -> Iterator[None]:
    """Keeps what bpy says about every object of every picture off the screen; it does not write
    through Python's own stream."""
    sys.stdout.flush()
    screen = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(screen, 1)
        os.close(screen)
        os.close(nowhere)


def _sphere(around: int, down: int) -> tuple[Floats, list[tuple[int, int, int, int]]]:
    """Unit directions [n, 3] with the pole at +z, and quads."""
    polar, azimuth = np.meshgrid(
        np.pi * np.arange(down + 1) / down, 2 * np.pi * np.arange(around) / around, indexing="ij"
    )
    direction = np.stack(
        [np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=-1
    ).reshape(-1, 3)
    faces = [
        (
            row * around + column,
            (row + 1) * around + column,
            (row + 1) * around + (column + 1) % around,
            row * around + (column + 1) % around,
        )
        for row in range(down)
        for column in range(around)
    ]
    return direction, faces
