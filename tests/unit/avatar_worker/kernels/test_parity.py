"""The compiled head against the recorded pictures and against its PyTorch twin."""

import numpy as np
import pytest
import torch

from avatar_worker.render.data_folder import FootageScenes, read_split
from avatar_worker.render.head import HeadWeights
from avatar_worker.render.kernels import Camera, order_pixels
from avatar_worker.render.kernels.cpu import HeadKernel
from avatar_worker.render.rays import Intrinsics
from avatar_worker.render.renderer import FrameRequest, Renderer
from avatar_worker.render.twin import TorchPainter
from tests.unit.avatar_worker.kernels.characters import (
    audio_vector,
    camera_of,
    fixture_folder,
    frontal_scene,
    golden,
    made_up_head,
    psnr,
    recorded_head,
)

pytestmark = pytest.mark.unit

LIVE_PSNR_DB = 60.0


def recorded_camera(frame: int) -> Camera:
    pose = golden("frames_head")["pose_c2w"][frame]
    intrinsics = Intrinsics(*golden("rays")["intrinsics"].tolist())
    return Camera(np.ascontiguousarray(pose), intrinsics, 128, 128)


def test_the_recorded_frame_is_met_ray_by_ray(kernel: HeadKernel):
    march, frames = golden("march"), golden("frames_head")
    frame = int(march["march_frame"][0])
    sums = kernel.pack(recorded_head()).sums(
        recorded_camera(frame), frames["enc_a"][frame], frames["eye"][frame],
        pixels=np.arange(128 * 128, dtype=np.int32),
    )  # fmt: skip
    assert psnr(sums.rgb, march["rgb_raw"]) >= LIVE_PSNR_DB
    assert psnr(sums.weight, march["weights_sum"]) >= LIVE_PSNR_DB
    # A ray whose transmittance ends near the floor may have one sample more or less.
    assert np.mean(sums.samples == march["sample_count"]) > 0.99
    assert np.abs(sums.samples.astype(int) - march["sample_count"]).max() <= 2
    # The rule of the whole picture: the recorded rounds offered this many.
    assert sums.counts.cap == march["rounds"][:, 1].sum()
    assert sums.counts.used == sums.samples.sum()


@pytest.mark.parametrize("frame", [0, 7])
def test_recorded_pictures_and_portraits_are_met_level_by_level(kernel: HeadKernel, frame: int):
    heads, portraits = golden("frames_head"), golden("frames_portrait")
    footage = read_split(fixture_folder() / "data" / "mini", "val", "upper")
    scene = FootageScenes(footage, portrait=True).scene(frame)
    packed, enc_a = kernel.pack(recorded_head()), heads["enc_a"][frame]
    out = np.empty((128, 128, 3), np.uint8)
    packed.paint(camera_of(scene), enc_a, scene.eye, background=scene.background, out=out)
    assert_close_levels(out, heads["image_uint8"][frame])
    packed.paint(
        camera_of(scene), enc_a, scene.eye,
        background=scene.background, original=scene.original, mask=scene.mask, out=out,
    )  # fmt: skip
    assert_close_levels(out, portraits["image_uint8"][frame])


def assert_close_levels(drawn: np.ndarray, recorded: np.ndarray) -> None:
    difference = np.abs(drawn.astype(int) - recorded)
    assert np.mean(difference <= 1) > 0.998
    assert psnr(drawn / 255.0, recorded / 255.0) > 50.0


@pytest.mark.parametrize(
    ("n_eye", "n_hidden", "sigmoid"),
    [(1, 16, False), (2, 64, False), (4, 64, False), (7, 64, False), (7, 64, True)],
)
def test_every_eye_network_is_drawn_like_the_twin(
    kernel: HeadKernel, n_eye: int, n_hidden: int, sigmoid: bool
):
    head = made_up_head(n_eye, n_hidden=n_hidden, sigmoid=sigmoid)
    scene = frontal_scene(n_eye)
    expected = TorchPainter(head).sums(scene, audio_vector(), scene.eye)
    found = kernel.pack(head).sums(
        camera_of(scene), audio_vector(), scene.eye, pixels=np.arange(48 * 48, dtype=np.int32)
    )
    assert expected.weight.max() > 0.9  # there is something to see
    assert psnr(found.rgb, expected.rgb.numpy()) > 50.0  # random weights are harsher than a face
    assert psnr(found.weight, expected.weight.numpy()) > 50.0
    # Rays stop as the twin's do, up to samples near the transmittance floor.
    assert np.mean(found.samples == expected.count.numpy()) > 0.97
    assert found.counts.cap == sum(step for _, step in expected.rounds)


@pytest.mark.parametrize("cap", [1, 5, 20])
def test_a_cap_stops_every_ray_where_the_twin_stops_it(kernel: HeadKernel, cap: int):
    head, scene = made_up_head(), frontal_scene()
    pixels = order_pixels(48, 48, scene.mask)
    expected = TorchPainter(head).sums(
        scene, audio_vector(), scene.eye, pixels=pixels.astype(np.int64), cap=cap
    )
    found = kernel.pack(head).sums(
        camera_of(scene), audio_vector(), scene.eye, pixels=pixels, cap=cap
    )
    assert found.samples.max() <= cap
    assert psnr(found.rgb, expected.rgb.numpy()) > 50.0


def test_the_box_of_the_character_bounds_the_rays(kernel: HeadKernel):
    head, scene = made_up_head(), frontal_scene()
    cut = HeadWeights.from_tensors(
        head.tensors() | {"aabb": torch.tensor([-1.0, -0.5, -1.0, 0.1, 0.2, 0.3])}
    )
    expected = TorchPainter(cut).sums(scene, audio_vector(), scene.eye)
    pixels = np.arange(48 * 48, dtype=np.int32)
    found = kernel.pack(cut).sums(camera_of(scene), audio_vector(), scene.eye, pixels=pixels)
    whole = kernel.pack(head).sums(camera_of(scene), audio_vector(), scene.eye, pixels=pixels)
    assert psnr(found.rgb, expected.rgb.numpy()) > 50.0
    assert psnr(found.rgb, whole.rgb) < 35.0  # the box does cut something


@pytest.mark.parametrize(("height", "width"), [(1, 1), (31, 17), (48, 64)])
def test_portraits_of_any_size_equal_the_renderer_of_the_twin(
    kernel: HeadKernel, height: int, width: int
):
    head, scene = made_up_head(), frontal_scene(height=height, width=width)
    expected = Renderer(TorchPainter(head), None, portrait=True).render(
        FrameRequest(enc_a=audio_vector(), scene=scene)
    )
    out = np.empty_like(scene.background)
    kernel.pack(head).paint(
        camera_of(scene), audio_vector(), scene.eye,
        background=scene.background, original=scene.original, mask=scene.mask, out=out,
    )  # fmt: skip
    assert scene.mask is not None
    assert np.array_equal(out[scene.mask == 0], expected[scene.mask == 0])
    assert np.mean(np.abs(out.astype(int) - expected) <= 1) >= 0.98


def test_a_head_as_thin_as_air_leaves_the_background(kernel: HeadKernel):
    head, scene = made_up_head(), frontal_scene()
    head.sigma_2[0] = -head.sigma_2[0].abs() - 5.0  # hidden values are positive: e to less than −5
    out = np.empty_like(scene.background)
    counts = kernel.pack(head).paint(
        camera_of(scene), audio_vector(), scene.eye, background=scene.background, out=out
    )
    assert counts.used > 0
    assert np.abs(out.astype(int) - scene.background).max() <= 1


def test_a_camera_that_looks_away_shows_the_background(kernel: HeadKernel):
    scene = frontal_scene()
    pose = scene.pose.copy()
    pose[:3, 2] *= -1
    out = np.empty_like(scene.background)
    counts = kernel.pack(made_up_head()).paint(
        camera_of(scene)._replace(pose=pose), audio_vector(), scene.eye,
        background=scene.background, out=out,
    )  # fmt: skip
    # v / 255 · 255 in float32 comes back to v for every v.
    assert np.array_equal(out, scene.background)
    assert counts.used == 0
