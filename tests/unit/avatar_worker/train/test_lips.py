"""Patches of the lips: where they lie, what they teach, and when there are none."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from avatar_worker.train.errors import TrainingError
from avatar_worker.train.footage import Rectangle, lips_square
from avatar_worker.train.kernels import load_trainer
from avatar_worker.train.lips import draw_patches, structure_loss
from avatar_worker.train.trainer import Trainer
from tests.unit.avatar_worker.train.test_resuming import SIZE, made_up_data

pytestmark = pytest.mark.unit


def stripes(contrast: float, shift: int = 0) -> torch.Tensor:
    x = torch.arange(48) + shift
    row = 0.5 + contrast * torch.sin(x * 0.9)
    return row.expand(1, 3, 48, 48)


def test_structure_prefers_the_right_contrast_at_the_right_place():
    true = stripes(0.2)
    assert structure_loss(true, true) == pytest.approx(0, abs=1e-6)
    soft, late, flat = stripes(0.1), stripes(0.2, 2), stripes(0.0)
    assert 0 < structure_loss(soft, true) < structure_loss(late, true)
    assert structure_loss(soft, true) < structure_loss(flat, true)
    # Brightness is not its business, and of what is flat there is nothing to say.
    assert structure_loss(true + 0.1, true) == pytest.approx(0, abs=1e-3)
    assert structure_loss(flat, flat + 0.01) == pytest.approx(0, abs=1e-4)


def test_its_gradient_sharpens_a_soft_patch():
    true = stripes(0.2)
    drawn = stripes(0.05).clone().requires_grad_()
    structure_loss(drawn, true).backward()
    assert drawn.grad is not None
    # Going down the gradient raises what is bright and lowers what is dark.
    assert float((drawn.grad * (true - 0.5)).sum()) < 0


def test_a_patch_lies_in_the_lips_and_its_rays_side_by_side():
    frames = made_up_data().frames
    patches = draw_patches(frames, SIZE, torch.Generator().manual_seed(0))
    assert patches is not None
    assert patches.sides == ((30, 30), (30, 30))
    first, count = patches.rays, patches.rays.counts[0]
    row, column = np.divmod(first.pixel[:count].numpy(), SIZE)
    lips = frames[0].lips
    assert row.min() >= lips.top
    assert row.max() < lips.bottom
    assert column.min() >= lips.left
    assert column.max() < lips.right
    assert (np.diff(first.pixel[:count].numpy()) > 0).all()
    assert first.jitter[:count].unique().numel() == 1
    assert int(patches.covered[0].sum()) == count
    colors = torch.full((len(first.pixel), 3), 0.4)
    loss, gradient = patches.gradient(colors)
    assert loss > 0
    assert gradient.shape == colors.shape
    assert float(gradient.abs().max()) > 0
    same, _ = patches.gradient(first.target)
    assert same == pytest.approx(0, abs=1e-6)


def test_pixels_beside_the_head_are_left_out():
    frame = replace(made_up_data().frames[0], lips=Rectangle(2, 40, 2, 40))
    patches = draw_patches([frame], SIZE, torch.Generator().manual_seed(0))
    assert patches is not None
    assert 0 < patches.rays.counts[0] < 38 * 38
    assert patches.gradient(patches.rays.target)[0] == pytest.approx(0, abs=1e-6)


def test_small_lips_and_lips_that_are_not_there_have_no_patches():
    frame = made_up_data().frames[0]
    random = torch.Generator().manual_seed(0)
    assert draw_patches([replace(frame, lips=Rectangle(20, 40, 20, 40))], SIZE, random) is None
    assert draw_patches([replace(frame, lips=Rectangle(0, 40, 60, 60))], SIZE, random) is None
    try:
        kernel = load_trainer(threads=1)
    except TrainingError as error:
        pytest.skip(str(error))
    data = made_up_data()
    small = [replace(frame, lips=Rectangle(20, 40, 20, 40)) for frame in data.frames]
    trainer = Trainer(replace(data, frames=small), kernel)
    for _ in range(2):
        trainer.step(0.9)  # an ordinary step instead
    assert trainer.progress.step == 2


def test_the_square_is_that_of_the_original():
    points = np.full((68, 2), 50.0)
    points[48], points[54] = (30, 60), (71, 62)  # corners
    points[51], points[57] = (50, 54.9), (50, 75.2)
    # Rows 50 … 75, columns 30 … 71: centre (62, 50), half of the longer side 20.
    assert lips_square(points, 100, 100) == (42, 82, 30, 70)
    assert lips_square(points, 60, 80) == (42, 80, 30, 60)
