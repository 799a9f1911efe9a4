"""A sweater made from the body: smoothed, inflated, cut at the neck, a ribbed band on the cut."""

from __future__ import annotations

from collections.abc import Iterable

import bmesh
import bpy
import numpy as np
from mathutils import Vector

from avatar_worker.recipes.people.blender import geometry, materials
from avatar_worker.recipes.people.character import Character
from avatar_worker.recipes.people.mesh import Floats
from avatar_worker.recipes.people.person import Sweater

GAP_M = 0.010
COLLAR_HEIGHT_M = 0.020
COLLAR_THICKNESS_M = 0.005
COLLAR_LEAN_DEG = 32.0
"""The band follows the neck inwards."""
COLLAR_SUNK_M = 0.009
"""The band stands in the opening: below its edge."""
COLLAR_POINTS = 240
PROFILE_POINTS = 16
RIB_M = 0.0042
"""Four pixels: finer ribs flicker in a moving picture."""


def add_sweater(character: Character) -> tuple[bpy.types.Object, bpy.types.Object]:
    """Adds cloth and collar."""
    sweater = character.person.look.sweater
    cut, upright = Vector(sweater.cut_m), _upright(sweater)
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
    bmesh.ops.bisect_plane(shape, geom=everything, plane_co=cut, plane_no=upright, clear_outer=True)
    shape.to_mesh(cloth.data)
    loop = _longest_loop(edge for edge in shape.edges if _on_cut(edge, cut, upright))
    shape.free()
    geometry.smooth(cloth.data)
    geometry.subdivide(cloth)
    cloth.data.materials.append(materials.knit(sweater.yarn))
    return cloth, _add_collar(loop, sweater)


def _upright(sweater: Sweater) -> Vector:
    """Normal of the cutting plane."""
    return Vector((0.0, -sweater.tilt, 1.0)).normalized()


def _on_cut(edge: bmesh.types.BMEdge, cut: Vector, upright: Vector) -> bool:
    return edge.is_boundary and all(
        abs((vertex.co - cut).dot(upright)) < 1e-4 for vertex in edge.verts
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


def _add_collar(loop: Floats, sweater: Sweater) -> bpy.types.Object:
    """A flat band with rounded edges, set up on the cut."""
    closed = np.r_[loop, loop[:1]]
    travelled = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))]
    at = np.linspace(0.0, travelled[-1], COLLAR_POINTS, endpoint=False)
    middle = np.stack([np.interp(at, travelled, closed[:, axis]) for axis in range(3)], axis=1)
    for _ in range(12):  # after the even spacing: before it, the bends at the shoulders shrink
        middle = (np.roll(middle, 1, axis=0) + 2 * middle + np.roll(middle, -1, axis=0)) / 4
    up = np.array(_upright(sweater))
    outwards = np.cross(np.roll(middle, -1, axis=0) - np.roll(middle, 1, axis=0), up)
    outwards /= np.linalg.norm(outwards, axis=1)[:, None]
    outwards *= np.sign((outwards * (middle - middle.mean(axis=0))).sum())
    lean = np.radians(COLLAR_LEAN_DEG)
    tall = np.cos(lean) * up - np.sin(lean) * outwards
    thick = np.cos(lean) * outwards + np.sin(lean) * up
    turn = np.linspace(0, 2 * np.pi, PROFILE_POINTS, endpoint=False)
    high = COLLAR_HEIGHT_M / 2 * (1 + np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** 0.7)
    wide = COLLAR_THICKNESS_M / 2 * np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** 0.5
    foot = middle - COLLAR_SUNK_M * up + sweater.collar_out_m * outwards
    band = foot[:, None] + high[:, None] * tall[:, None] + wide[:, None] * thick[:, None]
    hem = foot + sweater.hem_m[0] * outwards - sweater.hem_m[1] * up
    here = np.arange(COLLAR_POINTS * PROFILE_POINTS).reshape(COLLAR_POINTS, PROFILE_POINTS)
    beside, above = np.roll(here, -1, axis=0), np.roll(here, -1, axis=1)
    faces = np.stack([here, beside, np.roll(beside, -1, axis=1), above], axis=-1).reshape(-1, 4)
    lowest = here[:, np.argmin(high)]
    edge = here.size + np.arange(COLLAR_POINTS)
    hem_faces = np.stack([lowest, np.roll(lowest, -1), np.roll(edge, -1), edge], axis=-1)
    mesh = bpy.data.meshes.new("collar")
    mesh.from_pydata(np.r_[band.reshape(-1, 3), hem].tolist(), [], np.r_[faces, hem_faces].tolist())
    geometry.smooth(mesh)
    ribs = round(travelled[-1] / RIB_M)
    around = np.arange(COLLAR_POINTS) / COLLAR_POINTS * ribs
    around = np.r_[np.repeat(around, PROFILE_POINTS), around]
    geometry.add_attribute(mesh, "around", around, vector=False)
    mesh.materials.append(materials.ribbing(sweater.yarn))
    return geometry.link("collar", mesh)
