"""Samples that are known to be empty are not evaluated, and nothing else changes."""

import numpy as np
import pytest
import torch

from avatar_worker.render.field import HeadField
from avatar_worker.render.finer_grid import FinerGrid, Moment, find_empty
from avatar_worker.render.head import HeadWeights
from avatar_worker.render.kernels import order_pixels
from avatar_worker.render.kernels.cpu import HeadKernel
from avatar_worker.render.march import STEP
from tests.unit.avatar_worker.kernels.characters import (
    audio_vector,
    camera_of,
    cube_in_the_open,
    frontal_scene,
    made_up_head,
    psnr,
)

pytestmark = pytest.mark.unit

STATED_DB = 60.0


def uniform_grid(head: HeadWeights, *, filled: bool) -> FinerGrid:
    n_occupied = int(np.unpackbits(head.density_bitfield.numpy()).sum())
    return FinerGrid(np.full(n_occupied, 255 if filled else 0, np.uint8))


@pytest.mark.parametrize("cap", [None, 20])
def test_a_grid_that_keeps_everything_changes_no_bit(kernel: HeadKernel, cap: int | None):
    head, scene = made_up_head(), frontal_scene()
    pixels = order_pixels(48, 48)
    plain, finer = (
        kernel.pack(head, grid).sums(
            camera_of(scene), audio_vector(), scene.eye, pixels=pixels, cap=cap
        )
        for grid in (None, uniform_grid(head, filled=True))
    )
    assert np.array_equal(finer.rgb, plain.rgb)
    assert np.array_equal(finer.weight, plain.weight)
    assert np.array_equal(finer.samples, plain.samples)
    assert finer.counts == plain.counts


@pytest.mark.parametrize("cap", [None, 20])
def test_empty_samples_count_and_are_not_evaluated(kernel: HeadKernel, cap: int | None):
    head, scene = cube_in_the_open(), frontal_scene(height=96, width=96)
    # Straight through its faces: 0.07 / 0.027 empty steps, six of fog, and empty ones again.
    plain = kernel.pack(head)
    grid = find_empty(head, plain, [Moment(audio_vector(), scene.eye)])
    assert 0.05 < grid.filled_share < 0.2  # (0.08 / 0.15)³ = 0.15, less where features begin
    pixels = order_pixels(96, 96)
    expected, found = (
        packed.sums(camera_of(scene), audio_vector(), scene.eye, pixels=pixels, cap=cap)
        for packed in (plain, kernel.pack(head, grid))
    )
    assert expected.weight.max() > 0.1  # there is something to see
    assert psnr(found.rgb, expected.rgb) > STATED_DB
    assert psnr(found.weight, expected.weight) > STATED_DB
    assert found.counts.evaluated < 0.8 * expected.counts.evaluated
    assert np.array_equal(found.samples, expected.samples)
    assert found.counts.lengths == expected.counts.lengths
    assert found.counts.used == expected.counts.used
    assert found.counts.cap == expected.counts.cap


@pytest.mark.parametrize("cap", [None, 3, 20])
def test_a_ray_that_meets_nothing_but_empty_samples_costs_nothing(
    kernel: HeadKernel, cap: int | None
):
    head, scene = cube_in_the_open(), frontal_scene(height=96, width=96)
    head.sigma_2[0] -= 1e-3  # thin everywhere, but for places without features
    pixels = order_pixels(96, 96)
    expected, found = (
        kernel.pack(head, grid).sums(
            camera_of(scene), audio_vector(), scene.eye, pixels=pixels, cap=cap
        )
        for grid in (None, uniform_grid(head, filled=False))
    )
    assert found.counts.evaluated == 0
    assert np.all(found.weight == 0)
    # No ray is opaque, so that each has as many samples as it is offered, evaluated or not.
    assert np.array_equal(found.samples, expected.samples)
    assert found.counts.lengths == expected.counts.lengths
    assert found.counts.used == expected.counts.used > 0
    assert found.counts.cap == expected.counts.cap


def test_pictures_without_samples_show_what_is_behind(kernel: HeadKernel):
    head, scene = made_up_head(), frontal_scene()
    packed, out = kernel.pack(head, uniform_grid(head, filled=False)), np.empty((48, 48, 3), "u1")
    packed.paint(
        camera_of(scene), audio_vector(), scene.eye, background=scene.background, out=out
    )  # fmt: skip
    assert np.array_equal(out, scene.background)


def test_neither_threads_nor_the_order_of_pixels_change_what_is_spared(kernel: HeadKernel):
    head, scene = cube_in_the_open(), frontal_scene(height=96, width=96)
    grid = find_empty(head, kernel.pack(head), [Moment(audio_vector(), scene.eye)])
    packed, ordered = kernel.pack(head, grid), order_pixels(96, 96)
    first = packed.sums(camera_of(scene), audio_vector(), scene.eye, pixels=ordered, threads=1)
    other = packed.sums(
        camera_of(scene), audio_vector(), scene.eye, threads=5,
        pixels=np.arange(96 * 96, dtype=np.int32),
    )  # fmt: skip
    assert np.array_equal(first.rgb, other.rgb[ordered])
    assert first.counts.lengths == other.counts.lengths


def test_opacities_are_those_of_the_twin(kernel: HeadKernel):
    head, scene = made_up_head(), frontal_scene()
    points = np.random.default_rng(0).uniform(-1, 1, (1300, 3)).astype(np.float32)
    with torch.inference_mode():
        sigma = HeadField(head, torch.device("cpu"))(
            torch.from_numpy(points), torch.zeros(1300, 3),
            torch.from_numpy(audio_vector()), torch.from_numpy(scene.eye),
        ).sigma.numpy()  # fmt: skip
    found = kernel.pack(head).opacities(points, audio_vector(), scene.eye)
    assert psnr(found, 1 - np.exp(-sigma * STEP)) > 50.0  # random weights are harsher than a face


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("points", np.zeros((4, 2), np.float32)),
        ("points", np.zeros((4, 3))),
        ("points", np.zeros((3, 4), np.float32).T),
        ("enc_a", np.full(32, np.nan, np.float32)),
        ("eye", np.zeros(6, np.float32)),
    ],
)
def test_a_wrong_argument_of_opacities_is_named(kernel: HeadKernel, name: str, value: np.ndarray):
    arguments = {
        "points": np.zeros((4, 3), np.float32),
        "enc_a": audio_vector(),
        "eye": np.zeros(7, np.float32),
    }
    with pytest.raises(ValueError, match=name):
        kernel.pack(made_up_head()).opacities(**(arguments | {name: value}))
