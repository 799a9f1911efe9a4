"""The PyTorch painter on a GPU against the reference pictures."""

import numpy as np
import pytest
import torch

from avatar_worker.render.data_folder import FootageScenes
from avatar_worker.render.renderer import FrameRequest, Renderer
from avatar_worker.render.twin import TorchPainter
from tests.unit.avatar_worker import mini

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]


@pytest.mark.parametrize("portrait", [False, True])
def test_pictures_drawn_on_a_gpu_are_those_of_the_original(portrait):
    reference = mini.golden("frames_portrait" if portrait else "frames_head")["image_uint8"]
    scenes = FootageScenes(mini.footage("val"), portrait=portrait)
    painter = TorchPainter(mini.checkpoint().head(), "cuda")
    renderer = Renderer(painter, scenes, portrait=portrait)
    for frame in range(8):
        enc_a = mini.golden("frames_head")["enc_a"][frame]
        drawn = renderer.render(FrameRequest(enc_a, frame))
        assert np.mean(drawn == reference[frame]) >= 0.998
        assert mini.psnr(drawn, reference[frame]) >= 59.0
