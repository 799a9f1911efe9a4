"""The head's pose, and where the renderer's camera formula sees it."""

from __future__ import annotations

import numpy as np
import pytest

from avatar_worker.recipes.people.camera import (
    FOCAL_PX,
    METRES_PER_DM,
    ORIGIN_DM,
    Pose,
    head_matrix,
    project_head,
    project_world,
    rigid_matrix,
    transform_matrix,
)

pytestmark = pytest.mark.unit

POSES = [Pose(), Pose(3, -5, 2, (0.03, -0.01, 0.02)), Pose(-6, 12, -4, (0, 0.02, 0))]


def direction_of_pixel(transform: np.ndarray, column: float, row: float) -> np.ndarray:
    """The renderer's ray through a pixel, written out element by element."""
    m = transform
    rotation = np.array(
        [
            [m[1, 0], -m[1, 1], -m[1, 2]],
            [m[2, 0], -m[2, 1], -m[2, 2]],
            [m[0, 0], -m[0, 1], -m[0, 2]],
        ]
    )
    ray = rotation @ np.array([(column - 256) / FOCAL_PX, (row - 256) / FOCAL_PX, 1.0])
    return ray / np.linalg.norm(ray)


@pytest.mark.parametrize("pose", POSES)
def test_a_head_point_is_seen_where_the_picture_shows_it(pose: Pose) -> None:
    points_m = np.array([[0, 0.02, 0.11], [0.06, 0.04, 0.05], [-0.07, -0.09, 0.02]])
    head = head_matrix(pose)
    world_dm = (points_m @ head[:3, :3].T + head[:3, 3]) / METRES_PER_DM

    seen = project_head(points_m, transform_matrix(head))

    np.testing.assert_allclose(seen, project_world(world_dm), atol=1e-9)


@pytest.mark.parametrize("pose", POSES)
def test_the_renderers_ray_through_that_pixel_meets_the_point(pose: Pose) -> None:
    point_m = np.array([0.03, -0.08, 0.09])
    transform = transform_matrix(head_matrix(pose))
    ((column, row),) = project_head(point_m[None], transform)

    ray = direction_of_pixel(transform, column, row)
    origin = 4 * transform[[1, 2, 0], 3]
    target = 4 * point_m[[1, 2, 0]]

    np.testing.assert_allclose(np.cross(ray, target - origin), 0, atol=1e-9)
    assert np.dot(ray, target - origin) > 0


def test_the_resting_head_stands_straight_before_the_camera() -> None:
    transform = transform_matrix(head_matrix(Pose()))

    np.testing.assert_allclose(transform[:3, :3], np.eye(3))
    np.testing.assert_allclose(transform[:3, 3], (0, -0.0226, 0.95), atol=5e-5)


def test_hair_and_head_move_as_one() -> None:
    pose = POSES[1]
    origin_m = np.append(ORIGIN_DM * METRES_PER_DM, 1.0)

    moved = rigid_matrix(pose) @ origin_m

    np.testing.assert_allclose(moved[:3], head_matrix(pose)[:3, 3], atol=1e-12)


def test_turning_left_moves_the_nose_to_the_right_of_the_picture() -> None:
    nose = np.array([[0.0, 0.0, 0.11]])

    straight, turned = (
        project_head(nose, transform_matrix(head_matrix(Pose(yaw_deg=yaw))))[0, 0] for yaw in (0, 5)
    )

    assert turned > straight + 5
