"""Head poses: recovered from projected points and pictures, smoothed, and put into place."""

import cv2
import numpy as np
import pytest

from avatar_worker.prepare.crop import SIZE_PX
from avatar_worker.prepare.mesh_parts import STEADY
from avatar_worker.prepare.models.detector import FaceDetector
from avatar_worker.prepare.models.mesh import FaceMesh
from avatar_worker.prepare.pose.bundle import Scene, adjust, fit_poses
from avatar_worker.prepare.pose.camera import (
    Poses,
    derivatives,
    project,
    turns_about,
    vectors_of,
)
from avatar_worker.prepare.pose.first import from_meshes
from avatar_worker.prepare.pose.frame import head_axes, rebased
from avatar_worker.prepare.pose.smoothing import smooth
from avatar_worker.prepare.pose.surface import Surface
from avatar_worker.prepare.pose.template import align, band, make_template, raised_brows
from avatar_worker.render.rays import Intrinsics, convert_pose, ray_directions
from tests.unit.avatar_worker.prepare.footage import mira

pytestmark = pytest.mark.unit

FOCAL_PX = 1200.0
N = 40


def face_points() -> np.ndarray:
    """Points of a face, in metres, from the character's own mesh."""
    mesh = FaceMesh(FaceDetector())(mira(0))
    assert mesh is not None
    points = (mesh - (255.5, 255.5, 0.0)) * (1, -1, -1)
    points -= points.mean(axis=0)
    return np.asarray(points * 0.09 / np.linalg.norm(points[33] - points[263]))


def swaying(n: int = N) -> Poses:
    """A head that nods, turns and leans, 0.8 m before the camera."""
    t = np.arange(n) / 25
    angles = np.radians(np.stack([4 * np.sin(3 * t), 8 * np.sin(2 * t), 3 * np.cos(t)], axis=1))
    places = np.stack([0.01 * np.sin(t), 0.005 * np.cos(2 * t), -0.8 + 0.02 * np.sin(t)], axis=1)
    return Poses(turns_about(angles), places)


def as_meshes(points: np.ndarray, poses: Poses, noise_px: float) -> np.ndarray:
    """What the network would see: pixels, and depth in pixels of the face's size. [n, 468, 3]"""
    seen = np.einsum("nij,pj->npi", poses.turns, points) + poses.shifts[:, None]
    flat = project(points, poses, FOCAL_PX) + (SIZE_PX - 1) / 2
    depth = -(seen[..., 2:] - poses.shifts[:, None, 2:]) * FOCAL_PX / 0.8
    random = np.random.default_rng(1)
    return np.concatenate([flat, depth], axis=2) + random.normal(0, noise_px, (len(seen), 468, 3))


def turn_errors_deg(found: Poses, truth: Poses) -> np.ndarray:
    """What is left when the axes of the head are made the same. [n]"""
    u, _, vt = np.linalg.svd(np.einsum("nji,njk->ik", found.turns, truth.turns))
    left = (found.turns @ (u @ vt)) @ truth.turns.transpose(0, 2, 1)
    return np.degrees(np.linalg.norm(vectors_of(left), axis=1))


def test_turns_come_back_from_their_vectors() -> None:
    vectors = np.random.default_rng(0).normal(0, 0.7, (50, 3))
    vectors[0], vectors[1] = 0.0, (1e-9, 0, 0)
    assert np.allclose(vectors_of(turns_about(vectors)), vectors, atol=1e-8)


def test_derivatives_are_what_small_steps_do() -> None:
    points, poses = face_points()[:5], swaying(2)
    by_pose, by_point, by_focal = derivatives(points, poses, FOCAL_PX)
    at, step = project(points, poses, FOCAL_PX), 1e-6
    for axis in range(6):
        moved = np.zeros((2, 6))
        moved[:, axis] = step
        slope = (project(points, poses.moved(moved), FOCAL_PX) - at) / step
        assert np.allclose(slope, by_pose[..., axis], rtol=1e-3, atol=0.05)
    for axis in range(3):
        shifted = points.copy()
        shifted[:, axis] += step
        slope = (project(shifted, poses, FOCAL_PX) - at) / step
        assert np.allclose(slope, by_point[..., axis], rtol=1e-3, atol=0.05)
    slope = (project(points, poses, FOCAL_PX * np.exp(step)) - at) / step
    assert np.allclose(slope, by_focal, rtol=1e-3, atol=0.05)


def test_poses_of_a_known_shape_are_recovered_exactly() -> None:
    points, truth = face_points()[list(STEADY)], swaying()
    seen = project(points, truth, FOCAL_PX)
    start = truth.moved(np.random.default_rng(0).normal(0, 0.03, (N, 6)))
    found = fit_poses(Scene(points, FOCAL_PX, start, np.ones(len(points))), seen)
    assert np.abs(found.turns - truth.turns).max() < 1e-6
    assert np.abs(found.shifts - truth.shifts).max() < 1e-6


def test_shape_and_poses_are_recovered_from_noisy_points() -> None:
    points, truth = face_points(), swaying()
    scene = from_meshes(as_meshes(points, truth, noise_px=0.7), FOCAL_PX)
    assert turn_errors_deg(scene.poses, truth).mean() < 0.3
    assert np.median(-scene.poses.shifts[:, 2]) == pytest.approx(0.8, rel=0.05)
    left = project(scene.points, scene.poses, FOCAL_PX) - project(
        points[list(STEADY)], truth, FOCAL_PX
    )
    assert np.sqrt((left**2).mean()) < 0.5


def test_without_a_focal_length_one_for_a_usual_distance_is_found() -> None:
    scene = from_meshes(as_meshes(face_points(), swaying(), noise_px=0.3), None)
    assert scene.focal_px == pytest.approx(FOCAL_PX, rel=0.25)


def test_points_that_stray_lose_their_say() -> None:
    points, truth = face_points()[list(STEADY)], swaying()
    seen = project(points, truth, FOCAL_PX)
    seen[:, :6] += np.random.default_rng(0).normal(0, 6, (N, 6, 2))
    start = truth.moved(np.random.default_rng(0).normal(0, 0.01, (N, 6)))
    scene = adjust(Scene(points, FOCAL_PX, start, np.ones(len(points))), seen, fixed_focal=True)
    assert scene.noise_px[:6].min() > 3
    assert scene.noise_px[6:].max() < 1.5
    assert turn_errors_deg(scene.poses, truth).mean() < 0.3


def test_jumps_are_smoothed_and_real_motion_is_kept() -> None:
    truth = swaying(200)
    jitter = np.random.default_rng(0).normal(0, 1, (200, 6)) * ([np.radians(0.5)] * 3 + [0.002] * 3)
    information = np.tile(np.diag([np.radians(0.5) ** -2] * 3 + [0.002**-2] * 3), (200, 1, 1))
    jumping = truth.moved(jitter)
    smoothed = smooth(jumping, information)
    before = np.linalg.norm(vectors_of(jumping.turns @ truth.turns.transpose(0, 2, 1)), axis=1)
    after = np.linalg.norm(vectors_of(smoothed.turns @ truth.turns.transpose(0, 2, 1)), axis=1)
    assert after.mean() < 0.55 * before.mean()
    assert np.abs(smoothed.shifts - truth.shifts).mean() < 0.6 * np.abs(jitter[:, 3:]).mean()


@pytest.mark.parametrize("n", [3, 4, 7, 50])
def test_frames_about_which_nothing_is_known_are_filled_in(n: int) -> None:
    truth = swaying(n)
    information = np.tile(np.eye(6) * 1e10, (n, 1, 1))
    gap = n // 2
    information[gap] = 0.0
    wrong = truth.moved(np.where(np.arange(n)[:, None] == gap, 0.3, np.zeros((n, 6))))
    smoothed = smooth(wrong, information)
    assert np.abs(smoothed.shifts - truth.shifts).max() < 2e-3
    assert np.abs(smoothed.turns - truth.turns).max() < 2e-3


def textured_sheet() -> tuple[np.ndarray, Surface]:
    """A bent sheet of 12 cm, and how it looks straight ahead at 0.8 m. Its upper half is four
    strips that slide up, each by itself."""
    random = np.random.default_rng(0)
    texture = cv2.GaussianBlur(random.uniform(0, 255, (512, 512)).astype(np.float32), (0, 0), 3)
    texture = (texture - texture.min()) / np.ptp(texture) * 255
    along = np.linspace(-0.06, 0.06, 60)
    x, y = (axis.ravel() for axis in np.meshgrid(along, along))
    points = np.stack([x, y, -6 * (x**2 + y**2)], axis=1)
    normals = np.stack([12 * x, 12 * y, np.ones_like(x)], axis=1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    picture = np.repeat(texture.astype(np.uint8)[..., None], 3, axis=2)
    slides = np.zeros((len(x), 4, 3))
    strip = np.floor((x + 0.06) / 0.12001 * 4).astype(int)
    slides[np.arange(len(x)), strip, 1] = y > 0
    return picture, Surface(points, normals, slides)


STRAIGHT = Poses(np.eye(3)[None], np.array([[0.0, 0.0, -0.8]]))


def test_a_picture_is_aligned_with_the_template_to_a_fraction_of_a_pixel() -> None:
    picture, sheet = textured_sheet()
    template = make_template([band(picture)], STRAIGHT, sheet, FOCAL_PX)
    # The same picture two columns to the right is the sheet moved by 2 px · 0.8 m / 1200 px.
    pose, sure = align(template, band(np.roll(picture, 2, axis=1)), STRAIGHT, FOCAL_PX)
    expected = project(sheet.points, STRAIGHT, FOCAL_PX) + np.array([2.0, 0.0])
    assert np.abs(project(sheet.points, pose, FOCAL_PX) - expected).max() < 0.15
    assert (np.linalg.eigvalsh(sure) > 0).all()


def test_a_picture_that_pulls_the_face_away_from_its_mesh_is_not_believed() -> None:
    """Shouting with raised brows once moved whole heads by 13 px."""
    picture, sheet = textured_sheet()
    template = make_template([band(picture)], STRAIGHT, sheet, FOCAL_PX)
    pulled = band(np.roll(picture, -6, axis=0))
    pose, sure = align(template, pulled, STRAIGHT, FOCAL_PX)
    assert np.array_equal(pose.shifts, STRAIGHT.shifts)
    assert np.array_equal(pose.turns, STRAIGHT.turns)
    _, surer = align(template, band(picture), STRAIGHT, FOCAL_PX)
    assert (np.diag(surer) > np.diag(sure)).all()


def test_a_brow_that_slides_up_is_told_from_a_face_that_does() -> None:
    picture, sheet = textured_sheet()
    template = make_template([band(picture)], STRAIGHT, sheet, FOCAL_PX)

    def brows(shown: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng(1).normal(0, 3, shown.shape)  # as pictures have
        frame = band((shown + noise).clip(0, 255).astype(np.uint8))
        pose, _ = align(template, frame, STRAIGHT, FOCAL_PX)
        return raised_brows(template, frame, STRAIGHT, FOCAL_PX, pose)

    raised = picture.copy()
    third = slice(256, 301)  # 0 to 3 cm from the middle, 1500 px a metre
    raised[:253, third] = picture[3:256, third]
    assert brows(raised) == pytest.approx([0.0, 0.0, 3 / 1500, 0.0], abs=3e-4)
    assert brows(np.roll(picture, -2, axis=0)) == pytest.approx(0.0, abs=3e-4)


def test_the_axes_of_the_head_are_upright_with_the_nose_ten_centimetres_before_the_origin() -> None:
    face = face_points()
    axes, origin = head_axes(face)
    placed = (face - origin) @ axes
    assert np.allclose(axes.T @ axes, np.eye(3), atol=1e-9)
    assert np.linalg.det(axes) == pytest.approx(1.0)
    assert placed[4] == pytest.approx((0.0, placed[4, 1], 0.1), abs=0.006)  # tip of the nose
    assert placed[454, 0] > 0.05  # the person's left is at the right of the picture
    assert placed[10, 1] > placed[152, 1]  # hairline above chin
    truth = swaying()
    assert np.allclose(
        project(placed, rebased(truth, axes, origin), FOCAL_PX), project(face, truth, FOCAL_PX)
    )


def test_what_is_stored_sends_the_renderers_rays_through_the_points_seen() -> None:
    import torch

    point = np.array([[0.03, 0.05, 0.08]])
    poses = swaying(5)
    pixels = project(point, poses, FOCAL_PX)[:, 0] + (SIZE_PX - 1) / 2
    for matrix, place in zip(poses.camera_to_head(), pixels, strict=True):
        column, row = (int(v) for v in np.rint(place))
        camera = Intrinsics(FOCAL_PX, FOCAL_PX, SIZE_PX / 2, SIZE_PX / 2)
        pose = convert_pose(matrix)
        ray = ray_directions(
            torch.from_numpy(pose), camera, width=SIZE_PX,
            pixels=torch.tensor([row * SIZE_PX + column]),
        )[0].numpy()  # fmt: skip
        # The field's axes are up, towards the camera, right; four units a metre.
        target = 4 * point[0][[1, 2, 0]] - pose[:3, 3]
        away = np.linalg.norm(np.cross(target, ray))
        assert away < 4 * 0.8 / FOCAL_PX  # one pixel at 0.8 m
