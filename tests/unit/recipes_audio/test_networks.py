"""Audio networks that are taught the mouth, for every character."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from avatar_worker.audio.encoder import AveEncoder
from avatar_worker.audio.pooling import AudioNetworks
from avatar_worker.recipes.audio_encoder.feature_step import Windows, sound_windows
from avatar_worker.recipes.audio_encoder.gate_step import FILE_NAME, GateError, encoder_file
from avatar_worker.recipes.audio_encoder.mouth import CLOSE
from avatar_worker.recipes.audio_encoder.network import Encoder
from avatar_worker.recipes.audio_encoder.networks_step import (
    HeardFrames,
    MouthNetworks,
    loss_of,
    make_networks,
)
from avatar_worker.train.hearing import CONTEXT_ENCODER_FILE, NETWORKS_FILE

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
    speaking = heard.targets[:n, -1]
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


def test_the_step_writes_what_a_trainer_takes(tmp_path, capsys):
    with pytest.raises(GateError, match="run gate and export first"):
        make_networks(tmp_path)
    (tmp_path / "features").mkdir()
    for name in ("train-one", "test-one"):
        two_sounds().save(tmp_path / f"features/{name}.npz")
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / FILE_NAME).write_bytes(encoder_file(Encoder().state_dict()))
    make_networks(tmp_path, steps=3)
    assert "| one (" in capsys.readouterr().out
    written = load_file(tmp_path / "export" / NETWORKS_FILE)
    assert AudioNetworks(written).has_attention
    assert AveEncoder(load_file(tmp_path / "export" / CONTEXT_ENCODER_FILE)).context is not None
    make_networks(tmp_path, steps=3)  # from the features that are kept
    assert "encoded" not in capsys.readouterr().out
    again = load_file(tmp_path / "export" / NETWORKS_FILE)
    assert all(torch.equal(again[key], tensor) for key, tensor in written.items())
