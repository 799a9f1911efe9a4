"""PCM → log-mel, one column of 80 numbers every 12.5 ms, sample by sample if need be.

Column m looks at the 800 samples around sample 200·m (zeros before the first and after the
last). Each column is computed alone, in float64, in the same way however the sound arrives:
that is what makes streaming and whole files agree to the last bit.
"""

import math
from functools import cache
from typing import Final

import numpy as np
from jaxtyping import Float

SAMPLE_RATE_HZ: Final = 16_000
HOP_SAMPLES: Final = 200
WINDOW_SAMPLES: Final = 800
HALF_WINDOW_SAMPLES: Final = WINDOW_SAMPLES // 2
N_BANDS: Final = 80
LOWEST_HZ: Final = 55.0
HIGHEST_HZ: Final = 7600.0
PREEMPHASIS: Final = 0.97
SILENCE_LEVEL: Final = -4.0
"""Every band of digital silence."""


def column_count(n_samples: int) -> int:
    """Columns of a whole sound."""
    return 1 + n_samples // HOP_SAMPLES


def log_mel(samples: Float[np.ndarray, "n"]) -> Float[np.ndarray, "m 80"]:
    """All columns of a whole sound, float64 in [−4, 4]."""
    stream = MelStream()
    return np.concatenate((stream.push(samples), stream.flush()))


class MelStream:
    """Turns samples that arrive in pieces of any length into mel columns.

    Keeps at most one window of samples.
    """

    def __init__(self) -> None:
        self._previous = 0.0  # last raw sample, for the pre-emphasis
        self._pending = np.zeros(HALF_WINDOW_SAMPLES)  # from the next column's first sample on
        self._n_samples = 0
        self._n_columns = 0

    @property
    def n_samples(self) -> int:
        """Samples pushed so far."""
        return self._n_samples

    def copy(self) -> "MelStream":
        """A stream that goes on from here by itself."""
        other = MelStream()
        other.__dict__.update(self.__dict__)
        other._pending = self._pending.copy()
        return other

    def push(self, samples: Float[np.ndarray, "n"]) -> Float[np.ndarray, "m 80"]:
        """Take 16 kHz mono samples in [−1, 1]; return the columns that became certain."""
        raw = np.asarray(samples, dtype=np.float64)
        if raw.size == 0:
            return np.zeros((0, N_BANDS))
        delayed = np.concatenate(([self._previous], raw[:-1]))
        self._previous = float(raw[-1])
        self._n_samples += raw.size
        return self._columns_of(raw - PREEMPHASIS * delayed)

    def flush(self) -> Float[np.ndarray, "m 80"]:
        """The columns that reach beyond the last sample. The stream is then used up."""
        missing = column_count(self._n_samples) - self._n_columns
        return self._columns_of(np.zeros(WINDOW_SAMPLES))[:missing]

    def _columns_of(self, emphasised: Float[np.ndarray, "n"]) -> Float[np.ndarray, "m 80"]:
        pending = np.concatenate((self._pending, emphasised))
        n_columns = max(0, (pending.size - WINDOW_SAMPLES) // HOP_SAMPLES + 1)
        columns = np.empty((n_columns, N_BANDS))
        for index in range(n_columns):
            start = index * HOP_SAMPLES
            columns[index] = _column(pending[start : start + WINDOW_SAMPLES])
        self._pending = pending[n_columns * HOP_SAMPLES :]
        self._n_columns += n_columns
        return columns


def _column(samples: Float[np.ndarray, "800"]) -> Float[np.ndarray, "80"]:
    """One column: windowed spectrum → mel bands → decibels → [−4, 4]."""
    window, bins, weights, starts = _tables()
    magnitude = np.abs(np.fft.rfft(samples * window))  # [401]
    bands = np.add.reduceat(magnitude[bins] * weights, starts)  # [80]
    decibels = 20.0 * np.log10(np.maximum(1e-5, bands)) - 20.0
    return np.clip(8.0 * (decibels + 100.0) / 100.0 - 4.0, -4.0, 4.0)


@cache
def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Hann window, and the filterbank as a list of its non-zero entries, band after band."""
    phase = 2.0 * np.pi * np.arange(WINDOW_SAMPLES) / WINDOW_SAMPLES
    bank = mel_filterbank()
    bands, bins = np.nonzero(bank)
    starts = np.searchsorted(bands, np.arange(N_BANDS))
    return 0.5 - 0.5 * np.cos(phase), bins, bank[bands, bins].astype(np.float64), starts


@cache
def mel_filterbank() -> Float[np.ndarray, "80 401"]:
    """Triangles equally spaced on Slaney's mel scale, each of area one per Hz. float32.

    Source: Slaney 1998, Auditory Toolbox, as commonly implemented.
    """
    low, high = _hz_to_mel(LOWEST_HZ), _hz_to_mel(HIGHEST_HZ)
    edges = np.array([_mel_to_hz(mel) for mel in np.linspace(low, high, N_BANDS + 2)])
    frequencies = np.arange(HALF_WINDOW_SAMPLES + 1) * (SAMPLE_RATE_HZ / WINDOW_SAMPLES)
    bank = np.zeros((N_BANDS, frequencies.size))
    for band in range(N_BANDS):
        left, centre, right = edges[band : band + 3]
        rising = (frequencies - left) / (centre - left)
        falling = (right - frequencies) / (right - centre)
        bank[band] = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (right - left))
    return bank.astype(np.float32)


def _hz_to_mel(hz: float) -> float:
    return 3.0 * hz / 200.0 if hz < 1000.0 else 15.0 + 27.0 * math.log(hz / 1000.0) / math.log(6.4)


def _mel_to_hz(mel: float) -> float:
    return 200.0 * mel / 3.0 if mel < 15.0 else 1000.0 * math.exp(math.log(6.4) * (mel - 15) / 27.0)
