"""Sound → log-mel magnitudes and encoder windows, before dB, clip and anything that loses range.

The spectrogram of `avatar_worker.audio.mel`, whole sounds at a time and one step shorter: noise,
tilt and gain are added to magnitudes, so the clip to ±4 must come after them, as it does in use.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from avatar_worker.audio.mel import (
    HALF_WINDOW_SAMPLES,
    HIGHEST_HZ,
    HOP_SAMPLES,
    LOWEST_HZ,
    N_BANDS,
    PREEMPHASIS,
    WINDOW_SAMPLES,
    column_count,
    mel_filterbank,
)
from avatar_worker.audio.window import WINDOW_COLUMNS, window_start

FLOOR = -13.8
"""Natural logarithm of the smallest magnitude kept, 1e-6; −120 dB, below the clip."""

DB = math.log(10) / 20
"""One decibel of magnitude in natural logarithm."""

_LINEAR_BELOW_HZ, _LINEAR_MELS, _LOG_STEP = 1000.0, 15.0, math.log(6.4) / 27
_HANN = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW_SAMPLES) / WINDOW_SAMPLES)).astype("f4")


def hz_to_mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slaney's mel scale: linear below 1 kHz, logarithmic above."""
    logarithmic = _LINEAR_MELS + np.log(np.maximum(hz, 1e-9) / _LINEAR_BELOW_HZ) / _LOG_STEP
    return np.where(hz < _LINEAR_BELOW_HZ, 3 * hz / 200, logarithmic)


def mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse of `hz_to_mel`."""
    logarithmic = _LINEAR_BELOW_HZ * np.exp((mel - _LINEAR_MELS) * _LOG_STEP)
    return np.where(mel < _LINEAR_MELS, 200 * mel / 3, logarithmic)


def band_edges_hz() -> NDArray[np.float64]:
    """The 82 corner frequencies of the 80 triangles."""
    ends = hz_to_mel(np.array([LOWEST_HZ, HIGHEST_HZ]))
    return mel_to_hz(np.linspace(ends[0], ends[1], N_BANDS + 2))


def log_magnitudes(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Natural logarithm of the mel magnitudes.

    Args:
        samples: `[n]` at 16 kHz, full scale ±1.

    Returns:
        `[1 + n // 200, 80]`, not below `FLOOR`.
    """
    emphasised = np.array(samples, dtype=np.float32)
    emphasised[1:] -= np.float32(PREEMPHASIS) * samples[:-1]
    padded = np.pad(emphasised, HALF_WINDOW_SAMPLES)
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::HOP_SAMPLES]
    spectra = np.fft.rfft(windows[: column_count(len(samples))] * _HANN, axis=1)
    magnitudes = np.abs(spectra).astype(np.float32) @ mel_filterbank().T
    return np.log(np.maximum(magnitudes, math.exp(FLOOR))).astype(np.float32)


def network_scale(log_magnitude: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the encoder is fed: dB brought to −4…4 (any shape; −100…0 dB after the −20 dB shift)."""
    level_db = log_magnitude / DB - 20
    return np.clip(8 * (level_db + 100) / 100 - 4, -4, 4).astype(np.float32)


def window_starts(n_columns: int) -> NDArray[np.int32]:
    """First column of every full window. Window k belongs to video frame k + 2."""
    starts: list[int] = []
    while (start := window_start(len(starts))) + WINDOW_COLUMNS <= n_columns:
        starts.append(start)
    return np.array(starts, dtype=np.int32)
