"""Windows, noise and the changes that are drawn for training."""

import random

import numpy as np
import pytest
import torch

from avatar_worker.audio.mel import log_mel
from avatar_worker.recipes.audio_encoder import mel, wave_copies
from avatar_worker.recipes.audio_encoder.augment import Augmentation, network_scale
from avatar_worker.recipes.audio_encoder.feature_step import Windows, sound_windows
from avatar_worker.recipes.audio_encoder.noise_bank import coloured_noise, noise_bank

pytestmark = pytest.mark.unit


def speech(n_samples: int = 16_000) -> np.ndarray:
    """Something like a voice: a swelling buzz of 120 Hz."""
    time_s = np.arange(n_samples) / 16_000
    buzz = np.sin(2 * np.pi * 120 * time_s) + 0.5 * np.sign(np.sin(2 * np.pi * 240 * time_s))
    return (0.2 * buzz * (1 + np.sin(2 * np.pi * 4 * time_s)) / 2).astype(np.float32)


def test_the_recipes_mel_is_the_live_paths_mel():
    ours = mel.network_scale(mel.log_magnitudes(speech()))
    assert ours.shape == (81, 80)
    assert np.abs(ours - log_mel(speech())).max() < 1e-4


def test_digital_silence_is_minus_four_everywhere():
    assert (mel.network_scale(mel.log_magnitudes(np.zeros(3_200, np.float32))) == -4).all()


def test_windows_start_every_three_point_two_columns():
    assert mel.window_starts(100).tolist()[:8] == [0, 3, 6, 9, 12, 16, 19, 22]
    assert mel.window_starts(100)[-1] == 83
    assert mel.window_starts(15).size == 0


def test_window_k_carries_the_labels_of_frames_k_plus_one_to_three():
    steps = np.arange(401)
    curves = np.repeat((steps * 0.005)[:, None], 9, axis=1)
    windows = sound_windows(speech(32_000), curves, np.zeros(401, np.uint8))
    middle_s = (np.arange(len(windows.starts)) + 2) * 0.04 + 0.02
    kept = middle_s < 1.9
    targets = windows.targets[kept, :, 0].astype(np.float32)
    assert targets[:, 1] == pytest.approx(middle_s[kept], abs=2e-3)
    assert targets[:, 0] == pytest.approx(middle_s[kept] - 0.04, abs=2e-3)
    assert targets[:, 2] == pytest.approx(middle_s[kept] + 0.04, abs=2e-3)


def test_joined_stores_keep_each_window_on_its_own_sound():
    curves, phones = np.zeros((201, 9)), np.zeros(201, np.uint8)
    first = sound_windows(speech(), curves, phones)
    second = sound_windows(speech()[::-1].copy(), curves, phones)
    both = Windows.joined([first, second])
    start = both.starts[len(first.starts)]
    assert (both.mel[start : start + 16] == second.mel[:16]).all()
    assert set(both.sounds.tolist()) == {0, 1}


def test_a_store_survives_its_file(tmp_path):
    windows = sound_windows(speech(), np.zeros((201, 9)), np.zeros(201, np.uint8))
    windows.save(tmp_path / "set.npz")
    again = Windows.load(tmp_path / "set.npz")
    assert (again.mel == windows.mel).all()
    assert (again.starts == windows.starts).all()
    assert [path.name for path in tmp_path.iterdir()] == ["set.npz"]


def test_noise_bank_has_no_mean_and_the_spread_of_real_spectra():
    bank = noise_bank([speech()], seconds_each=4.0)
    assert bank.shape == (4 * 321, 80)
    kinds = bank.reshape(4, 321, 80)
    assert np.abs(kinds.mean(axis=1)).max() < 1e-4
    spread_db = kinds[:3].std(axis=1) / mel.DB
    low, high = spread_db[:, 5].mean(), spread_db[:, 75].mean()
    assert 2.5 < low < 4.5  # a few bins: less than a single one's 5.6 dB
    assert high < 0.6 * low  # a wide band averages many bins
    step = np.diff(kinds[0, :, 40]).std() / kinds[0, :, 40].std()
    assert step < 1.2  # neighbouring frames share three quarters of their samples


def test_coloured_noise_falls_with_frequency_as_told():
    for exponent in (0.0, 0.5, 1.0):
        spectrum = np.abs(np.fft.rfft(coloured_noise(exponent, 160_000, seed=1)))
        ratio = spectrum[40_000:80_000].mean() / spectrum[10_000:20_000].mean()
        assert ratio == pytest.approx(0.25**exponent, rel=0.05)


def test_augmented_windows_differ_in_every_draw_and_repeat_with_the_seed():
    noise = torch.from_numpy(noise_bank([], seconds_each=2.0))
    windows = torch.from_numpy(mel.log_magnitudes(speech())[:16].T.copy()).repeat(32, 1, 1)

    def drawn() -> torch.Tensor:
        augment = Augmentation(noise, torch.Generator().manual_seed(3))
        return torch.cat([augment(windows), augment(windows)])

    once = drawn()
    assert torch.equal(once, drawn())
    assert once.shape == (64, 80, 16)
    assert torch.isfinite(once).all()
    assert len({row.sum().item() for row in network_scale(once)}) == 64
    assert network_scale(once).abs().max() <= 4


def test_augmentation_leaves_silence_far_below_speech():
    noise = torch.from_numpy(noise_bank([], seconds_each=2.0))
    silent = torch.full((256, 80, 16), mel.FLOOR)
    level_db = Augmentation(noise, torch.Generator().manual_seed(0))(silent) / mel.DB
    assert level_db.mean(dim=(1, 2)).max() < 0
    assert (level_db.mean(dim=(1, 2)) < -95).float().mean() > 0.2  # a third gets no noise at all


def test_copies_keep_their_place_in_time():
    copies = wave_copies.copies(speech(), random.Random(0))
    assert len(copies) == 5
    for sound, stretch in copies:
        assert len(sound) == pytest.approx(stretch * 16_000, abs=1)
        assert np.isfinite(sound).all()
    coded = copies[-1][0]
    assert np.corrcoef(coded, speech())[0, 1] > 0.9  # an undelayed copy
