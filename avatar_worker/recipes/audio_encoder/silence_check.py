"""What the mouth does while nobody speaks: still in silence, still in the hiss of a microphone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avatar_worker.audio.mel import N_BANDS
from avatar_worker.recipes.audio_encoder import mel
from avatar_worker.recipes.audio_encoder.corpus import SAMPLE_RATE
from avatar_worker.recipes.audio_encoder.feature_step import Windows
from avatar_worker.recipes.audio_encoder.mouth import PARAMETERS
from avatar_worker.recipes.audio_encoder.network import Encoder
from avatar_worker.recipes.audio_encoder.noise_bank import coloured_noise
from avatar_worker.recipes.audio_encoder.readout import Readout, encode_windows

SECONDS = 8.0
_WHITE, _PINK = 0.0, 0.5
_FIRST_FULL, _LAST_FULL = 3, -3


@dataclass(frozen=True, slots=True)
class Stillness:
    """Mouth parameters over some seconds without speech.

    Attributes:
        highest_mean: The parameter that is furthest from rest.
        worst_std: The parameter that moves most.
    """

    highest_mean: float
    worst_std: float


def silent_sounds() -> dict[str, NDArray[np.float32]]:
    """Sounds `[n]` at 16 kHz by name; levels are rms below full scale."""
    n_samples = round(SECONDS * SAMPLE_RATE)
    white = coloured_noise(_WHITE, n_samples, seed=101)
    pink = coloured_noise(_PINK, n_samples, seed=102)
    time_s = np.arange(n_samples, dtype=np.float32) / SAMPLE_RATE
    hum = 0.003 * (np.sin(100 * np.pi * time_s) + np.sin(300 * np.pi * time_s))
    return {
        "digital silence": np.zeros(n_samples, dtype=np.float32),
        "white -70 dBFS": white * np.float32(10 ** (-70 / 20)),
        "white -50 dBFS": white * np.float32(10 ** (-50 / 20)),
        "pink -50 dBFS": pink * np.float32(10 ** (-50 / 20)),
        "white -40 dBFS": white * np.float32(10 ** (-40 / 20)),
        "hum + pink -50 dBFS": (hum + pink * 10 ** (-50 / 20)).astype(np.float32),
    }


def stillness(encoder: Encoder, readout: Readout) -> dict[str, Stillness]:
    """How still the mouth is in each of `silent_sounds`."""
    found: dict[str, Stillness] = {}
    for name, samples in silent_sounds().items():
        curves = readout(encode_windows(encoder, _windows(samples)))[_FIRST_FULL:_LAST_FULL]
        mean, spread = np.abs(curves.mean(axis=0)).max(), curves.std(axis=0).max()
        found[name] = Stillness(float(mean), float(spread))
    return found


def _windows(samples: NDArray[np.float32]) -> Windows:
    magnitudes = mel.log_magnitudes(samples).astype(np.float16).reshape(-1, N_BANDS)
    starts = mel.window_starts(len(magnitudes))
    nothing = np.zeros(len(starts), dtype=np.int32)
    labels = np.zeros((len(starts), 3, len(PARAMETERS)), dtype=np.float16)
    return Windows(magnitudes, starts, labels, nothing.astype(np.uint8), nothing)
