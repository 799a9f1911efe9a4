"""Draws small lights at known head points and compares where they appear with the formula."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import bpy
import numpy as np
from PIL import Image

from avatar_worker.recipes.people.blender import geometry, materials, stage
from avatar_worker.recipes.people.camera import (
    SIZE_PX,
    Pose,
    head_matrix,
    project_head,
    transform_matrix,
)

POINTS_M = np.array(
    [
        (0, 0.02, 0.11),
        (0.06, 0.04, 0.05),
        (-0.07, -0.09, 0.02),
        (0.03, -0.08, 0.09),
        (-0.05, 0.09, 0.03),
    ]
)
POSES = (Pose(), Pose(6, -12, 4, (0.05, -0.03, 0.02)), Pose(-5, 10, -3, (-0.04, 0.02, -0.06)))
RADIUS_M = 0.0025


def projection_errors(scratch: Path) -> Iterator[tuple[np.ndarray, float]]:
    """Yields the predicted pixel [2] and its distance to the drawn light, px, for every point."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    stage.add_camera()
    stage.configure(samples=64)
    scene = bpy.context.scene
    scene.cycles.use_denoising = scene.cycles.use_adaptive_sampling = False
    scene.view_settings.look, scene.view_settings.view_transform = "None", "Raw"
    bpy.ops.mesh.primitive_uv_sphere_add(segments=24, ring_count=12, radius=RADIUS_M)
    light = bpy.context.object
    light.data.materials.append(materials.glow())
    for pose in POSES:
        head = head_matrix(pose)
        predicted = project_head(POINTS_M, transform_matrix(head))
        for point, pixel in zip(POINTS_M, predicted, strict=True):
            world = head[:3, :3] @ point + head[:3, 3]
            light.location = geometry.AXES[:3, :3] @ world
            scene.render.filepath = str(scratch)
            bpy.ops.render.render(write_still=True)
            yield pixel, float(np.linalg.norm(_centroid(scratch) - pixel))


def _centroid(path: Path) -> np.ndarray:
    """Centre of light [2] px."""
    grey = np.asarray(Image.open(path).convert("L"), dtype=np.float64)
    grey = np.where(grey > 24, grey, 0)
    rows, columns = np.mgrid[0:SIZE_PX, 0:SIZE_PX] + 0.5
    return np.array([(columns * grey).sum(), (rows * grey).sum()]) / grey.sum()
