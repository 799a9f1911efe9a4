"""Aligns frames with what they have in common, pixel by pixel.

The mesh follows a face well but nods along with a blink or an open mouth. So poses are refined on
the pictures: a *template* says how each point of the steady surface looks in most frames, and how
much it varies; a frame's pose is the one at which it looks most like that without leaving its mesh.
What moves with speech or brows varies, and by that loses its say.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from avatar_worker.prepare.crop import SIZE_PX
from avatar_worker.prepare.pose.camera import (
    Floats,
    Poses,
    derivatives,
    project,
    vectors_of,
)
from avatar_worker.prepare.pose.surface import BROW_ENDS, Surface

FINE_PX, COARSE_PX = 1.0, 8.0
"""Deviations of the band that is compared: finer is noise, coarser is light and shadow."""

NOISE_GREY: Final = 1.0
MEDIAN_TO_DEVIATION: Final = 1.4826
CUT: Final = 2.0
"""Errors beyond so many typical ones count less and less."""

MIN_FACING: Final = 0.25
"""Cosine between a point's normal and the view, below which it is not compared."""

MAX_STEPS: Final = 12
SMALL_STEP: Final = 1e-5

CORRELATED: Final = 12.0
"""Neighbouring points err alike: so many count as one when it is asked how sure a pose is. With
this, what is stated of the clip whose truth is known is about its true error (nod 0.45°)."""

MESH_DEVIATIONS: Final = np.array([*np.radians([1.0, 0.5, 0.3]), 0.0007, 0.0007, 0.006])
"""How far a pose from the mesh alone is off: nod, turn, lean; across, up, distance in metres."""

BROW_DEVIATION_M: Final = 0.003
"""How far the ends of the brows are from rest."""

WITH_BROWS_DEVIATIONS: Final = np.append(MESH_DEVIATIONS, np.full(len(BROW_ENDS), BROW_DEVIATION_M))

MAX_CORRECTION_PX: Final = 4.0
"""By which the picture may move the face away from where the mesh has it. Beyond, the picture is
mistaken: brows raised as far as they go pull the whole face up."""


@dataclass(frozen=True, slots=True)
class Template:
    """How the surface looks.

    Attributes:
        surface: p points.
        look: band-passed grey of each. [p]
        weight: how much each is to be trusted. [p]
    """

    surface: Surface
    look: NDArray[np.float32]
    weight: NDArray[np.float32]


def band(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What is compared of an RGB picture. [H, W]"""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = cv2.GaussianBlur(grey, (0, 0), FINE_PX)
    return np.asarray(fine - cv2.GaussianBlur(grey, (0, 0), COARSE_PX))


def make_template(
    bands: Sequence[NDArray[np.float32]], poses: Poses, surface: Surface, focal_px: float
) -> Template:
    """Median and spread of the looks in some frames."""
    looks = np.stack(
        [
            _at(picture, _places(surface.points, poses.part(np.array([index])), focal_px))
            for index, picture in enumerate(bands)
        ]
    )
    look = np.median(looks, axis=0)
    spread = (MEDIAN_TO_DEVIATION * np.median(np.abs(looks - look), axis=0)) ** 2
    return Template(surface, look, (1.0 / (spread + NOISE_GREY)).astype(np.float32))


def align(
    template: Template,
    picture: NDArray[np.float32],
    by_mesh: Poses,
    focal_px: float,
    start: Poses | None = None,
) -> tuple[Poses, Floats]:
    """The pose of one frame at which it looks like the template, weighed against the mesh's.

    Args:
        template: what to look like.
        picture: the frame's `band`.
        by_mesh: pose of the frame by its mesh.
        focal_px: of the camera.
        start: a better guess, if there is one.

    Returns:
        The pose, and how surely it is known (inverse covariance, in radians and metres). [6, 6]
    """
    pose, _, information = _fit(
        template, picture, by_mesh, start or by_mesh, focal_px, MESH_DEVIATIONS
    )
    still = template.surface.points
    moved = _places(still, pose, focal_px) - _places(still, by_mesh, focal_px)
    if np.sqrt((moved**2).sum(axis=1).mean()) > MAX_CORRECTION_PX:
        return by_mesh, np.diag(MESH_DEVIATIONS**-2)
    return pose, information


def raised_brows(
    template: Template,
    picture: NDArray[np.float32],
    by_mesh: Poses,
    focal_px: float,
    start: Poses,
) -> Floats:
    """By how much the ends of the brows have risen in one frame, in metres. [4]

    Asked together with the pose, which would follow the brows otherwise; but a pose that need not
    explain them has less grip, so it is not kept. Arguments as in `align`.
    """
    return _fit(template, picture, by_mesh, start, focal_px, WITH_BROWS_DEVIATIONS)[1]


def _fit(
    template: Template,
    picture: NDArray[np.float32],
    by_mesh: Poses,
    start: Poses,
    focal_px: float,
    deviations: Floats,
) -> tuple[Poses, Floats, Floats]:
    """Pose, brows and information; of the pose alone if there are deviations for no more."""
    across = _slope(picture, columns=1, rows=0)
    down = _slope(picture, columns=0, rows=1)
    known = np.diag(deviations**-2)
    brows = np.zeros(len(deviations) - len(MESH_DEVIATIONS))
    slides = template.surface.slides[:, : len(brows)]
    pose, information = start, known
    for _ in range(MAX_STEPS):
        points = template.surface.points + np.einsum("pkc,k->pc", slides, brows)
        places = _places(points, pose, focal_px)
        error = template.look - _at(picture, places)
        root = np.sqrt(template.weight)
        typical = MEDIAN_TO_DEVIATION * float(np.median(np.abs(error) * root)) + 1e-3
        weight = template.weight / (1 + (error * root / (CUT * typical)) ** 2)
        weight = weight * _facing(template.surface, pose) / (typical**2 * CORRELATED)
        by_pose, by_point, _ = derivatives(points, pose, focal_px)
        by_brows = by_point[0] @ slides.transpose(0, 2, 1)
        moves = np.concatenate([by_pose[0], by_brows], axis=2)  # [p, 2, 6 or 10]
        slope = (_at(across, places)[:, None] * moves[:, 0]
                 + _at(down, places)[:, None] * moves[:, 1])  # fmt: skip
        information = (slope * weight[:, None]).T @ slope + known
        away = np.concatenate([between(pose, by_mesh), -brows])
        step = np.linalg.solve(information, (slope * weight[:, None]).T @ error + known @ away)
        pose = pose.moved(step[None, :6])
        brows = brows + step[6:]
        if np.abs(step).max() < SMALL_STEP:
            break
    return pose, brows, information


def between(pose: Poses, other: Poses) -> Floats:
    """The step from one frame's pose to another. [6]"""
    turn = vectors_of(other.turns @ pose.turns.transpose(0, 2, 1))[0]
    return np.concatenate([turn, other.shifts[0] - pose.shifts[0]])


def refine_template(
    bands: Sequence[NDArray[np.float32]],
    poses: Poses,
    surface: Surface,
    focal_px: float,
    rounds: int,
) -> Template:
    """Template and poses of some frames, improved in turn; begins with poses by the mesh."""
    template = make_template(bands, poses, surface, focal_px)
    by_mesh = [poses.part(np.array([index])) for index in range(len(bands))]
    better = by_mesh
    for _ in range(rounds):
        better = [
            align(template, picture, by_mesh[index], focal_px, better[index])[0]
            for index, picture in enumerate(bands)
        ]
        found = Poses(
            np.concatenate([pose.turns for pose in better]),
            np.concatenate([pose.shifts for pose in better]),
        )
        template = make_template(bands, found, surface, focal_px)
    return template


def _slope(picture: NDArray[np.float32], *, columns: int, rows: int) -> NDArray[np.float32]:
    """Change from pixel to pixel in one direction. [H, W]"""
    return np.asarray(cv2.Scharr(picture, cv2.CV_32F, columns, rows) / 32, np.float32)


def _places(points: Floats, pose: Poses, focal_px: float) -> NDArray[np.float32]:
    """Column and row of each point in one frame. [p, 2]"""
    middle = (SIZE_PX - 1) / 2
    return np.asarray(project(points, pose, focal_px)[0] + middle, np.float32)


def _at(picture: NDArray[np.float32], places: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values between pixels. [p]"""
    columns, rows = places[:, None, 0], places[:, None, 1]
    return np.asarray(cv2.remap(picture, columns, rows, cv2.INTER_LINEAR)[:, 0])


def _facing(surface: Surface, pose: Poses) -> NDArray[np.bool_]:
    """Which points look towards the camera. [p]"""
    turned = surface.normals @ pose.turns[0].T
    seen = surface.points @ pose.turns[0].T + pose.shifts[0]
    view = -seen / np.linalg.norm(seen, axis=1, keepdims=True)
    return np.asarray((turned * view).sum(axis=1) > MIN_FACING)
