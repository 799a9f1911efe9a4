"""What never moves: the empty background, and neck with sweater on transparency."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import bmesh
import bpy

from avatar_worker.recipes.people.blender.scene import Scene
from avatar_worker.recipes.people.camera import Pose
from avatar_worker.recipes.people.units import FRIENDLY

NECK_SHARE = 0.93
"""Faces with a vertex that follows the head less than this belong to the neck."""


def draw_plates(scene: Scene, background: Path, torso: Path, neutral_mask: Path) -> None:
    """Draws background (RGB), torso (RGBA) and the class mask of the resting state.

    The scene is changed for good: draw nothing else with it afterwards.
    """
    scene.set_state(FRIENDLY, Pose())
    scene.render_mask(neutral_mask)
    _draw_torso(scene, torso)
    _draw_background(scene, background)


def _draw_torso(scene: Scene, path: Path) -> None:
    """The head stays in the light and casts its shadow, but the camera does not see it."""
    share = scene.character.head_share[scene.body_vertices]
    neck = _part_of_body(scene, "neck", lambda face: min(share[face]) < NECK_SHARE)
    skull = _part_of_body(scene, "skull", lambda face: min(share[face]) >= NECK_SHARE)
    scene.body.hide_render = True
    _hide_back_faces(neck)
    unseen = [skull, scene.hair, scene.brows, scene.lashes, *(eye for eye, _ in scene.eyes)]
    mouth = ("helper-upper-teeth", "helper-lower-teeth", "helper-tongue")
    unseen += [bpy.data.objects[name] for name in mouth]
    for thing in unseen:
        thing.visible_camera = False
    scene.backdrop.hide_render = True
    render = bpy.context.scene.render
    render.film_transparent, render.image_settings.color_mode = True, "RGBA"
    scene.render(path)
    render.film_transparent, render.image_settings.color_mode = False, "RGB"


def _draw_background(scene: Scene, path: Path) -> None:
    for thing in bpy.context.scene.objects:
        thing.hide_render = thing.type not in ("LIGHT", "CAMERA")
    scene.backdrop.hide_render = False
    scene.render(path)


def _part_of_body(
    scene: Scene, name: str, belongs: Callable[[list[int]], bool]
) -> bpy.types.Object:
    part = scene.body.copy()
    part.data = scene.body.data.copy()
    part.name = name
    bpy.context.scene.collection.objects.link(part)
    shape = bmesh.new()
    shape.from_mesh(part.data)
    others = [face for face in shape.faces if not belongs([v.index for v in face.verts])]
    bmesh.ops.delete(shape, geom=others, context="FACES")
    shape.to_mesh(part.data)
    shape.free()
    return part


def _hide_back_faces(neck: bpy.types.Object) -> None:
    """Camera rays pass through faces seen from behind: else one looks into the open neck."""
    material = neck.data.materials[0].copy()
    neck.data.materials[0] = material
    tree = material.node_tree
    surface = next(node for node in tree.nodes if node.type == "BSDF_PRINCIPLED")
    output = next(node for node in tree.nodes if node.type == "OUTPUT_MATERIAL")
    side, ray = tree.nodes.new("ShaderNodeNewGeometry"), tree.nodes.new("ShaderNodeLightPath")
    clear, mixed = (
        tree.nodes.new("ShaderNodeBsdfTransparent"),
        tree.nodes.new("ShaderNodeMixShader"),
    )
    both = tree.nodes.new("ShaderNodeMath")
    both.operation = "MULTIPLY"
    for source, target in (
        (side.outputs["Backfacing"], both.inputs[0]),
        (ray.outputs["Is Camera Ray"], both.inputs[1]),
        (both.outputs[0], mixed.inputs[0]),
        (surface.outputs[0], mixed.inputs[1]),
        (clear.outputs[0], mixed.inputs[2]),
        (mixed.outputs[0], output.inputs["Surface"]),
    ):
        tree.links.new(source, target)
