"""A run can begin with what another character has learned, and says what it could not take."""

from pathlib import Path

import pytest
import torch

from avatar_worker.bundle_files import BundleError
from avatar_worker.commands.refusal import UsageError
from avatar_worker.render.errors import CheckpointError
from avatar_worker.slots import SHIPPED_CHARACTER
from avatar_worker.train.kernels import TrainerKernel
from avatar_worker.train.trainer import Trainer
from avatar_worker.train.warm_start import read_source, take_over
from tests.unit.avatar_worker import mini
from tests.unit.avatar_worker.train.test_resuming import compiled, made_up_data, trained

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def kernel() -> TrainerKernel:
    return compiled(threads=1)


def test_tables_and_networks_are_taken_and_the_code_is_not(kernel: TrainerKernel):
    trainer = Trainer(made_up_data(), kernel)
    code = trainer.head.code.detach().clone()
    theirs = read_source(mini.WORKSPACE)
    taken = take_over(trainer.tensors(), theirs)
    assert taken.refused == ()
    state = trainer.checkpoint()["model"]
    for name in ("encoder_xz.embeddings", "audio_net.encoder_fc1.0.bias", "sigma_net.net.0.weight"):
        assert name in taken.names
        assert torch.equal(state[name], theirs[name])
    assert torch.equal(state["individual_codes"][0], code)
    # Occupancy is the new data's hull, not the other head.
    assert not torch.equal(state["density_bitfield"], theirs["density_bitfield"])
    trained(trainer, 2)  # and it trains


def test_what_has_another_shape_is_left_and_said(kernel: TrainerKernel):
    trainer = Trainer(made_up_data(), kernel)
    mine = trainer.head.weights["eye_att_net.net.1.weight"].detach().clone()
    theirs = dict(mini.checkpoint().state)
    theirs["eye_att_net.net.1.weight"] = torch.zeros(4, 64)
    del theirs["unc_net.net.0.weight"]
    taken = take_over(trainer.tensors(), theirs)
    assert set(taken.refused) == {
        "eye_att_net.net.1.weight is 4 × 64, here 7 × 64",
        "unc_net.net.0.weight is not there",
    }
    assert "eye_att_net.net.1.weight is 4 × 64" in str(taken)
    assert torch.equal(trainer.head.weights["eye_att_net.net.1.weight"], mine)


def test_a_bundle_will_do(kernel: TrainerKernel):
    taken = take_over(Trainer(made_up_data(), kernel).tensors(), read_source(SHIPPED_CHARACTER))
    assert "encoder_xy.embeddings" in taken.names
    assert all("unc_net" in clause for clause in taken.refused)  # bundles hold what drawing needs


def test_anything_else_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="expected a checkpoint"):
        read_source(tmp_path)
    (tmp_path / "x.zip").write_bytes(b"no archive")
    with pytest.raises(BundleError):
        read_source(tmp_path / "x.zip")
    (tmp_path / "x.pth").write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError):
        read_source(tmp_path / "x.pth")
