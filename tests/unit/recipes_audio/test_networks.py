"""Audio networks that are taught the mouth, for every character."""

import numpy as np
import pytest
import torch
from torch import Tensor

from avatar_worker.audio.pooling import AudioNetworks
from avatar_worker.recipes.audio_encoder.augment import network_scale
from avatar_worker.recipes.audio_encoder.feature_step import Windows, sound_windows
from avatar_worker.recipes.audio_encoder.gate_step import FILES, shipped_files, trained_ears
from avatar_worker.recipes.audio_encoder.hearing import HeardFrames, MouthNetworks, loss_of
from avatar_worker.recipes.audio_encoder.mouth import CLOSE
from avatar_worker.recipes.audio_encoder.network import Encoder, Heads, TrainedContext
from avatar_worker.recipes.audio_encoder.networks_step import (
    NetworksPlan,
    NetworksTrainer,
    make_networks,
    settle_networks,
)
from avatar_worker.recipes.audio_encoder.noise_bank import noise_bank
from avatar_worker.recipes.audio_encoder.together_step import (
    TogetherPlan,
    TogetherTrainer,
    train_together,
)
from avatar_worker.recipes.audio_encoder.training_run import NotTrainedError, Run
from avatar_worker.train.hearing import open_hearing

pytestmark = pytest.mark.unit


def two_sounds() -> Windows:
    rng = np.random.default_rng(0)
    made = []
    for _ in range(2):
        curves = np.clip(rng.normal(0.3, 0.2, (201, 9)), 0, 1)
        phones = np.repeat([0, 5], (100, 101)).astype(np.uint8)
        samples = rng.normal(0, 0.05, 16_000).astype(np.float32)
        made.append(sound_windows(samples, curves, phones))
    return Windows.joined(made)


def test_a_frame_sees_its_own_sound_alone():
    windows = two_sounds()
    n = int((windows.sounds == 0).sum())
    features = np.arange(len(windows.starts), dtype=np.float32)[:, None]
    heard = HeardFrames.of(windows, features)
    assert heard.windows(torch.tensor([6]))[0, :, 0].tolist() == [2, 3, 4, 5, 6, 7, 8, 9]
    assert heard.windows(torch.tensor([n]))[0, :5, 0].tolist() == [n] * 5
    assert heard.windows(torch.tensor([n - 1]))[0, 4:, 0].tolist() == [n - 1] * 4
    speaking = heard.said.targets[:n, -1]
    assert speaking[0] == 0
    assert speaking[-1] == pytest.approx(1)
    assert ((speaking > 0.1) & (speaking < 0.9)).sum() >= 3


def test_an_open_mouth_where_lips_close_costs_more_than_the_reverse():
    closed, open_ = torch.zeros(1, 10), torch.zeros(1, 10)
    closed[0, CLOSE] = 1
    assert loss_of(open_, closed) == pytest.approx(3 * loss_of(closed, open_))


def test_the_vector_is_the_mouth_and_nothing_else():
    networks = MouthNetworks()
    in_use = AudioNetworks(networks.tensors())
    windows = torch.randn(40, 8, 512, generator=torch.Generator().manual_seed(2))
    vectors = [in_use.pool([in_use.step(feature) for feature in each]) for each in windows]
    assert torch.linalg.matrix_rank(torch.stack(vectors), atol=1e-4) <= 10


NETWORKS = NetworksPlan(total_sequences=8, batch_sequences=2, frames=5)
TOGETHER = TogetherPlan(total_sequences=8, batch_sequences=2, frames=5)


def start() -> dict[str, object]:
    """A trained encoder's state."""
    torch.manual_seed(3)
    state = {"encoder": Encoder().state_dict(), "heads": Heads().state_dict()}
    return {**state, "drawn": 24, "total": 24}


def networks_trainer() -> NetworksTrainer:
    windows = two_sounds()
    features = np.random.default_rng(1).random((len(windows.starts), 512))
    return NetworksTrainer(HeardFrames.of(windows, features), NETWORKS)


def together_trainer() -> TogetherTrainer:
    noise = torch.from_numpy(noise_bank([], seconds_each=2.0))
    return TogetherTrainer(two_sounds(), noise, start() | networks_trainer().state(), TOGETHER)


@pytest.mark.parametrize("trainer", [networks_trainer, together_trainer])
def test_a_resumed_run_ends_where_an_unbroken_one_does(trainer, tmp_path):
    whole: Run = trainer()
    for _ in range(4):
        expected = whole.train_step()
    broken = trainer()
    for _ in range(2):
        broken.train_step()
    torch.save(broken.state(), tmp_path / "state.pt")
    resumed = trainer()
    resumed.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    resumed.train_step()
    assert resumed.train_step() == pytest.approx(expected, rel=1e-4)
    assert resumed.drawn == 8


def test_a_sequence_is_the_windows_of_its_frames(monkeypatch):
    step = "avatar_worker.recipes.audio_encoder.together_step"
    monkeypatch.setattr(f"{step}._CHANGED_SHARE", 0.0)
    monkeypatch.setattr(f"{step}._SILENT_SHARE", 0.0)
    run, sounds, seen, numbers = together_trainer(), two_sounds(), list[Tensor](), list[Tensor]()
    run.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    beside = run._said.beside
    monkeypatch.setattr(
        type(run._said), "beside", lambda _, *a: numbers.append(beside(*a)) or numbers[-1]
    )
    run.train_step()
    columns = network_scale(torch.from_numpy(sounds.mel).float())
    for window, number in zip(seen[0][:, 0], numbers[0].flatten(), strict=True):
        first = int(sounds.starts[number])
        assert torch.equal(window, columns[first : first + 16].T)


def test_encoder_context_and_networks_learn_together():
    run = together_trainer()
    before = {key: weight.clone() for key, weight in _weights(run).items()}
    assert set(run.train_step()) == {"networks", "mouth", "phone"}
    moved = [not torch.equal(before[key], weight) for key, weight in _weights(run).items()]
    assert sum(moved) > 0.9 * len(moved)


def _weights(run: TogetherTrainer) -> dict[str, Tensor]:
    modules = {"encoder": run.encoder, "heads": run.heads, "context": run.context}
    named = {f"{n}.{k}": p.detach() for n, m in modules.items() for k, p in m.named_parameters()}
    return named | run.networks.state_dict()


def test_the_steps_make_what_a_trainer_takes_and_go_on(tmp_path, capsys):
    with pytest.raises(NotTrainedError, match="run the step `train` first"):
        make_networks(tmp_path, NETWORKS)
    torch.save(start() | {"drawn": 12}, tmp_path / "training.pt")
    with pytest.raises(NotTrainedError, match="at 12 of 24"):
        make_networks(tmp_path, NETWORKS)
    torch.save(start(), tmp_path / "training.pt")
    with pytest.raises(NotTrainedError, match="run the step `networks` first"):
        train_together(tmp_path, TOGETHER)
    with pytest.raises(NotTrainedError, match="run the step `together` first"):
        settle_networks(tmp_path, NETWORKS)
    two_sounds().save(tmp_path / "features/train-one.npz")
    (tmp_path / "speech/train-one").mkdir(parents=True)
    make_networks(tmp_path, NETWORKS)
    assert "one: " in capsys.readouterr().out
    make_networks(tmp_path, NETWORKS)  # from the features that are kept
    assert "encoded" not in capsys.readouterr().out
    train_together(tmp_path, TOGETHER)
    train_together(tmp_path, TOGETHER)
    assert "goes on after 8 sequences" in capsys.readouterr().out
    together = torch.load(tmp_path / "hearing.pt", weights_only=True)
    weights = [key for key, _ in TrainedContext().named_parameters()]
    for key in weights:
        together["context"][key] += 1
    torch.save(together, tmp_path / "hearing.pt")
    settle_networks(tmp_path, NETWORKS)
    settled = torch.load(tmp_path / "settled.pt", weights_only=True)
    ears = trained_ears(tmp_path)
    for key in weights:
        before, after = together["context"][key], settled["context"][key]
        assert torch.allclose(after, before, atol=0.1)
        assert torch.allclose(ears["context"][key], (before + after) / 2)
    files = shipped_files(ears)
    assert set(files) == set(FILES)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    hearing = open_hearing(tmp_path, ears=tmp_path)
    assert hearing.encoder.context is not None
    assert hearing.networks is not None
    assert AudioNetworks(hearing.networks).has_attention
