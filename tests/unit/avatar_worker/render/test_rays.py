import numpy as np
import pytest
import torch

from avatar_worker.render.occupancy import (
    OccupancyGrid,
    dense_cells,
    morton_index,
    pack_cells,
)
from avatar_worker.render.rays import MISS, Intrinsics, box_interval, convert_pose, ray_directions
from tests.unit.avatar_worker import mini

pytestmark = pytest.mark.unit

BOX = torch.tensor([-1.0, -0.5, -1.0, 1.0, 0.5, 1.0])


def straight_camera() -> torch.Tensor:
    """Identity rotation, 0.8 away: the camera of the specification's self-checks."""
    stored = np.eye(4)
    stored[2, 3] = 0.8
    return torch.from_numpy(convert_pose(stored))


def test_poses_are_permuted_and_scaled():
    expected = [[0, -1, 0, 0], [0, 0, -1, 3.2], [1, 0, 0, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(straight_camera(), expected, atol=1e-6)


def test_poses_of_the_data_folder_are_those_of_the_original():
    reference = mini.golden("frames_head")
    poses = mini.footage("val").poses[reference["pose_index"]]
    np.testing.assert_allclose(poses, reference["pose_c2w"], atol=1e-6)


@pytest.mark.parametrize(
    ("column", "row", "direction", "near", "far"),
    [
        (256, 256, (-0.00041667, -0.99999983, 0.00041667), 2.7000003, 3.7000005),
        (300, 200, (0.0461689, -0.9982475, 0.0370183), 2.70474, 3.7064958),
        (0, 0, (0.2038748, -0.9575334, -0.2038748), 2.819745, 3.8640952),
    ],
)
def test_known_pixels_have_known_rays(column, row, direction, near, far):
    pose = straight_camera()
    pixel = torch.tensor([row * 512 + column])
    found = ray_directions(pose, Intrinsics(1200, 1200, 256, 256), width=512, pixels=pixel)
    np.testing.assert_allclose(found[0], direction, atol=1e-6)
    enters, leaves = box_interval(pose[:3, 3], found, BOX)
    assert float(enters) == pytest.approx(near, abs=2e-6)
    assert float(leaves) == pytest.approx(far, abs=2e-6)


def test_a_frame_of_rays_is_that_of_the_original():
    reference = mini.golden("rays")
    pose = mini.tensor(reference["pose"])
    intrinsics = Intrinsics(*reference["intrinsics"].tolist())
    assert mini.footage("val").intrinsics == intrinsics
    width, height = int(reference["width"][0]), int(reference["height"][0])
    directions = ray_directions(pose, intrinsics, width=width, pixels=torch.arange(width * height))
    near, far = box_interval(pose[:3, 3], directions, mini.tensor(reference["aabb"]))
    np.testing.assert_array_equal(pose[:3, 3], reference["rays_o"])
    np.testing.assert_allclose(directions, reference["rays_d"], atol=1e-6)
    np.testing.assert_allclose(near, reference["nears"], atol=1e-6)
    np.testing.assert_allclose(far, reference["fars"], atol=1e-6)


def test_boxes_are_met_missed_and_started_in_as_in_the_original():
    reference = mini.golden("rays")
    near, far = box_interval(mini.tensor(reference["box_o"]), mini.tensor(reference["box_d"]), BOX)
    np.testing.assert_allclose(near, reference["box_near"], rtol=1e-6)
    np.testing.assert_allclose(far, reference["box_far"], rtol=1e-6)
    assert np.any(reference["box_near"] == np.float32(MISS))


def test_morton_order_is_that_of_the_original():
    reference = mini.golden("rays")
    np.testing.assert_array_equal(
        morton_index(reference["morton_coords"]), reference["morton_index"]
    )
    known = np.array([[0, 0, 0], [1, 2, 3], [5, 100, 77], [64, 64, 64], [127, 127, 127]])
    assert morton_index(known).tolist() == [0, 53, 1640901, 1835008, 2097151]


def test_packing_cells_is_undone_by_unpacking():
    cells = np.random.default_rng(3).random((128, 128, 128)) < 0.3
    assert np.array_equal(dense_cells(pack_cells(cells)), cells)


def test_a_point_beyond_the_cube_takes_the_nearest_cell():
    cells = np.zeros((128, 128, 128), bool)
    cells[127, 64, 0] = True
    grid = OccupancyGrid(torch.from_numpy(pack_cells(cells)), torch.device("cpu"))
    points = torch.tensor([[5.0, 0.001, -7.0], [0.98, 0.001, -1.0], [0.999, 0.001, -0.999]])
    assert grid(points).tolist() == [True, False, True]
