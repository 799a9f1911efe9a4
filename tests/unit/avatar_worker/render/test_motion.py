from dataclasses import replace

import numpy as np
import pytest

from avatar_worker.render.data_folder import FootageScenes
from avatar_worker.render.motion import (
    HEAD_RADIUS,
    head_speed,
    mean_rotation,
    offset_cameras,
    scene_between,
    smooth_eyes,
    smooth_path,
)
from tests.unit.avatar_worker import mini

pytestmark = pytest.mark.unit


def test_smoothed_poses_are_those_of_the_original():
    expected = mini.golden("variants")["smooth_path_pose_c2w"]
    np.testing.assert_allclose(smooth_path(mini.footage("val")).poses, expected, atol=2e-6)


def test_smoothed_eyes_are_those_of_the_original():
    expected = mini.golden("variants")["smooth_eye_eye"]
    smoothed = smooth_eyes(mini.footage("val").part(2, 8))
    np.testing.assert_allclose(smoothed.eyes, expected, atol=1e-6)


def turn(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def test_the_mean_of_two_turns_is_the_turn_between():
    found = mean_rotation(np.stack((turn(0.2), turn(0.6))))
    np.testing.assert_allclose(found, turn(0.4), atol=1e-6)


def test_trained_offsets_turn_and_shift_their_own_camera():
    footage = mini.footage("train")
    turns, shifts = np.zeros((30, 3), np.float32), np.zeros((30, 3), np.float32)
    turns[2], shifts[3] = (0, 0, 90), (0.1, 0.2, 0.3)
    moved = offset_cameras(footage, turns, shifts)
    # A direction d becomes d · Rz(90°): x takes y's place, y the negative of x's.
    expected = footage.poses[2, :3, :3][[1, 0, 2]] * np.array([[1], [-1], [1]])
    np.testing.assert_allclose(moved.poses[2, :3, :3], expected, atol=1e-6)
    np.testing.assert_allclose(moved.poses[3, :3, 3], footage.poses[3, :3, 3] + shifts[3])
    np.testing.assert_allclose(moved.poses[4], footage.poses[4], atol=1e-6)


def test_the_head_moves_as_far_as_its_points_do_before_the_camera():
    poses = np.stack([np.eye(4, dtype=np.float32)] * 3)
    poses[1, :3, 3] = poses[2, :3, 3] = (0.3, 0.0, 0.4)
    poses[2, :3, :3] = turn(0.1)
    shift, turned = head_speed(poses)
    assert shift == pytest.approx(0.5)
    # The camera turns about its own axis z at (0.3, 0, 0.4). Corners of the head's cube are at
    # (±r, ±r) − (0.3, 0) from that axis, and move by 2 sin(0.05) times their distance.
    r = HEAD_RADIUS
    distances = [np.hypot(x - 0.3, y) for x in (-r, r) for y in (-r, r)]
    assert turned == pytest.approx(2 * np.sin(0.05) * np.mean(distances), rel=1e-5)
    assert head_speed(poses[:1]).shape == (0,)


def test_a_scene_between_two_has_the_turn_and_the_pictures_between():
    scenes = FootageScenes(mini.footage("val"), portrait=True)
    a, b = scenes.scene(1), scenes.scene(2)
    pose, other = a.pose.copy(), a.pose.copy()
    pose[:3, :3], other[:3, :3] = turn(0.2), turn(0.4)
    middle = scene_between(replace(a, pose=pose), replace(b, pose=other), 0.5)
    np.testing.assert_allclose(middle.pose[:3, :3], turn(0.3), atol=1e-6)
    np.testing.assert_allclose(middle.eye, (a.eye + b.eye) / 2, atol=1e-6)
    assert middle.original is not None
    assert middle.original.dtype == np.uint8
    mean = (a.original.astype(float) + b.original) / 2
    assert np.abs(middle.original - mean).max() <= 0.5
    near = scene_between(a, b, 1.0)
    np.testing.assert_array_equal(near.mask, b.mask)
    np.testing.assert_allclose(near.pose, b.pose, atol=1e-6)


def test_a_scene_between_two_without_portraits_has_none():
    scenes = FootageScenes(mini.footage("val"), portrait=False)
    between = scene_between(scenes.scene(0), scenes.scene(1), 0.25)
    assert between.original is None
    assert between.mask is None
    assert between.background.dtype == scenes.scene(0).background.dtype
