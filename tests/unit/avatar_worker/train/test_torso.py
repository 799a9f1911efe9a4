"""A torso is trained for a head, drawn by our loader, and resumed to the bit."""

from pathlib import Path

import numpy as np
import pytest
import torch

from avatar_worker.render.checkpoint import find_checkpoint, read_checkpoint
from avatar_worker.render.checkpoint_layout import expected_dtype, torso_shapes
from avatar_worker.render.torso import TorsoField
from avatar_worker.train.checkpoints import read_state, write_head, write_state
from avatar_worker.train.command import main
from avatar_worker.train.errors import TrainingError
from avatar_worker.train.scores import HeldOutTorso
from avatar_worker.train.torso import TorsoData, TorsoTrainer, read_torso_data
from avatar_worker.trained import open_trained, read_encoder
from tests.unit.avatar_worker import mini

pytestmark = pytest.mark.unit

N_STEPS = 18  # occupancy is looked at twice


@pytest.fixture(scope="module")
def data() -> TorsoData:
    return read_torso_data(mini.DATA, "train", lambda *_: None)


@pytest.fixture(autouse=True)
def few_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatar_worker.train.torso.PIXELS_PER_FRAME", 512)


def trainer(data: TorsoData, seed: int = 0) -> TorsoTrainer:
    return TorsoTrainer(data, mini.checkpoint().state, read_encoder(mini.ENCODER), seed)


def trained(torso: TorsoTrainer, steps: int) -> TorsoTrainer:
    for _ in range(steps):
        torso.step(torso.progress.step / N_STEPS)
    return torso


def test_training_comes_near_the_torso_pictures(data: TorsoData):
    torso = trainer(data)
    held_out = HeldOutTorso(data)
    before = held_out.score(torso.checkpoint()).rank_db
    for _ in range(70):
        torso.step(0.0)
    assert held_out.score(torso.checkpoint()).rank_db > before + 1


def test_a_resumed_torso_equals_an_uninterrupted_one(data: TorsoData, tmp_path: Path):
    whole = trained(trainer(data), N_STEPS)
    write_state(tmp_path, trained(trainer(data), 7).state())
    state = read_state(tmp_path)
    assert state is not None
    other = trainer(data, seed=99)
    other.restore(state)
    trained(other, N_STEPS - 7)
    expected = whole.checkpoint()
    found = other.checkpoint()
    assert found["mean_density_torso"] == expected["mean_density_torso"]
    for key, tensor in expected["model"].items():
        assert torch.equal(found["model"][key], tensor), key


def test_what_is_written_is_a_head_with_its_torso(data: TorsoData, tmp_path: Path):
    torso = trained(trainer(data), 3)
    write_head(tmp_path, torso.checkpoint())
    checkpoint = read_checkpoint(find_checkpoint(tmp_path))
    assert str(checkpoint.flavour).startswith("SyncTalk head and torso")
    for key, shape in {**torso_shapes(), "individual_codes_torso": (20_000, 8)}.items():
        assert tuple(checkpoint.state[key].shape) == shape, key
        assert checkpoint.state[key].dtype == expected_dtype(key), key
    for key, tensor in mini.checkpoint().state.items():
        assert torch.equal(checkpoint.state[key], tensor), key
    encoder = read_encoder(mini.ENCODER)  # the one that the head hears with goes along
    assert all(torch.equal(tensor, encoder[key]) for key, tensor in checkpoint.encoder.items())
    assert checkpoint.encoder
    # What the loader draws is what was trained, occupancy included.
    still = np.zeros((128, 128, 3), np.float32)
    pose = data.poses[4].numpy()
    expected = TorsoField(torso.weights()).over(pose, still)
    assert expected.max() > 0.1
    assert np.array_equal(TorsoField(checkpoint.torso()).over(pose, still), expected)


def test_a_torso_of_other_pictures_is_refused(data: TorsoData):
    state = trainer(data).state()
    with pytest.raises(TrainingError, match="other data"):
        trainer(read_torso_data(mini.DATA, "val", lambda *_: None)).restore(state)


def test_the_command_trains_goes_on_and_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    workspace = tmp_path / "torso"

    def call(*more: str) -> int:
        return main(["--data", str(mini.DATA), "--workspace", str(workspace), "--torso",
                     "--threads", "2", *more])  # fmt: skip

    assert call("--steps", "2") == 2
    assert "--head-ckpt" in capsys.readouterr().err
    assert call("--steps", "2", "--head-ckpt", str(mini.WORKSPACE)) == 0
    assert call("--steps", "4") == 0  # the head is remembered
    state = read_state(workspace)
    assert state is not None
    assert state["progress"]["step"] == 4
    character = open_trained(mini.DATA, workspace, torso=True).character(portrait=False)
    assert character.scenes is not None
    assert character.scenes.scene(0).background.dtype == np.float32
    # The same workspace is not taken for a head's.
    code = main(["--data", str(mini.DATA), "--workspace", str(workspace), "--steps", "9"])
    assert code == 2
    assert "holds the training of a torso" in capsys.readouterr().err
