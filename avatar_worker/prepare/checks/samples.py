"""Looks at a hundred pictures of the footage, evenly spread."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from avatar_worker.prepare.models.detector import FaceDetector
from avatar_worker.prepare.models.mesh import FaceMesh
from avatar_worker.prepare.video import Video, chosen_frames

MAX_SAMPLES: Final = 100
FACE_PX: Final = 256
"""Faces are measured at this height, so that sharpness is comparable between recordings."""

OTHER_FACE_SHARE: Final = 0.25
"""A second face smaller than this share of the first is a picture on the wall."""

OVEREXPOSED: Final = 250
CORNER_PX: Final = 32
"""The background is compared as a picture of this width."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one picture shows.

    Attributes:
        time_s: when.
        n_faces: faces of comparable size.
        points: the mesh of the largest, in pixels [468, 3]; None without a face.
        light: mean grey of the face, 0 … 255.
        burnt: share of the face's pixels that are white in all channels.
        sharpness: variance of the Laplacian over the variance, at `FACE_PX`.
        small: the whole picture, tiny and grey. [h, w]
    """

    time_s: float
    n_faces: int
    points: NDArray[np.float64] | None
    light: float
    burnt: float
    sharpness: float
    small: NDArray[np.float32]


def take_samples(video: Video, report: Callable[[int, int], None]) -> list[Sample]:
    """Look at up to `MAX_SAMPLES` pictures; `report` is told how many of how many are done."""
    detector = FaceDetector()
    mesh = FaceMesh(detector)
    n = len(video.stamps)
    numbers = sorted({int(i) for i in np.linspace(0, n - 1, min(MAX_SAMPLES, n))})
    samples = []
    for time_s, picture in chosen_frames(video, numbers):
        samples.append(look(picture, time_s, detector, mesh))
        report(len(samples), len(numbers))
    return samples


def look(
    picture: NDArray[np.uint8], time_s: float, detector: FaceDetector, mesh: FaceMesh
) -> Sample:
    """Measure one RGB picture [H, W, 3]."""
    faces = detector(picture)
    largest = max((face.height_px for face in faces), default=0.0)
    n_faces = sum(face.height_px >= OTHER_FACE_SHARE * largest for face in faces)
    mesh.forget()
    points = mesh(picture) if faces else None
    light, burnt, sharpness = 0.0, 0.0, 0.0
    if points is not None:
        light, burnt, sharpness = _measure_face(picture, points)
    height = max(1, round(CORNER_PX * picture.shape[0] / picture.shape[1]))
    small = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (CORNER_PX, height),
                       interpolation=cv2.INTER_AREA)  # fmt: skip
    return Sample(time_s, n_faces, points, light, burnt, sharpness, small.astype(np.float32))


def _measure_face(
    picture: NDArray[np.uint8], points: NDArray[np.float64]
) -> tuple[float, float, float]:
    limit = np.array([picture.shape[1], picture.shape[0]])
    left, top = points[:, :2].min(axis=0).astype(int).clip(0, limit - 2)
    right, bottom = np.maximum(points[:, :2].max(axis=0).astype(int).clip(0, limit),
                               (left + 2, top + 2))  # fmt: skip
    face = picture[top:bottom, left:right]
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float32)
    scale = FACE_PX / grey.shape[0]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=method)
    sharpness = float(cv2.Laplacian(scaled, cv2.CV_32F).var() / max(float(scaled.var()), 1e-6))
    burnt = float((face >= OVEREXPOSED).all(axis=2).mean())
    return float(grey.mean()), burnt, sharpness
