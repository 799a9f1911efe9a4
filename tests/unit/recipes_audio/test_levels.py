"""Sounds that are quieter, louder or noisy, and what loudness alone tells."""

from pathlib import Path

import numpy as np
import pytest

from avatar_worker.recipes.audio_encoder.corpus import save_line
from avatar_worker.recipes.audio_encoder.feature_step import sound_windows
from avatar_worker.recipes.audio_encoder.gate_step import level_scores
from avatar_worker.recipes.audio_encoder.label_step import make_labels
from avatar_worker.recipes.audio_encoder.level_check import CHANGES, changed
from avatar_worker.recipes.audio_encoder.readout import Readout, loudness
from avatar_worker.recipes.speech.utterance import Mark, Utterance

pytestmark = pytest.mark.unit


def level_dbfs(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(samples))))


def syllables(n: int = 12, rate: int = 16_000) -> Utterance:
    """Open vowels with pauses between, 0.2 s each."""
    marks = [Mark(("ɑ", "sil")[i % 2], 0.2 * i, 0.2 * (i + 1)) for i in range(n)]
    time_s = np.arange(round(0.2 * n * rate)) / rate
    voiced = (time_s / 0.2).astype(int) % 2 == 0
    return Utterance(
        (0.4 * np.sin(2 * np.pi * 200 * time_s) * voiced).astype(np.float32), rate, tuple(marks)
    )


def test_a_change_moves_the_level_and_never_leaves_full_scale():
    sound = syllables().samples
    assert level_dbfs(changed(sound, -12, None)) == pytest.approx(level_dbfs(sound) - 12)
    assert np.abs(changed(sound, 12, None)).max() == 1
    noise = changed(np.zeros(16_000, np.float32), 0, -50)
    assert level_dbfs(noise) == pytest.approx(-50, abs=0.1)


def test_loudness_tells_syllables_from_pauses_and_nothing_of_lips():
    utterance = syllables()
    steps = len(utterance.samples) // 80
    open_mouth = (np.arange(steps) * 0.005 / 0.2).astype(int) % 2 == 0
    curves = np.zeros((steps, 9))
    curves[:, 0] = open_mouth
    curves[:, 2] = np.random.default_rng(0).random(steps)
    windows = sound_windows(utterance.samples, curves, np.zeros(steps, np.uint8))
    labels = windows.targets[:, 1].astype(np.float32)
    levels = loudness(windows)
    assert levels.shape == (len(windows.starts), 16)
    heard = Readout.fitted(levels, labels)(levels)
    assert np.corrcoef(heard[:, 0], labels[:, 0])[0, 1] > 0.8


def test_every_change_of_the_sets_that_are_there_is_scored(tmp_path: Path):
    utterance = syllables()
    save_line(tmp_path / "speech/test-joe/00000.npz", "joe", "a a a", utterance)
    make_labels(tmp_path)

    found = level_scores(tmp_path, lambda windows: windows.targets[:, 1].astype(np.float32))

    assert list(found) == list(CHANGES)
    assert all(score.frames > 20 and score.lag_frames == 0 for score in found.values())
    assert level_scores(tmp_path / "nothing", lambda windows: windows.targets[:, 1]) == {}
