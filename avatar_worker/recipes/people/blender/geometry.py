"""MakeHuman arrays → Blender meshes and hair curves."""

from __future__ import annotations

import bpy
import numpy as np
from numpy.typing import ArrayLike, NDArray

from avatar_worker.recipes.people.camera import METRES_PER_DM
from avatar_worker.recipes.people.mesh import BaseMesh, Floats, Ints

AXES: NDArray[np.float64] = np.array(
    [[1.0, 0, 0, 0], [0, 0, -1.0, 0], [0, 1.0, 0, 0], [0, 0, 0, 1.0]]
)
"""[4, 4] MakeHuman (y up, z to the viewer) → Blender (z up, y away)."""


def to_blender(points_dm: Floats) -> Floats:
    """Points [..., 3] dm, MakeHuman axes → metres, Blender axes."""
    turned = np.stack([points_dm[..., 0], -points_dm[..., 2], points_dm[..., 1]], axis=-1)
    return turned * METRES_PER_DM


def link(name: str, data: bpy.types.ID) -> bpy.types.Object:
    """Puts data into the scene as an object."""
    made = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(made)
    return made


def add_attribute(mesh: bpy.types.Mesh, name: str, values: ArrayLike, *, vector: bool) -> None:
    """Stores a value [N] or vector [N, 3] per vertex."""
    kind, field = ("FLOAT_VECTOR", "vector") if vector else ("FLOAT", "value")
    layer = mesh.attributes.new(name, kind, "POINT")
    layer.data.foreach_set(field, np.asarray(values, dtype=np.float32).ravel())


def smooth(mesh: bpy.types.Mesh) -> None:
    """Shades all faces smooth."""
    mesh.polygons.foreach_set("use_smooth", np.ones(len(mesh.polygons), dtype=bool))
    mesh.update()


def subdivide(subject: bpy.types.Object, levels: int = 2) -> None:
    """Adds a subdivision surface."""
    modifier = subject.modifiers.new("subdivision", "SUBSURF")
    modifier.levels = modifier.render_levels = levels
    modifier.use_limit_surface = False


def add_part(
    name: str, base: BaseMesh, points_dm: Floats, faces: Ints
) -> tuple[bpy.types.Object, Ints]:
    """A mesh of these faces (indices), with UV.

    Returns:
        The object and the base-mesh index of each of its vertices.
    """
    corners = base.faces[faces]
    used, local = np.unique(corners, return_inverse=True)
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(to_blender(points_dm[used]).tolist(), [], local.reshape(-1, 4).tolist())
    layer = mesh.uv_layers.new(name="UVMap")
    layer.data.foreach_set("uv", base.uv[base.face_uv[faces]].astype(np.float32).ravel())
    smooth(mesh)
    return link(name, mesh), used


def move_vertices(subject: bpy.types.Object, points_dm: Floats) -> None:
    """Sets all vertex positions."""
    coordinates = to_blender(points_dm).astype(np.float32).ravel()
    subject.data.vertices.foreach_set("co", coordinates)
    subject.data.update()


def add_curves(
    name: str, points_dm: Floats, radius_m: Floats, material: bpy.types.Material
) -> bpy.types.Object:
    """Strands [n, k, 3] with a radius [k] or [n, k]."""
    count, length, _ = points_dm.shape
    curves = bpy.data.hair_curves.new(name)
    curves.add_curves([length] * count)
    layer = curves.attributes.get("radius") or curves.attributes.new("radius", "FLOAT", "POINT")
    layer.data.foreach_set(
        "value", np.broadcast_to(radius_m, (count, length)).astype(np.float32).ravel()
    )
    curves.materials.append(material)
    made = link(name, curves)
    move_curves(made, points_dm)
    return made


def move_curves(subject: bpy.types.Object, points_dm: Floats) -> None:
    """Sets all points of the strands."""
    coordinates = to_blender(points_dm).astype(np.float32).ravel()
    subject.data.position_data.foreach_set("vector", coordinates)
    subject.data.update_tag()
