import numpy as np
import pytest
import torch

from avatar_worker.render.encodings import (
    PlaneGrid,
    harmonics,
    level_offsets,
    plane_levels,
    table_rows,
)
from tests.unit.avatar_worker import mini

pytestmark = pytest.mark.unit

CPU = torch.device("cpu")


def formula_table() -> torch.Tensor:
    """E[k] = ((37 k) mod 101) / 101: a table whose look-ups are worked out by hand elsewhere."""
    return torch.arange(163_584).mul(37).remainder(101).float() / 101.0


def test_the_levels_have_the_stored_offsets_and_the_known_scales():
    levels = plane_levels()
    assert level_offsets(levels) == [
        0, 4232, 10480, 19512, 32512, 48896, 65280, 81664, 98048, 114432, 130816, 147200, 163584,
    ]  # fmt: skip
    assert levels[0].scale == 63.0
    assert levels[11].scale == 511.0
    assert levels[4].scale == pytest.approx(135.32526, abs=1e-5)
    assert [level.is_hashed for level in levels] == [False] * 4 + [True] * 8


@pytest.mark.parametrize(
    ("level", "cell", "row"),
    [(0, (35, 25), 1660), (4, (74, 54), 11036), (11, (281, 204), 14357)],
)
def test_cells_have_the_known_table_rows(level, cell, row):
    chosen = plane_levels()[level]
    rows = table_rows(chosen).reshape(chosen.stride, chosen.stride)
    assert rows[cell[1], cell[0]] - chosen.offset == row


def test_a_known_table_gives_the_known_features():
    point = torch.tensor([[0.1, -0.2]])
    # Worked out independently in the specification's self-checks, tolerance 1e-4.
    expected = [0.63708, 0.57875, 0.59132, 0.91488, 0.30138, 0.69183,
                0.44847, 0.42878, 0.73555, 0.52870, 0.69568, 0.74441]  # fmt: skip
    found = PlaneGrid(formula_table(), CPU)(point)
    np.testing.assert_allclose(found[0], expected, atol=1e-4)


def test_corners_are_inside_and_a_hair_beyond_is_nothing():
    corners = torch.tensor([[-1.0, -1.0], [1.0, 1.0], [1.0001, 0.0], [0.0, -1.0001]])
    found = PlaneGrid(formula_table(), CPU)(corners)
    low = [0.33911, 0.49010, 0.29208, 0.52475, 0.54951, 0.60891,
           0.66832, 0.72772, 0.53713, 0.34653, 0.40594, 0.46535]  # fmt: skip
    high = [0.31683, 0.76530, 0.76112, 0.42047, 0.80486, 0.23250,
            0.52654, 0.77997, 0.32723, 0.53605, 0.75440, 0.54208]  # fmt: skip
    np.testing.assert_allclose(found[0], low, atol=1e-4)
    np.testing.assert_allclose(found[1], high, atol=2e-4)  # level 10 is sensitive to the scale
    assert bool((found[2:] == 0).all())


@pytest.mark.parametrize("plane", ["xy", "yz", "xz"])
def test_plane_features_are_those_of_the_original(plane):
    reference = mini.golden("components")
    table = getattr(mini.checkpoint().head(), f"encoder_{plane}")
    found = PlaneGrid(table, CPU)(mini.tensor(reference["grid_points"]))
    np.testing.assert_allclose(found, reference[f"grid_{plane}"], atol=1e-6)


def test_harmonics_are_those_of_the_original():
    reference = mini.golden("components")
    found = harmonics(mini.tensor(reference["sh_dirs"]))
    np.testing.assert_allclose(found, reference["sh"], atol=1e-6)


def test_harmonics_of_known_directions():
    slanted = np.array([1.0, 2.0, 3.0]) / np.sqrt(14.0)
    directions = torch.tensor(np.array([[0.0, 0.0, 1.0], slanted, [0, 0, 0]]), dtype=torch.float32)
    up, diagonal, nothing = harmonics(directions).numpy()
    np.testing.assert_allclose(up[[0, 2, 6, 12]], [0.2820948, 0.4886025, 0.6307831, 0.7463527],
                               atol=1e-6)  # fmt: skip
    assert np.abs(np.delete(up, [0, 2, 6, 12])).max() == 0
    expected = [-0.2611690, -0.4682350, 0.0225280, 0.1239038]
    np.testing.assert_allclose(diagonal[[1, 5, 9, 15]], expected, atol=1e-6)
    np.testing.assert_allclose(nothing[[0, 6]], [0.2820948, -0.3153916], atol=1e-6)
