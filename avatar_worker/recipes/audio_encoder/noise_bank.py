"""The texture of real noise: what the spectrogram of noise does around its mean.

Noise that is drawn per band and frame has another texture than a spectrogram of noise. A network
trained with drawn noise learns to tell the two apart and hears a long f in the real one, so all
noise added in training is cut from here: white, pink and brown noise and the babble of six voices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from avatar_worker.recipes.audio_encoder import mel
from avatar_worker.recipes.audio_encoder.corpus import SAMPLE_RATE

COLOURS = (0.0, 0.5, 1.0)
"""Exponents of 1/f in amplitude: white, pink, brown."""

BABBLE_VOICES = 6


def coloured_noise(exponent: float, n_samples: int, seed: int) -> NDArray[np.float32]:
    """Noise `[n_samples]` of rms 1 whose amplitude falls with frequency to the given power."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(n_samples))
    spectrum /= np.maximum(np.arange(len(spectrum)), 20) ** exponent
    sound = np.fft.irfft(spectrum, n_samples)
    return (sound / sound.std()).astype(np.float32)


def babble(lines: Sequence[NDArray[np.float32]], n_samples: int, seed: int) -> NDArray[np.float32]:
    """`BABBLE_VOICES` voices talking at once `[n_samples]`, rms 1; needs at least one line."""
    rng = np.random.default_rng(seed)
    total = np.zeros(n_samples, dtype=np.float32)
    for _ in range(BABBLE_VOICES):
        spoken: list[NDArray[np.float32]] = []
        while sum(map(len, spoken)) < n_samples:
            spoken.append(lines[int(rng.integers(len(lines)))])
        total += np.concatenate(spoken)[:n_samples]
    return total / (total.std() + 1e-9)


def noise_bank(
    lines: Sequence[NDArray[np.float32]], seconds_each: float = 60.0, seed: int = 5
) -> NDArray[np.float32]:
    """Log magnitudes of noise without their mean, `[frames, 80]`.

    Args:
        lines: Speech at 16 kHz for the babble; none means no babble.
        seconds_each: Length of each kind of noise.
        seed: Same seed, same bank.
    """
    n_samples = round(seconds_each * SAMPLE_RATE)
    sounds = [coloured_noise(c, n_samples, seed + i) for i, c in enumerate(COLOURS)]
    if lines:
        sounds.append(babble(lines, n_samples, seed))
    levels = [mel.log_magnitudes(sound) for sound in sounds]
    return np.concatenate([level - level.mean(axis=0) for level in levels]).astype(np.float32)
