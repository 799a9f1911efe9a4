"""Arguments that do not fit are named before C++ sees them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from avatar_worker.render.errors import UnsupportedCharacterError
from avatar_worker.render.kernels.cpu import HeadKernel, PackedHead
from tests.unit.avatar_worker.kernels.characters import (
    audio_vector,
    camera_of,
    frontal_scene,
    made_up_head,
)

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def packed(kernel: HeadKernel) -> PackedHead:
    return kernel.pack(made_up_head())


def good_arguments() -> dict[str, Any]:
    scene = frontal_scene()
    return {
        "camera": camera_of(scene),
        "enc_a": audio_vector(),
        "eye": scene.eye,
        "background": scene.background,
        "original": scene.original,
        "mask": scene.mask,
        "out": np.empty_like(scene.background),
    }


def test_the_arguments_below_are_good_but_for_one(packed: PackedHead):
    assert packed.paint(**good_arguments()).used > 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("enc_a", np.zeros(31, np.float32)),
        ("enc_a", np.zeros(32)),
        ("enc_a", np.full(32, np.nan, np.float32)),
        ("eye", np.zeros(6, np.float32)),
        ("background", np.zeros((48, 47, 3), np.uint8)),
        ("background", np.zeros((48, 48, 3), np.float32)),
        ("background", np.zeros((48, 96, 3), np.uint8)[:, ::2]),
        ("mask", np.zeros((48, 48, 1), np.uint8)),
        ("original", None),
        ("out", np.zeros((48, 48, 4), np.uint8)),
        ("pixels", np.zeros(4, np.int64)),
        ("pixels", np.array([48 * 48], np.int32)),
        ("pixels", np.array([-1], np.int32)),
        ("cap", 0),
        ("threads", 0),
    ],
)
def test_a_wrong_argument_is_named(packed: PackedHead, name: str, value: object):
    with pytest.raises(ValueError, match=name):
        packed.paint(**(good_arguments() | {name: value}))


def test_a_pose_that_is_not_finite_is_named(packed: PackedHead):
    arguments = good_arguments()
    pose = arguments["camera"].pose.copy()
    pose[1, 3] = np.inf
    with pytest.raises(ValueError, match="pose"):
        packed.paint(**(arguments | {"camera": arguments["camera"]._replace(pose=pose)}))


@pytest.mark.parametrize("value", [7e4, float("nan"), float("inf")])
def test_a_table_that_half_precision_cannot_hold_is_refused(kernel: HeadKernel, value: float):
    head = made_up_head()
    head.encoder_yz[123] = value
    with pytest.raises(UnsupportedCharacterError, match="encoder_yz"):
        kernel.pack(head)


def test_weights_of_another_shape_are_refused(kernel: HeadKernel):
    head = replace(made_up_head(), sigma_1=torch.zeros(64, 63))
    with pytest.raises(UnsupportedCharacterError, match="sigma_1"):
        kernel.pack(head)


def test_a_box_longer_than_the_lattice_is_refused(kernel: HeadKernel):
    head = replace(made_up_head(), aabb=torch.tensor([-2.0, -2.0, -2.0, 2.0, 2.0, 2.0]))
    with pytest.raises(UnsupportedCharacterError, match="box"):
        kernel.pack(head)
