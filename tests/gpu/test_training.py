"""Training on a GPU: the step in PyTorch does there what it does on the CPU."""

import pytest
import torch

from avatar_worker.train.kernels import TwinKernel
from avatar_worker.train.torso import TorsoTrainer, read_torso_data
from avatar_worker.train.trainer import Trainer
from tests.unit.avatar_worker import mini
from tests.unit.avatar_worker.train.test_resuming import made_up_data

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_a_head_trains_as_on_the_cpu_and_its_run_goes_on_there():
    data = made_up_data()
    runs = [Trainer(data, TwinKernel(device)) for device in ("cpu", "cuda")]
    for step in range(10):
        for run in runs:
            run.step(step / 10)  # the last ones look at the lips
        assert runs[1].progress.loss == pytest.approx(runs[0].progress.loss, rel=5e-3)
    state = runs[1].state()
    assert all(tensor.device.type == "cpu" for tensor in state["weights"].values())
    runs[0].restore(state)
    runs[0].step(0.95)


def test_a_torso_trains_as_on_the_cpu():
    data = read_torso_data(mini.DATA, "train", lambda *_: None)
    runs = [
        TorsoTrainer(data, mini.checkpoint().state, {}, 0, device) for device in ("cpu", "cuda")
    ]
    for step in range(18):
        for run in runs:
            run.step(step / 18)
        assert runs[1].progress.loss == pytest.approx(runs[0].progress.loss, rel=5e-3)
    assert runs[1].checkpoint()["mean_density_torso"] > 0
