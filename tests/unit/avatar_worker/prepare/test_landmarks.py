"""The 68 landmarks in the order that the original's scripts expect."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from avatar_worker.prepare.crop import Crop
from avatar_worker.prepare.errors import FootageError
from avatar_worker.prepare.files import write_picture
from avatar_worker.prepare.job import CHUNK_FRAMES, Job
from avatar_worker.prepare.landmarks68 import MESH_POINTS, landmark_finder, landmarks
from avatar_worker.prepare.models.detector import FaceDetector
from avatar_worker.prepare.models.mesh import FaceMesh
from avatar_worker.prepare.steps.landmarks import write_landmarks
from avatar_worker.prepare.video import Video
from avatar_worker.train.footage import face_rectangles, read_landmarks
from tests.unit.avatar_worker.prepare.footage import mira

pytestmark = pytest.mark.unit


@cache
def points() -> np.ndarray:
    mesh = FaceMesh(FaceDetector())(mira(0))
    assert mesh is not None
    return landmarks(mesh)


def test_there_are_68_different_points() -> None:
    assert len(MESH_POINTS) == 68
    assert len(set(MESH_POINTS)) == 68


def test_the_jaw_runs_from_ear_to_ear_through_the_chin() -> None:
    jaw = points()[:17]
    assert (np.diff(jaw[:, 0]) > 0).all()
    assert jaw[:, 1].argmax() == 8
    assert (np.diff(jaw[:9, 1]) > 0).all()
    assert (np.diff(jaw[8:, 1]) < 0).all()


def test_brows_run_left_to_right_above_the_eyes() -> None:
    p = points()
    assert (np.diff(p[17:27, 0]) > 0).all()
    assert p[17:22, 1].max() < p[36:42, 1].min()
    assert p[22:27, 1].max() < p[42:48, 1].min()


def test_the_nose_runs_down_to_its_tip_and_then_across() -> None:
    p = points()
    assert (np.diff(p[27:31, 1]) > 0).all()
    assert (np.diff(p[31:36, 0]) > 0).all()
    assert (p[31:36, 1] > p[30, 1]).all()


@pytest.mark.parametrize(
    ("part", "n_above"), [(slice(36, 42), 2), (slice(42, 48), 2), (slice(48, 60), 5),
                          (slice(60, 68), 3)]
)  # fmt: skip
def test_eyes_and_lips_go_round_clockwise_from_the_left_corner(part: slice, n_above: int) -> None:
    ring = points()[part]
    left, right = ring[0], ring[n_above + 1]
    assert left[0] == ring[:, 0].min()
    assert right[0] == ring[:, 0].max()
    assert ring[1 : n_above + 1, 1].mean() < ring[n_above + 2 :, 1].mean()
    # Shoelace formula: positive for clockwise when rows count downwards.
    following = np.roll(ring, -1, axis=0)
    assert (ring[:, 0] * following[:, 1] - following[:, 0] * ring[:, 1]).sum() > 0


def test_the_trainer_finds_mouth_and_eyes_in_them() -> None:
    found = face_rectangles(points(), 512, 512)
    # In this picture the lips reach from row 300 to 332, the eyes lie about row 222.
    assert found["mouth"].top < 300 < 332 < found["mouth"].bottom
    for eye in ("left eye", "right eye"):
        assert found[eye].top < 222 < found[eye].bottom


def folder_of(path: Path, pictures: list[np.ndarray]) -> Job:
    (path / "ori_imgs").mkdir(parents=True)
    for number, picture in enumerate(pictures):
        write_picture(path / f"ori_imgs/{number}.jpg", picture)
    video = Video(path, 512, 512, 0, np.arange(len(pictures)), 1 / 25, True)
    return Job(video, path, Crop(0, 0, 512), None)


def test_frames_without_a_face_get_no_landmarks_and_stay_out(tmp_path: Path) -> None:
    empty = np.full((512, 512, 3), 120, np.uint8)
    job = folder_of(tmp_path, [mira(0), empty, *(mira(n) for n in range(1, 11))])
    write_landmarks(job, lambda done, total: None)
    assert job.with_face().tolist() == [0, *range(2, 12)]
    assert not (tmp_path / "ori_imgs/1.lms").exists()
    found = read_landmarks(tmp_path / "ori_imgs/0.lms")
    assert np.abs(found - points()).max() < 2.0  # JPEG between them


def test_a_stored_chunk_is_believed_and_not_computed_again(tmp_path: Path) -> None:
    job = folder_of(tmp_path, [mira(n) for n in range(11)])
    write_landmarks(job, lambda done, total: None)
    first = (tmp_path / "ori_imgs/1.lms").read_bytes()
    for number in range(11):
        (tmp_path / f"ori_imgs/{number}.lms").unlink()
        (tmp_path / f"ori_imgs/{number}.jpg").unlink()
    write_landmarks(job, lambda done, total: None)
    assert (tmp_path / "ori_imgs/1.lms").read_bytes() == first
    assert CHUNK_FRAMES >= 11


def test_a_clip_with_hardly_a_face_is_refused(tmp_path: Path) -> None:
    job = folder_of(tmp_path, [mira(n) for n in range(10)])
    with pytest.raises(FootageError, match="10 frames show a face; at least 11"):
        write_landmarks(job, lambda done, total: None)


def test_landmarks_of_a_single_picture_do_not_depend_on_the_one_before() -> None:
    find = landmark_finder()
    first, second = mira(0), mira(40)
    alone = find(first)
    find(second)
    again = find(first)
    assert alone is not None
    assert again is not None
    assert np.array_equal(alone, again)
    assert alone.shape == (68, 2)
    height, width = first.shape[:2]
    assert (alone >= 0).all()
    assert (alone < (width, height)).all()
    assert find(np.zeros((512, 512, 3), np.uint8)) is None
