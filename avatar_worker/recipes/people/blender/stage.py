"""Camera, lights, backdrop and the settings of the path tracer."""

from __future__ import annotations

from dataclasses import dataclass

import bpy
from mathutils import Matrix, Vector

from avatar_worker.recipes.people.blender import geometry, materials
from avatar_worker.recipes.people.camera import (
    FOCAL_PX,
    METRES_PER_DM,
    ORIGIN_DM,
    SIZE_PX,
    camera_matrix,
)

SENSOR_MM = 36.0
THREADS = 2


@dataclass(frozen=True)
class Light:
    """An area light; `place` is relative to the head's centre, Blender axes, metres."""

    place: tuple[float, float, float]
    size_m: float
    watts: float
    tint: tuple[float, float, float]


LIGHTS = (
    Light((-0.85, -1.0, 0.62), 0.8, 26.0, (1.0, 0.95, 0.89)),  # key, warm, above left
    Light((-0.22, -0.98, 0.30), 0.14, 1.6, (1.0, 1.0, 1.0)),  # the spark in the eyes
    Light((1.2, -0.8, 0.1), 1.3, 6.5, (0.86, 0.93, 1.0)),  # fill, cool
    Light((0.7, 0.95, 0.75), 0.6, 2.3, (1.0, 0.97, 0.93)),  # rim; more makes a blond patch
    Light((-0.9, 0.9, 0.5), 0.5, 4.0, (0.9, 0.95, 1.0)),
)


def head_centre() -> Vector:
    """Origin of the canonical head frame in Blender axes, metres."""
    x, y, z = ORIGIN_DM * METRES_PER_DM
    return Vector((x, -z, y))


def add_camera() -> bpy.types.Object:
    """The fixed camera of `camera.py`."""
    lens = bpy.data.cameras.new("camera")
    lens.sensor_width = SENSOR_MM
    lens.sensor_fit = "HORIZONTAL"
    lens.lens = FOCAL_PX / SIZE_PX * SENSOR_MM
    lens.clip_start = 0.05
    made = geometry.link("camera", lens)
    made.matrix_world = Matrix(geometry.AXES @ camera_matrix())
    bpy.context.scene.camera = made
    return made


def add_lights() -> None:
    """Lights stand in the world; they do not turn with the head."""
    centre = head_centre()
    for light in LIGHTS:
        lamp = bpy.data.lights.new("light", "AREA")
        lamp.shape = "SQUARE"
        lamp.size, lamp.energy, lamp.color = light.size_m, light.watts, light.tint
        made = geometry.link("light", lamp)
        made.location = centre + Vector(light.place)
        made.rotation_euler = (-Vector(light.place)).to_track_quat("-Z", "Y").to_euler()
    world = bpy.data.worlds.new("world")
    world.use_nodes = True
    surroundings = world.node_tree.nodes["Background"]
    surroundings.inputs[0].default_value = (0.75, 0.8, 0.9, 1)
    surroundings.inputs[1].default_value = 0.18
    bpy.context.scene.world = world


def add_backdrop(shades: tuple[str, str, str]) -> bpy.types.Object:
    """A card 1.2 m behind, seen by camera rays alone."""
    z = head_centre().z
    corners = [(-3, 1.2, z - 3), (3, 1.2, z - 3), (3, 1.2, z + 3), (-3, 1.2, z + 3)]
    mesh = bpy.data.meshes.new("backdrop")
    mesh.from_pydata(corners, [], [(0, 1, 2, 3)])
    mesh.materials.append(materials.backdrop(z, shades))
    made = geometry.link("backdrop", mesh)
    made.visible_diffuse = made.visible_glossy = False
    made.visible_transmission = made.visible_shadow = False
    return made


def configure(samples: int) -> None:
    """Path tracer on the processor, fixed seed, two threads: the same picture every time."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    cycles = scene.cycles
    cycles.device = "CPU"
    cycles.seed = 0
    cycles.samples = samples
    cycles.use_denoising = True
    cycles.denoiser = "OPENIMAGEDENOISE"
    cycles.denoising_prefilter = "ACCURATE"
    cycles.denoising_input_passes = "RGB_ALBEDO_NORMAL"
    cycles.use_adaptive_sampling = True
    cycles.adaptive_threshold = 0.02
    cycles.adaptive_min_samples = 6
    cycles.max_bounces = cycles.transparent_max_bounces = 8
    cycles.diffuse_bounces = cycles.glossy_bounces = cycles.transmission_bounces = 2
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_indirect = 4
    cycles.sample_clamp_direct = 3  # else hair tips sparkle at few samples
    cycles.use_light_tree = False  # slower with five lights
    scene.cycles_curves.shape = "RIBBONS"
    render = scene.render
    render.use_persistent_data = True
    render.threads_mode = "FIXED"
    render.threads = THREADS
    render.resolution_x = render.resolution_y = SIZE_PX
    render.resolution_percentage = 100
    render.dither_intensity = 0  # the default adds ±1 of noise
    render.hair_type, render.hair_subdiv = "STRIP", 0
    render.image_settings.file_format = "PNG"
    view = scene.view_settings
    view.view_transform, view.look, view.exposure = "AgX", "AgX - Medium High Contrast", 0
