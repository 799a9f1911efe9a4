"""One face, wholly in the picture, large, well lit and sharp."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from avatar_worker.prepare.checks.face import check_face
from avatar_worker.prepare.checks.finding import Finding, refusals
from avatar_worker.prepare.checks.samples import Sample, look
from avatar_worker.prepare.models.detector import FaceDetector
from avatar_worker.prepare.models.mesh import FaceMesh
from avatar_worker.prepare.video import Video
from tests.unit.avatar_worker.prepare.footage import mira

pytestmark = pytest.mark.unit


@cache
def networks() -> tuple[FaceDetector, FaceMesh]:
    detector = FaceDetector()
    return detector, FaceMesh(detector)


def findings(*pictures: np.ndarray) -> dict[str, Finding]:
    detector, mesh = networks()
    samples: list[Sample] = [
        look(np.ascontiguousarray(picture), float(n), detector, mesh)
        for n, picture in enumerate(pictures)
    ]
    height, width = pictures[0].shape[:2]
    video = Video(Path(), width, height, 0, np.arange(100), 1 / 25, True)
    return {finding.code: finding for finding in check_face(video, samples)}


def before(picture: np.ndarray, width: int, height: int, left: int, top: int) -> np.ndarray:
    """The picture before a plain wall."""
    wall = np.full((height, width, 3), (150, 160, 165), np.uint8)
    part = picture[max(0, -top) : height - top, max(0, -left) : width - left]
    wall[max(0, top) : top + len(picture), max(0, left) : left + picture.shape[1]] = part
    return wall


def scaled(picture: np.ndarray, factor: float) -> np.ndarray:
    return cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def test_a_good_picture_has_nothing_to_be_said_about() -> None:
    assert findings(mira(0), mira(40)) == {}


def test_a_picture_without_a_face_is_refused_and_cannot_be_accepted() -> None:
    found = findings(np.full((512, 512, 3), 120, np.uint8))
    assert list(found) == ["no-face"]
    assert refusals(list(found.values()), ["no-face"]) != []


def test_a_face_that_is_away_for_a_while_is_refused_with_its_time() -> None:
    empty = np.full((512, 512, 3), 120, np.uint8)
    refused = findings(mira(0), mira(1), empty, mira(2))["faces"]
    assert refused.is_refusal
    assert "no face in 25% of the pictures, for example at 0:02" in refused.found


def test_two_faces_are_refused() -> None:
    two = np.concatenate([mira(0)[:, 60:450], mira(50)[:, 60:450]], axis=1)
    refused = findings(two)["faces"]
    assert refused.is_refusal
    assert "2 faces" in refused.found


@pytest.mark.parametrize(("left", "top"), [(-185, 0), (180, 0), (0, -165), (0, 160)])
def test_a_face_cut_off_at_the_border_is_refused(left: int, top: int) -> None:
    assert findings(before(mira(0), 512, 512, left, top))["border"].is_refusal


def test_a_crown_at_the_border_is_advised_against() -> None:
    assert not findings(before(mira(0), 512, 512, 0, -75))["head-room"].is_refusal


def test_a_small_face_is_advised_against_and_a_tiny_one_refused() -> None:
    assert not findings(before(scaled(mira(0), 0.6), 512, 512, 100, 200))["small"].is_refusal
    assert findings(before(scaled(mira(0), 0.35), 512, 512, 150, 250))["small"].is_refusal


def test_a_dim_face_is_advised_against_and_a_dark_one_refused() -> None:
    assert not findings((mira(0) * 0.4).astype(np.uint8))["dark"].is_refusal
    assert findings((mira(0) * 0.18).astype(np.uint8))["dark"].is_refusal


def test_an_overexposed_face_is_refused() -> None:
    bright = (mira(0).astype(float) * 2.2 + 30).clip(0, 255).astype(np.uint8)
    assert findings(bright)["bright"].is_refusal


def test_a_soft_face_is_advised_against_and_a_blurred_one_refused() -> None:
    assert not findings(cv2.GaussianBlur(mira(0), (0, 0), 1.8))["blur"].is_refusal
    assert findings(cv2.GaussianBlur(mira(0), (0, 0), 4.0))["blur"].is_refusal


def test_a_camera_that_moves_is_advised_against() -> None:
    dark = mira(1).copy()
    dark[:160, :100] //= 2
    advice = findings(mira(0), dark, mira(2))["background"]
    assert not advice.is_refusal
    assert "0:01" in advice.found


def test_a_small_face_in_a_wide_picture_is_found() -> None:
    wide = before(mira(0), 1920, 1080, 1200, 500)
    assert findings(wide) == {}
