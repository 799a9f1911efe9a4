"""Sound that can be measured: loud and silent stretches of whole 40 ms, never alike twice."""

import numpy as np
from numpy.typing import NDArray

from avatar_contracts.audio import CHUNK_BYTES, FRAME_SAMPLES, SAMPLE_RATE_HZ

LOUD = 0.2


def on_off_frames(n_frames: int, seed: int, longest: int = 8) -> NDArray[np.bool_]:
    """Which 40 ms are loud: runs of 3 to `longest` frames, the first and the last one loud."""
    random = np.random.default_rng(seed)
    runs: list[bool] = []
    is_loud = True
    while len(runs) < n_frames:
        runs += [is_loud] * int(random.integers(3, longest + 1))
        is_loud = not is_loud
    pattern = np.array(runs[:n_frames])
    pattern[-4:] = True
    pattern[:3] = True
    return pattern


def sound_of(pattern: NDArray[np.bool_], seed: int = 1) -> bytes:
    """The pattern as PCM: a buzz with 120 Hz pitch and some noise, like a voice to an encoder."""
    n = len(pattern) * FRAME_SAMPLES
    time_s = np.arange(n) / SAMPLE_RATE_HZ
    buzz = np.sign(np.sin(2 * np.pi * 120 * time_s)) * 0.6
    noise = np.random.default_rng(seed).uniform(-0.8, 0.8, n)
    wave = (buzz + noise) * LOUD * np.repeat(pattern, FRAME_SAMPLES)
    samples = (np.clip(wave, -1, 1) * 32767).astype("<i2")
    samples[samples == 0] = 1  # so that speech is told from silence that was filled in
    return samples.tobytes()


def chunks_of(pcm: bytes) -> list[bytes]:
    """In pieces of 80 ms, as the agent worker sends them."""
    return [pcm[i : i + CHUNK_BYTES] for i in range(0, len(pcm), CHUNK_BYTES)]
