"""The gap between lips, counted on drawn mouths; the refined surface it is checked against."""

import numpy as np
import pytest

from tests.bench.drawn_lips import refine
from tests.bench.lips import HALF_COLUMNS, lip_gap_px

pytestmark = pytest.mark.unit

LIP, SHADOW, TOOTH, CAVITY, TONGUE = (
    (190, 130, 115),
    (110, 60, 50),
    (150, 135, 125),
    (25, 8, 6),
    (120, 60, 50),
)
LEFT_OF_MOUTH, MIDDLE, TOP = 206, 256, 300


def mouth(rows: list[tuple[tuple[int, int, int], int]], size: int = 512) -> np.ndarray:
    """Lips of 14 px each with rows of a colour between them, across the picture."""
    picture = np.full((512, 512, 3), (205, 165, 140), np.uint8)
    at = TOP
    for colour, height in [(LIP, 14), *rows, (LIP, 14)]:
        picture[at : at + height, LEFT_OF_MOUTH:306] = colour
        at += height
    return np.kron(picture, np.ones((size // 512, size // 512, 1), np.uint8))


def found(gap: float, error: float = 0.0, scale: int = 1) -> np.ndarray:
    """Landmarks of a mouth whose inner lips are seen `error` px too far apart on either side."""
    points = np.zeros((68, 2))
    points[:, 0] = MIDDLE
    points[51, 1], points[57, 1] = TOP, TOP + 28 + gap
    points[62, 1], points[66, 1] = TOP + 14 - error, TOP + 14 + gap + error
    return points * scale


def test_lips_that_touch_have_no_gap_though_landmarks_see_one():
    assert lip_gap_px(mouth([]), found(0, error=2)) == 0


def test_the_shadow_between_closed_lips_is_no_gap():
    # 110 of 190 is 0.58 of the lips' brightness, above the 0.55 that begins to count
    assert lip_gap_px(mouth([(SHADOW, 2)]), found(2)) == 0


@pytest.mark.parametrize("height", [1, 3, 8, 15])
def test_a_dark_mouth_is_counted_row_by_row(height):
    assert lip_gap_px(mouth([(CAVITY, height)]), found(height)) == pytest.approx(height)


def test_teeth_are_gap_as_the_dark_around_them_is():
    # 6 rows of teeth, tint (150 − 135) / 150 = 0.1 < 0.15, and 3 of cavity
    assert lip_gap_px(mouth([(TOOTH, 6), (CAVITY, 3)]), found(9, error=3)) == pytest.approx(9)


def test_a_tongue_counts_as_lip():
    assert lip_gap_px(mouth([(CAVITY, 4), (TONGUE, 5)]), found(9)) == pytest.approx(4)


def test_half_dark_counts_by_half():
    # 190 · 0.45 = 85.5: half the way from 0.55 to 0.35
    half = (86, 35, 30)
    assert lip_gap_px(mouth([(half, 2)]), found(2)) == pytest.approx(0.98, abs=0.05)


def test_in_a_picture_of_twice_the_size_the_gap_has_twice_the_pixels():
    assert lip_gap_px(mouth([(CAVITY, 5)], 1024), found(5, scale=2)) == pytest.approx(10)


def test_what_lies_beside_the_centre_is_not_looked_at():
    picture = mouth([])
    picture[TOP : TOP + 28, : MIDDLE - HALF_COLUMNS] = CAVITY
    assert lip_gap_px(picture, found(0)) == 0


def test_refining_pulls_the_corners_of_a_cube_in():
    points = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    faces = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4],
                      [1, 5, 7, 3]])  # fmt: skip
    finer, quarters = refine(points, faces)
    # Centres around a corner have the mean 1/3, middles of its edges 2/3: (1/3 + 2 · 2/3) / 3.
    assert finer[:8] == pytest.approx(points * 5 / 9)
    assert finer.shape == (8 + 12 + 6, 3)
    assert quarters.shape == (24, 4)
    # The middle of an edge, (1, 1, 0), goes with the centres (1, 0, 0) and (0, 1, 0).
    assert [0.75, 0.75, 0.0] in finer.round(9).tolist()


def test_refining_a_sheet_leaves_its_border_where_it_is():
    points = np.array([[x, y, 0.0] for y in range(3) for x in range(3)])
    faces = np.array([[0, 1, 4, 3], [1, 2, 5, 4], [3, 4, 7, 6], [4, 5, 8, 7]])
    finer, _ = refine(points, faces)
    assert finer[:9] == pytest.approx(points)
