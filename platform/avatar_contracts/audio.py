"""The speech format on the audio stream; samples, seconds and video frames in each other.

Speech travels as signed 16-bit little-endian mono PCM at 24 kHz, in chunks of 80 ms. A video frame
lasts 40 ms, so one chunk is two frames and one frame is exactly 960 samples.
"""

from typing import Final

SAMPLE_RATE_HZ: Final = 24_000
BYTES_PER_SAMPLE: Final = 2
VIDEO_FPS: Final = 25
FRAME_SAMPLES: Final = SAMPLE_RATE_HZ // VIDEO_FPS
CHUNK_SAMPLES: Final = 2 * FRAME_SAMPLES
CHUNK_BYTES: Final = CHUNK_SAMPLES * BYTES_PER_SAMPLE

READ_AHEAD_MAX_S: Final = 20.0
"""How far the producer may be ahead of what was heard before it waits (back-pressure)."""


def samples_to_seconds(samples: int) -> float:
    return samples / SAMPLE_RATE_HZ


def seconds_to_samples(seconds: float) -> int:
    """Nearest whole sample."""
    return round(seconds * SAMPLE_RATE_HZ)


def frames_to_samples(frames: int) -> int:
    return frames * FRAME_SAMPLES


def samples_to_frames(samples: int) -> int:
    """How many video frames cover this many samples; the last may be partly silence."""
    return -(-samples // FRAME_SAMPLES)
