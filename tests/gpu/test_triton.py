"""The Triton painter on a GPU: against the recorded pictures, the exact painter, and itself."""

import numpy as np
import pytest
import torch

from avatar_worker.render import march as twin
from avatar_worker.render.data_folder import FootageScenes
from avatar_worker.render.kernels import triton as triton_kernels
from avatar_worker.render.occupancy import OccupancyGrid
from avatar_worker.render.renderer import FrameRequest, Renderer
from avatar_worker.render.scene import Frame
from avatar_worker.render.twin import TorchPainter
from tests.unit.avatar_worker import mini
from tests.unit.avatar_worker.kernels.characters import audio_vector, frontal_scene, made_up_head

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
    pytest.mark.skipif(
        torch.cuda.is_available() and not triton_kernels.draws_on(torch.device("cuda")),
        reason="no Triton, or a GPU that it has no matrix products for",
    ),
    pytest.mark.timeout(600),  # kernels are compiled
]

GPU = torch.device("cuda")
DTYPES = [torch.float16, torch.bfloat16]


def triton_painter(head, dtype=torch.float16):
    from avatar_worker.render.kernels.triton.painter import TritonPainter

    return TritonPainter(head, GPU, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("portrait", [False, True])
def test_pictures_are_those_of_the_original(portrait, dtype):
    reference = mini.golden("frames_portrait" if portrait else "frames_head")["image_uint8"]
    scenes = FootageScenes(mini.footage("val"), portrait=portrait)
    renderer = Renderer(triton_painter(mini.checkpoint().head(), dtype), scenes, portrait=portrait)
    for frame in range(8):  # the first plainly, the second captures, the others replay
        enc_a = mini.golden("frames_head")["enc_a"][frame]
        drawn = renderer.render(FrameRequest(enc_a, frame))
        assert mini.psnr(drawn, reference[frame]) >= 40.0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cap", [None, 20])
def test_pictures_of_any_size_and_number_are_those_of_the_exact_painter(cap, dtype):
    head, sizes = made_up_head(), ((31, 17), (128, 96), (1, 1))
    exact, painter = TorchPainter(head, GPU), triton_painter(head, dtype)
    scenes = [frontal_scene(height=height, width=width) for height, width in sizes]
    frames = [Frame(scene, audio_vector(i), scene.eye) for i, scene in enumerate(scenes)]
    for _ in range(3):
        drawn = painter.pictures(frames, portrait=cap is not None, cap=cap)
        for picture, frame in zip(drawn, frames, strict=True):
            expected = exact.picture(*frame, portrait=cap is not None, cap=cap)
            assert mini.psnr(picture, expected) >= 40.0


def test_occupied_points_are_bit_for_bit_those_of_the_twin():
    from avatar_worker.render.kernels.triton.march import occupied_points, pack_bits

    head = made_up_head()
    rays = TorchPainter(head, GPU).rays(frontal_scene(height=256, width=256))
    expected = twin.occupied_points(rays, OccupancyGrid(head.density_bitfield, GPU))
    found = occupied_points(rays, pack_bits(head.density_bitfield, GPU))
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours, theirs)


def test_look_ups_and_harmonics_are_those_of_the_twin():
    from avatar_worker.render import encodings
    from avatar_worker.render.field import HeadField
    from avatar_worker.render.kernels.triton.harmonics import harmonics
    from avatar_worker.render.kernels.triton.look_up import PlaneTables, look_up

    head, points = made_up_head(), torch.rand(10_001, 3, device=GPU) * 2.1 - 1.05
    features = HeadField(head, GPU).features(points)
    torch.testing.assert_close(
        look_up(points, PlaneTables.of(head, GPU)), features, rtol=0, atol=1e-6
    )
    expected = encodings.harmonics(points)
    torch.testing.assert_close(harmonics(points), expected, rtol=0, atol=1e-5)


def test_a_replayed_picture_is_the_plain_one():
    scene = frontal_scene(height=64, width=64)
    painter = triton_painter(made_up_head())
    drawn = [
        painter.picture(scene, audio_vector(seed), scene.eye, portrait=False, cap=None)
        for seed in (1, 2, 1, 2)  # plain, captured, replayed, replayed
    ]
    (stages,) = painter._stages.values()
    assert stages._first.graph is not None
    assert stages._finish.graph is not None
    assert np.array_equal(drawn[0], drawn[2])
    assert np.array_equal(drawn[1], drawn[3])
    assert not np.array_equal(drawn[0], drawn[1])
