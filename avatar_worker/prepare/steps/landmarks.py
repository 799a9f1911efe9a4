"""`ori_imgs/<id>.lms` and, for later steps, the whole mesh of every frame."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from avatar_worker.prepare.errors import FootageError
from avatar_worker.prepare.files import write_array
from avatar_worker.prepare.job import CHUNK_FRAMES, Job, Report, read_array
from avatar_worker.prepare.landmarks68 import landmarks
from avatar_worker.prepare.models.detector import FaceDetector
from avatar_worker.prepare.models.mesh import N_POINTS, FaceMesh
from avatar_worker.whole_files import write_whole

MIN_FRAMES: Final = 11
"""One of eleven is held out."""


def write_landmarks(job: Job, report: Report) -> None:
    """Find the face in every frame; frames without one get no landmarks.

    Each chunk begins without memory of the one before, so that an interrupted run ends with the
    same points as one in one go.

    Raises:
        FootageError: too few frames show a face.
    """
    folder = job.by_products / "mesh"
    folder.mkdir(parents=True, exist_ok=True)
    mesh = FaceMesh(FaceDetector())
    for start in range(0, job.n_frames, CHUNK_FRAMES):
        numbers = range(start, min(start + CHUNK_FRAMES, job.n_frames))
        path = folder / f"{start}.npy"
        if path.is_file():
            points = read_array(path)
        else:
            points = np.full((len(numbers), N_POINTS, 3), np.nan, np.float32)
            mesh.forget()
            for row, number in enumerate(numbers):
                found = mesh(job.read_original(number))
                if found is not None:
                    points[row] = found
                report(number, job.n_frames)
            write_array(path, points)
        _write_lists(job, numbers, points.astype(np.float64))
        report(numbers.stop, job.n_frames)
    if (n_found := len(job.with_face())) < MIN_FRAMES:
        raise FootageError(f"{n_found} frames show a face; at least {MIN_FRAMES} are needed")


def _write_lists(job: Job, numbers: range, points: NDArray[np.float64]) -> None:
    for number, mesh in zip(numbers, points, strict=True):
        if np.isfinite(mesh).all():
            lines = "".join(f"{x:f} {y:f}\n" for x, y in landmarks(mesh))
            write_whole(job.folder / f"ori_imgs/{number}.lms", lines.encode(), durable=False)
