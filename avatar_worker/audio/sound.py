"""Reads sound files of any kind to samples."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import numpy as np
import soxr
from jaxtyping import Float

from avatar_worker.audio.errors import AudioFileError
from avatar_worker.audio.mel import SAMPLE_RATE_HZ
from avatar_worker.sentence import reason

MAX_DURATION_S: Final = 4 * 3600
MAX_NUMBERS: Final = 400_000_000
"""Samples of all channels together: more than an hour of 48 kHz stereo, four hours of speech."""

MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 400_000


@dataclass(frozen=True, slots=True)
class Sound:
    """A decoded sound.

    Attributes:
        samples: in [−1, 1], float32. [n_channels, n]
        rate_hz: samples a second.
    """

    samples: Float[np.ndarray, "n_channels n"]
    rate_hz: int

    def mono(self, rate_hz: int = SAMPLE_RATE_HZ) -> Float[np.ndarray, "n"]:
        """The mean of the channels at another rate, float32; the encoder hears 16 kHz."""
        mixed = np.asarray(self.samples.mean(axis=0, dtype=np.float32))
        if self.rate_hz == rate_hz:
            return mixed
        return np.asarray(soxr.resample(mixed, self.rate_hz, rate_hz, quality="HQ"), np.float32)


def read_sound(path: Path) -> Sound:
    """Decode the first audio stream of a file.

    Raises:
        AudioFileError: absent, empty, not sound, or longer than four hours.
    """
    if path.is_dir():
        raise AudioFileError(f"{path} is a folder; expected a sound file")
    if not path.is_file():
        raise AudioFileError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise AudioFileError(f"{path} is empty")
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise AudioFileError(f"{path} holds no sound")
            stream = container.streams.audio[0]
            rate_hz = int(getattr(stream, "rate", 0) or 0)  # none if the codec is unknown
            if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
                raise AudioFileError(f"{path} has {rate_hz} samples a second, which cannot be")
            limit = MAX_DURATION_S * rate_hz
            parts: list[np.ndarray] = []
            n_samples = 0
            for frame in container.decode(stream):
                parts.append(_channels(frame))
                n_samples += parts[-1].shape[1]
                if n_samples > limit or n_samples * len(parts[-1]) > MAX_NUMBERS:
                    raise AudioFileError(
                        f"{path} is longer than {MAX_DURATION_S // 3600} hours or has more than "
                        f"{MAX_NUMBERS} samples in all its channels"
                    )
    except (av.FFmpegError, ValueError, OverflowError) as error:
        raise AudioFileError(f"{path} cannot be decoded as sound: {reason(error)}") from None
    if n_samples == 0:
        raise AudioFileError(f"{path} holds no samples")
    if len({part.shape[0] for part in parts}) != 1:
        raise AudioFileError(f"{path} changes its number of channels")
    samples = np.concatenate(parts, axis=1)
    return Sound(np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0), rate_hz)


def _channels(frame: av.AudioFrame) -> Float[np.ndarray, "n_channels n"]:
    """Samples of a decoded frame as float32 in [−1, 1], whatever they were stored as."""
    raw: np.ndarray = frame.to_ndarray()
    if not frame.format.is_planar:
        raw = raw.reshape(-1, frame.layout.nb_channels).T
    if raw.dtype == np.uint8:
        return (raw.astype(np.float32) - 128.0) / 128.0
    if raw.dtype.kind == "i":
        full_scale = 2.0 ** (8 * raw.dtype.itemsize - 1)
        return (raw / full_scale).astype(np.float32)
    return raw.astype(np.float32)
