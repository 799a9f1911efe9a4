"""Four altered copies of each line: other sizes of head, rooms, and a narrow codec."""

from __future__ import annotations

import io
import random

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from avatar_worker.recipes.audio_encoder.corpus import PEAK, SAMPLE_RATE

_OPUS_BIT_RATE = 14_000
_OPUS_SAMPLE_RATE = 48_000
_REVERB_S = (0.12, 0.55)
_STRETCH = (0.84, 1.2)


def copies(
    samples: NDArray[np.float32], rng: random.Random
) -> list[tuple[NDArray[np.float32], float]]:
    """The line itself, two of other size, one of other size in a room, one through Opus.

    Args:
        samples: `[n]` at 16 kHz.
        rng: Where the draws come from.

    Returns:
        Sounds with their length as a multiple of the line's.
    """
    room = resized(samples, rng)
    return [
        (samples, 1.0),
        resized(samples, rng),
        resized(samples, rng),
        (in_a_room(room[0], rng), room[1]),
        (through_opus(samples), 1.0),
    ]


def resized(samples: NDArray[np.float32], rng: random.Random) -> tuple[NDArray[np.float32], float]:
    """Pitch, formants and tempo moved together by a factor of 0.84-1.2."""
    factor = rng.uniform(*_STRETCH)
    other = soxr.resample(samples, SAMPLE_RATE, SAMPLE_RATE / factor).astype(np.float32)
    return other, len(other) / len(samples)


def in_a_room(samples: NDArray[np.float32], rng: random.Random) -> NDArray[np.float32]:
    """Reverberation by exponentially fading noise behind the direct sound."""
    noise = np.random.default_rng(rng.getrandbits(32))
    fade_samples = round(rng.uniform(*_REVERB_S) * SAMPLE_RATE)
    response = noise.standard_normal(fade_samples)
    response *= np.exp(-6.9 * np.arange(fade_samples) / fade_samples)
    response *= rng.uniform(0.06, 0.36) / np.sqrt(np.square(response).sum())
    response[: round(rng.uniform(0.001, 0.006) * SAMPLE_RATE)] = 0
    response[0] = 1
    size = len(samples) + fade_samples
    wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(response, size), size)
    wet = wet[: len(samples)]
    return np.asarray(wet / (np.abs(wet).max() + 1e-6) * PEAK, dtype=np.float32)


def through_opus(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Coded and decoded at 14 kbit/s; same length, same time."""
    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=_OPUS_SAMPLE_RATE, layout="mono")
        stream.bit_rate = _OPUS_BIT_RATE
        sound = soxr.resample(samples, SAMPLE_RATE, _OPUS_SAMPLE_RATE)
        pcm = np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
        frame.sample_rate = _OPUS_SAMPLE_RATE
        frame.pts = 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    file.seek(0)
    with av.open(file) as container:
        decoded = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
        rate = container.streams.audio[0].rate
    joined = np.concatenate(decoded).astype(np.float32)
    narrow = soxr.resample(joined, rate, SAMPLE_RATE)[: len(samples)]
    return np.pad(narrow, (0, len(samples) - len(narrow))).astype(np.float32)
