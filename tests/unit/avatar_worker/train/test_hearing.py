"""A head can borrow ears that know speech: pictures say what they should have heard."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from avatar_worker.audio.encoder import AveEncoder
from avatar_worker.audio.errors import EncoderError
from avatar_worker.audio.pooling import AudioNetworks
from avatar_worker.slots import SHIPPED_CHARACTER
from avatar_worker.train.audio_networks import audio_vectors, is_audio_weight
from avatar_worker.train.checkpoints import write_head
from avatar_worker.train.ears import BorrowedEars
from avatar_worker.train.errors import TrainingError
from avatar_worker.train.hearing import CONTEXT_ENCODER_FILE, NETWORKS_FILE, open_hearing
from avatar_worker.train.kernels import TrainerKernel, TwinKernel
from avatar_worker.train.trainer import Trainer
from avatar_worker.train.warm_start import read_source, take_over
from avatar_worker.trained import read_encoder
from tests.unit.avatar_worker import mini
from tests.unit.avatar_worker.train.test_resuming import N_STEPS, compiled, made_up_data, trained

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def kernel() -> TrainerKernel:
    return compiled(threads=1)


def ears() -> dict[str, torch.Tensor]:
    """Audio networks of the small character."""
    return {k: v.float() for k, v in mini.checkpoint().state.items() if is_audio_weight(k)}


def borrowing(kernel: TrainerKernel) -> Trainer:
    trainer = Trainer(made_up_data(), kernel)
    trainer.borrow_ears(ears())
    return trainer


def test_networks_in_training_are_those_in_use():
    windows = torch.randn(3, 8, 512, generator=torch.Generator().manual_seed(0))
    networks = AudioNetworks(ears())
    found = audio_vectors(ears(), windows)
    for window, vector in zip(windows, found, strict=True):
        in_use = networks.pool([networks.step(feature) for feature in window])
        torch.testing.assert_close(vector, in_use, rtol=1e-5, atol=1e-6)


def test_pictures_move_each_frames_vector(kernel: TrainerKernel, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("avatar_worker.train.ears.VECTORS_FROM_STEP", N_STEPS // 2)
    trainer = borrowing(kernel)
    assert isinstance(trainer.ears, BorrowedEars)
    heard = trainer.ears.vectors.clone()
    trained(trainer, N_STEPS // 2)
    assert torch.equal(trainer.ears.vectors, heard)  # a head that knows nothing corrects nothing
    trained(trainer, N_STEPS // 2)
    assert (trainer.ears.vectors - heard).abs().amax(dim=1).min() > 0
    assert all(torch.equal(trainer.head.weights[key], tensor) for key, tensor in ears().items())


def test_what_is_stored_has_learned_to_hear_the_frames_vectors(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("avatar_worker.train.ears.ADAPTING_STEPS", 200)
    trainer = Trainer(made_up_data(), TwinKernel("cpu"))
    windows = torch.randn(32, 8, 512, generator=torch.Generator().manual_seed(0))
    borrowed = BorrowedEars(trainer.head, windows, ears())
    heard = borrowed.vectors.clone()
    borrowed.vectors += 0.5
    stored = borrowed.networks()
    wrong = (audio_vectors(stored, windows) - borrowed.vectors).square().mean()
    assert wrong < 0.9 * (heard - borrowed.vectors).square().mean()
    assert all(torch.equal(tensor, stored[key]) for key, tensor in borrowed.networks().items())


def test_a_resumed_run_hears_with_the_same_ears(
    kernel: TrainerKernel, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("avatar_worker.train.ears.VECTORS_FROM_STEP", 2)
    whole = trained(borrowing(kernel), N_STEPS)
    broken = trained(borrowing(kernel), N_STEPS // 2)
    resumed = Trainer(made_up_data(), kernel)
    resumed.restore(broken.state())
    trained(resumed, N_STEPS // 2)
    assert torch.equal(resumed.head.tables, whole.head.tables)
    assert isinstance(whole.ears, BorrowedEars)
    assert isinstance(resumed.ears, BorrowedEars)
    assert torch.equal(resumed.ears.vectors, whole.ears.vectors)


def test_a_run_goes_on_with_other_ears(kernel: TrainerKernel, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("avatar_worker.train.ears.VECTORS_FROM_STEP", 2)
    before = trained(borrowing(kernel), N_STEPS)
    assert isinstance(before.ears, BorrowedEars)
    heard_otherwise = replace(made_up_data(), windows=made_up_data().windows + 0.1)
    better = {key: tensor * 1.1 for key, tensor in ears().items()}
    after = Trainer(heard_otherwise, kernel)
    with pytest.raises(TrainingError, match="another audio encoder"):
        after.restore(before.state())
    after.restore(before.state(), better)
    assert isinstance(after.ears, BorrowedEars)
    assert torch.equal(after.ears.vectors, before.ears.vectors)  # what pictures taught stays
    assert all(torch.equal(after.head.weights[key], tensor) for key, tensor in better.items())
    trained(after, 2)


def test_a_run_with_ears_of_its_own_takes_no_others(kernel: TrainerKernel):
    own = trained(Trainer(made_up_data(), kernel), 1)
    with pytest.raises(TrainingError, match="--restart"):
        Trainer(made_up_data(), kernel).restore(own.state(), ears())


def test_a_warm_start_leaves_borrowed_ears_alone(kernel: TrainerKernel):
    trainer = borrowing(kernel)
    taken = take_over(trainer.tensors(), read_source(SHIPPED_CHARACTER))
    assert "encoder_xy.embeddings" in taken.names
    assert not any(is_audio_weight(name) for name in taken.names)


def test_networks_that_do_not_fit_are_refused(kernel: TrainerKernel):
    networks = ears()
    networks["audio_net.encoder_fc1.0.weight"] = torch.zeros(64, 29)
    with pytest.raises(TrainingError, match=r"audio_net\.encoder_fc1\.0\.weight of \[256, 512\]"):
        Trainer(made_up_data(), kernel).borrow_ears(networks)


def test_a_character_lends_encoder_and_networks():
    hearing = open_hearing(mini.DATA, ears=SHIPPED_CHARACTER)
    assert hearing.networks is not None
    assert "audio_att_net.attentionNet.0.weight" in hearing.networks


def test_a_folder_of_the_encoders_recipe_lends_both(tmp_path: Path):
    save_file(read_encoder(mini.ENCODER), tmp_path / CONTEXT_ENCODER_FILE)
    save_file(ears(), tmp_path / NETWORKS_FILE)
    hearing = open_hearing(mini.DATA, ears=tmp_path)
    assert hearing.networks is not None
    assert hearing.networks.keys() == ears().keys()


def test_a_workspace_lends_what_its_newest_head_hears_with(kernel: TrainerKernel, tmp_path: Path):
    encoder = read_encoder(mini.ENCODER)
    trainer = Trainer(replace(made_up_data(), encoder=encoder), kernel)
    trainer.borrow_ears(ears())
    write_head(tmp_path, trainer.checkpoint())
    hearing = open_hearing(mini.DATA, ears=tmp_path)
    assert hearing.encoder.hears_like(AveEncoder(encoder))
    assert hearing.networks is not None
    assert hearing.networks.keys() >= ears().keys()
    other = encoder | {"0.conv_block.0.bias": encoder["0.conv_block.0.bias"] + 1}
    assert not hearing.encoder.hears_like(AveEncoder(other))


def test_a_workspace_of_the_original_has_no_encoder_to_lend():
    with pytest.raises(EncoderError, match="does not hold the audio encoder"):
        open_hearing(mini.DATA, ears=mini.WORKSPACE)


def test_without_ears_the_head_trains_its_own():
    assert open_hearing(mini.DATA, mini.ENCODER).networks is None


def test_what_has_no_ears_is_refused(tmp_path: Path):
    for path in (tmp_path / "nobody", tmp_path):
        with pytest.raises(EncoderError, match=f"{path} is neither a bundle .character.toml., nor"):
            open_hearing(mini.DATA, ears=path)
    save_file(ears(), tmp_path / NETWORKS_FILE)
    with pytest.raises(EncoderError, match="no audio encoder"):
        open_hearing(mini.DATA, ears=tmp_path)
