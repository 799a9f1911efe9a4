"""`prepare/poses.npy`: where the head is in every frame, and `prepare/camera.json`."""

import io
import json
from typing import Final

import numpy as np
from numpy.typing import NDArray

from avatar_worker.plain_files import read_plain
from avatar_worker.prepare.errors import FolderError
from avatar_worker.prepare.files import write_array, write_json
from avatar_worker.prepare.job import CHUNK_FRAMES, Job, Report, read_array
from avatar_worker.prepare.mesh_parts import STEADY
from avatar_worker.prepare.pose.bundle import Scene
from avatar_worker.prepare.pose.camera import Floats, Poses, vectors_of
from avatar_worker.prepare.pose.first import centred, evenly, from_meshes
from avatar_worker.prepare.pose.frame import head_axes, mesh_in_metres, rebased
from avatar_worker.prepare.pose.smoothing import smooth
from avatar_worker.prepare.pose.surface import Surface, steady_surface
from avatar_worker.prepare.pose.template import (
    Template,
    align,
    band,
    raised_brows,
    refine_template,
)
from avatar_worker.whole_files import write_whole

TEMPLATE_FRAMES: Final = 150
TEMPLATE_ROUNDS: Final = 4


def write_poses(job: Job, report: Report) -> None:
    """Find focal length, shape and poses; refine the poses on the pictures; smooth them."""
    numbers = job.with_face()
    meshes = job.meshes()[numbers]
    scene = from_meshes(meshes, job.focal_px)
    template = _template(job, numbers, meshes, scene)
    folder = job.by_products / "pose"
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for start in range(0, len(numbers), CHUNK_FRAMES):
        path = folder / f"{start}.npy"
        if not path.is_file():
            rows = np.arange(start, min(start + CHUNK_FRAMES, len(numbers)))
            write_array(path, _aligned(job, numbers[rows], template, scene.poses.part(rows),
                                       scene.focal_px))  # fmt: skip
        parts.append(read_array(path))
        report(min(start + CHUNK_FRAMES, len(numbers)), len(numbers))
    found = np.concatenate(parts)  # [n, 9 + 3 + 36 + 4]
    poses = Poses(found[:, :9].reshape(-1, 3, 3), found[:, 9:12])
    smoothed = smooth(*_with_gaps(poses, found[:, 12:48].reshape(-1, 6, 6), numbers)).part(
        numbers - numbers[0]
    )
    face = mesh_in_metres(centred(meshes), scene.poses, np.array(STEADY), scene.points)
    axes, origin = head_axes(face)
    matrices = rebased(smoothed, axes, origin).camera_to_head()
    write_json(job.by_products / "camera.json", {"focal_px": scene.focal_px})
    write_array(job.by_products / "brows.npy", found[:, 48:])
    write_array(job.by_products / "poses.npy", matrices)


def read_focal(job: Job) -> float:
    """The focal length that was found, in pixels.

    Raises:
        FolderError: the file is absent or damaged.
    """
    path = job.by_products / "camera.json"
    try:
        return float(json.loads(read_plain(path, 1000).decode())["focal_px"])
    except (ValueError, KeyError, TypeError) as error:
        raise FolderError(f"{path} cannot be read ({error}); begin anew with --restart") from None


def _aligned(
    job: Job, numbers: NDArray[np.int64], template: Template, poses: Poses, focal_px: float
) -> Floats:
    """Turn, shift, information and brows of some frames, a row each. [n, 52]"""
    rows = []
    for index, number in enumerate(numbers):
        picture = band(job.read_original(int(number)))
        by_mesh = poses.part(np.array([index]))
        pose, sure = align(template, picture, by_mesh, focal_px)
        brows = raised_brows(template, picture, by_mesh, focal_px, pose)
        rows.append(np.concatenate([pose.turns.ravel(), pose.shifts.ravel(), sure.ravel(), brows]))
    return np.stack(rows)


def _with_gaps(
    poses: Poses, information: Floats, numbers: NDArray[np.int64]
) -> tuple[Poses, Floats]:
    """Every frame from the first to the last; those without a face know nothing."""
    places = np.arange(numbers[0], numbers[-1] + 1)
    before = np.searchsorted(numbers, places, side="right") - 1
    known = numbers[before] == places
    return poses.part(before), np.where(known[:, None, None], information[before], 0.0)


def _template(job: Job, numbers: NDArray[np.int64], meshes: Floats, scene: Scene) -> Template:
    """What frames are compared with; kept, because it takes a while."""
    path = job.by_products / "template.npz"
    if path.is_file():
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as kept:
            surface = Surface(kept["points"], kept["normals"], kept["slides"])
            return Template(surface, kept["look"], kept["weight"])
    some = evenly(len(numbers), TEMPLATE_FRAMES)
    middle = _most_usual(scene.poses)
    template = refine_template(
        [band(job.read_original(int(number))) for number in numbers[some]],
        scene.poses.part(some), steady_surface(meshes[middle], scene, middle), scene.focal_px,
        TEMPLATE_ROUNDS,
    )  # fmt: skip
    content = io.BytesIO()
    surface = template.surface
    np.savez(content, points=surface.points, normals=surface.normals, slides=surface.slides,
             look=template.look, weight=template.weight)  # fmt: skip
    write_whole(path, content.getvalue())
    return template


def _most_usual(poses: Poses) -> int:
    """The frame whose turn is nearest to the middle of all."""
    vectors = vectors_of(poses.turns)
    return int(np.linalg.norm(vectors - np.median(vectors, axis=0), axis=1).argmin())
