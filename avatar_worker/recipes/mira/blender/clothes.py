"""A sweater made from the body: smoothed, inflated, cut at the neck, a rolled collar on the cut."""

from __future__ import annotations

from collections.abc import Iterable

import bmesh
import bpy
import numpy as np
from mathutils import Vector

from avatar_worker.recipes.mira.blender import geometry, materials
from avatar_worker.recipes.mira.character import Character
from avatar_worker.recipes.mira.mesh import Floats

GAP_M = 0.010
COLLAR_RADIUS_M = 0.008
CUT_POINT = Vector((0.0, -0.020, 0.536))
CUT_NORMAL = Vector((0.0, -0.30, 1.0)).normalized()
"""Tilted: the neckline is higher at the back."""


def add_sweater(character: Character) -> tuple[bpy.types.Object, bpy.types.Object]:
    """Adds cloth and collar."""
    base, rest = character.base, character.rest
    faces = base.faces_of("body")
    height, across = rest[base.faces[faces], 1], rest[base.faces[faces], 0]
    chosen = (height.min(1) > 3.0) & (height.max(1) < 6.2) & (np.abs(across.mean(1)) < 9)
    cloth, _ = geometry.add_part("cloth", base, rest, faces[chosen])
    shape = bmesh.new()
    shape.from_mesh(cloth.data)
    for _ in range(6):  # relax: the sweater must not show the anatomy below
        bmesh.ops.smooth_vert(
            shape,
            verts=shape.verts,
            factor=0.5,
            use_axis_x=True,
            use_axis_y=True,
            use_axis_z=True,
        )
    shape.normal_update()
    for vertex in shape.verts:
        vertex.co += vertex.normal * GAP_M
    everything = shape.verts[:] + shape.edges[:] + shape.faces[:]
    bmesh.ops.bisect_plane(
        shape, geom=everything, plane_co=CUT_POINT, plane_no=CUT_NORMAL, clear_outer=True
    )
    shape.to_mesh(cloth.data)
    loop = _longest_loop(edge for edge in shape.edges if _on_cut(edge))
    shape.free()
    geometry.smooth(cloth.data)
    geometry.subdivide(cloth)
    cloth.data.materials.append(materials.knit())
    return cloth, _add_collar(loop, cloth.data.materials[0])


def _on_cut(edge: bmesh.types.BMEdge) -> bool:
    return edge.is_boundary and all(
        abs((vertex.co - CUT_POINT).dot(CUT_NORMAL)) < 1e-4 for vertex in edge.verts
    )


def _longest_loop(edges: Iterable[bmesh.types.BMEdge]) -> Floats:
    """Points [n, 3] of the longest chain these edges form, in order."""
    neighbours: dict[bmesh.types.BMVert, list[bmesh.types.BMVert]] = {}
    for edge in edges:
        first, second = edge.verts
        neighbours.setdefault(first, []).append(second)
        neighbours.setdefault(second, []).append(first)
    longest: list[bmesh.types.BMVert] = []
    seen: set[bmesh.types.BMVert] = set()
    for start in neighbours:
        chain: list[bmesh.types.BMVert] = []
        following: bmesh.types.BMVert | None = None if start in seen else start
        while following is not None:
            seen.add(following)
            chain.append(following)
            following = next((v for v in neighbours[following] if v not in seen), None)
        longest = max(longest, chain, key=len)
    return np.array([vertex.co for vertex in longest])


def _add_collar(loop: Floats, material: bpy.types.Material) -> bpy.types.Object:
    for _ in range(8):
        loop = 0.25 * np.roll(loop, 1, axis=0) + 0.5 * loop + 0.25 * np.roll(loop, -1, axis=0)
    curve = bpy.data.curves.new("collar", "CURVE")
    curve.dimensions = "3D"
    line = curve.splines.new("POLY")
    line.points.add(len(loop) - 1)
    lifted = loop + 0.004 * np.array(CUT_NORMAL)
    line.points.foreach_set("co", np.c_[lifted, np.ones(len(loop))].ravel())
    line.use_cyclic_u = True
    curve.bevel_depth = COLLAR_RADIUS_M
    curve.bevel_resolution = 6
    curve.materials.append(material)
    return geometry.link("collar", curve)
