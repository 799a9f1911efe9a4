"""The same sentences quieter, louder and in noise: what a level or a hiss costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar_worker.recipes.audio_encoder.corpus import line_files, load_line
from avatar_worker.recipes.audio_encoder.feature_step import Windows, sound_windows
from avatar_worker.recipes.audio_encoder.label_step import load_labels
from avatar_worker.recipes.audio_encoder.noise_bank import coloured_noise

SETS = ("test-joe", "test-pico", "test-allison")
LINES_OF_EACH = 40
CHANGES: dict[str, tuple[float, float | None]] = {
    "as spoken, peak -6 dBFS": (0, None),
    "-12 dB": (-12, None),
    "-24 dB": (-24, None),
    "+12 dB, clipped": (12, None),
    "white noise -60 dBFS": (0, -60),
    "white noise -50 dBFS": (0, -50),
    "white noise -40 dBFS": (0, -40),
}
"""Gain in dB, and level of the noise beside it."""

_WHITE = 0.0


def changed(
    samples: NDArray[np.float32], gain_db: float, noise_dbfs: float | None, seed: int = 0
) -> NDArray[np.float32]:
    """Sound `[n]` with another level, and noise of this rms added."""
    sound = samples * np.float32(10 ** (gain_db / 20))
    if noise_dbfs is not None:
        noise = coloured_noise(_WHITE, len(samples), seed)
        sound = sound + noise * np.float32(10 ** (noise_dbfs / 20))
    return np.clip(sound, -1, 1)


def changed_windows(work: Path, gain_db: float, noise_dbfs: float | None) -> Windows | None:
    """Windows of lines of `SETS` with this change; None where none of them was made."""
    parts: list[Windows] = []
    for name in SETS:
        for source in line_files(work / "speech" / name)[:LINES_OF_EACH]:
            samples = load_line(source).utterance.samples
            curves, phones = load_labels(work, source)
            sound = changed(samples, gain_db, noise_dbfs, seed=len(parts))
            parts.append(sound_windows(sound, curves, phones))
    return Windows.joined(parts) if parts else None
