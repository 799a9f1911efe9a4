"""What a voice is: a name like `kokoro:af_heart`, and something that speaks a sentence with it."""

from typing import Protocol

import numpy as np
import soxr
from numpy.typing import NDArray

from avatar_contracts.audio import SAMPLE_RATE_HZ

Pcm = NDArray[np.int16]


class Voice(Protocol):
    """Speaks. Slow: call it in a thread. Safe to call from several threads at once.

    `identity` names voice and model for keeping speech by content: it changes when they change.
    """

    @property
    def identity(self) -> str: ...

    def speak(self, text: str, speed: float = 1.0) -> Pcm:
        """A sentence as 24 kHz mono; empty when nothing in it can be spoken.

        Raises:
            SpeechError: it cannot be spoken.
        """
        ...


def to_pcm(sound: NDArray[np.float32], rate_hz: int) -> Pcm:
    """Float sound in [-1, 1] at any rate → s16 at 24 kHz; louder than full scale is limited."""
    if rate_hz != SAMPLE_RATE_HZ:
        sound = soxr.resample(sound, rate_hz, SAMPLE_RATE_HZ)
    peak = float(np.abs(sound).max(initial=0.0))
    if peak > 1.0:
        sound = sound / peak
    return np.asarray(np.rint(sound * 32767.0), dtype=np.int16)
