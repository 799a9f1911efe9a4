"""The finer grid as numbers and as a file; what the kernel makes of it: kernels/test_finer_grid."""

import io
from typing import Any

import numpy as np
import pytest

from avatar_worker.render.errors import FinerGridError
from avatar_worker.render.finer_grid import (
    FINE_SIZE,
    FinerGrid,
    Moment,
    choose_moments,
    find_empty,
    read_finer_grid,
)
from tests.unit.avatar_worker.kernels.characters import cube_in_the_open

pytestmark = pytest.mark.unit

N_OCCUPIED = 20**3
"""Middles of cells are 1/128, 3/128 …: |x| < 0.15 is 20 of them along each axis, from 54 on."""


class Ball:
    """A head that is filled around a place, and says what it was asked."""

    def __init__(self, radius: float) -> None:
        self.radius = radius
        self.n_asked = 0

    def opacities(self, points: np.ndarray, enc_a: np.ndarray, eye: np.ndarray) -> np.ndarray:
        self.n_asked += len(points)
        inside = np.linalg.norm(points - enc_a[:3], axis=1) < self.radius
        return np.where(inside, 0.5, 1e-5).astype(np.float32)


def moment(x: float) -> Moment:
    enc_a = np.zeros(32, np.float32)
    enc_a[0] = x
    return Moment(enc_a, np.zeros(7, np.float32))


def test_a_byte_holds_the_halves_of_a_cell():
    halves = np.zeros(N_OCCUPIED, np.uint8)
    # The second occupied cell is (54, 54, 55). Bit 6 = 4·1 + 2·1 + 0: upper half of x and y.
    halves[1] = 1 << 6
    small = FinerGrid(halves).small_cells(cube_in_the_open())
    assert np.argwhere(small).tolist() == [[109, 109, 110]]
    assert small.shape == (FINE_SIZE,) * 3
    assert FinerGrid(halves).filled_share == 1 / (8 * N_OCCUPIED)


def test_a_small_cell_is_empty_if_it_is_at_every_moment():
    head, ball = cube_in_the_open(), Ball(0.05)
    alone = find_empty(head, ball, [moment(0.0)])
    both = find_empty(head, ball, [moment(0.0), moment(0.06)])
    small = both.small_cells(head)
    middle = (np.arange(FINE_SIZE) + 0.5) / (FINE_SIZE / 2) - 1
    across = middle[:, None] ** 2 + middle**2  # y² + z²
    distance = np.sqrt(np.minimum(middle**2, (middle - 0.06) ** 2)[:, None, None] + across)
    assert small[distance < 0.05].all()
    # A small cell's corner is √3/256 = 0.007 from its middle; points are tried 1.5 times as far.
    assert not small[distance > 0.05 + 0.0105].any()
    assert np.all(both.halves & alone.halves == alone.halves)


def test_what_was_found_filled_is_not_tried_again():
    head, ball = cube_in_the_open(), Ball(9.0)
    assert find_empty(head, ball, [moment(0.0)] * 5).filled_share == 1.0
    assert ball.n_asked == 8 * 8 * N_OCCUPIED


def test_an_opacity_that_is_not_a_number_is_not_empty():
    class Broken:
        def opacities(self, points: np.ndarray, enc_a: np.ndarray, eye: np.ndarray) -> np.ndarray:
            return np.full(len(points), np.nan, np.float32)

    assert find_empty(cube_in_the_open(), Broken(), [moment(0.0)]).filled_share == 1.0


def test_moments_are_the_first_and_then_the_farthest():
    vectors = np.zeros((4, 32), np.float32)
    vectors[:, 0] = [0.0, 1.0, 5.0, 4.0]
    eyes = np.zeros((3, 7), np.float32)
    eyes[1] = 1.0
    # From 0 the farthest is 5, and of 1 and 4, which are both 1 from one of these, the first is 1.
    chosen = choose_moments(vectors, eyes, 3)
    assert [m.enc_a[0] for m in chosen] == [0.0, 5.0, 1.0]
    assert {m.eye[0] for m in chosen} == {0.0, 1.0}
    # What there is not more of is not said twice; eyes that differ are both held.
    assert len(choose_moments(vectors, eyes)) == 4
    assert all(m.enc_a.dtype == m.eye.dtype == np.float32 for m in chosen)


def some_halves() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, N_OCCUPIED, np.uint8)


def test_a_file_holds_what_was_written():
    grid = FinerGrid(some_halves())
    content = grid.to_bytes()
    assert content == grid.to_bytes()
    assert len(content) < 1.1 * N_OCCUPIED
    read = read_finer_grid(content, cube_in_the_open())
    assert read is not None
    assert np.array_equal(read.halves, grid.halves)


def archive(**arrays: Any) -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def test_a_version_that_is_not_known_is_left_aside():
    content = archive(version=np.uint8(2), halves=some_halves())
    assert read_finer_grid(content, cube_in_the_open()) is None


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "cannot be read"),
        (FinerGrid(some_halves()).to_bytes()[:-200], "cannot be read"),
        (archive(version=np.uint8(1)), "cannot be read"),
        (archive(version=np.uint8(1), halves=np.zeros(5 * 1024**2, np.uint8)), "cannot be read"),
        (archive(version=np.uint8(1), halves=some_halves()[1:]), "7999 cells.*8000 occupied"),
        (archive(version=np.uint8(1), halves=some_halves()[None]), r"expected uint8 \[n\]"),
        (archive(version=np.uint8(1), halves=some_halves() * 1.0), r"expected uint8 \[n\]"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_a_sentence(content: bytes, sentence: str):
    with pytest.raises(FinerGridError, match=sentence):
        read_finer_grid(content, cube_in_the_open())


def test_a_grid_of_another_head_has_no_small_cells():
    with pytest.raises(FinerGridError, match="occupied"):
        FinerGrid(np.zeros(7, np.uint8)).small_cells(cube_in_the_open())
