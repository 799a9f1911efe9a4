"""One utterance: what is said between two flushes, kept until it was heard."""

from dataclasses import dataclass

from agent_worker.sinks import SpeechSink
from avatar_contracts.audio import BYTES_PER_SAMPLE


@dataclass(slots=True)
class Part:
    """What one sink plays of an utterance: from `base_samples` of it on."""

    sink: SpeechSink
    number: int
    base_samples: int
    sent_samples: int
    """Counted from the utterance's beginning, as `base_samples` is."""
    next_chunk: int = 1
    is_flushed: bool = False


class Utterance:
    """PCM (s16le, 24 kHz, mono) of which the part that was heard is forgotten.

    Positions are samples from the beginning. `heard_samples` never goes back, so whoever takes
    over playing begins there.
    """

    def __init__(self) -> None:
        self.part: Part | None = None
        self.heard_samples = 0
        self.is_started = False
        self.is_flushed = False
        self.is_cleared = False
        self.is_finished = False
        self._pcm = bytearray()
        self._first_sample = 0

    @property
    def total_samples(self) -> int:
        return self._first_sample + len(self._pcm) // BYTES_PER_SAMPLE

    @property
    def unheard_samples(self) -> int:
        return self.total_samples - self.heard_samples

    @property
    def is_over(self) -> bool:
        """Nothing more of it will be played."""
        return self.is_cleared or self.is_finished

    def append(self, pcm: bytes) -> None:
        self._pcm += pcm

    def read(self, first_sample: int, samples: int) -> bytes:
        """At most `samples` samples from `first_sample` on, which must not have been heard yet."""
        start = (first_sample - self._first_sample) * BYTES_PER_SAMPLE
        return bytes(self._pcm[start : start + samples * BYTES_PER_SAMPLE])

    def hear(self, position_samples: int) -> bool:
        """Note how far it was heard; forgets the sound before. Whether that is news."""
        position = min(position_samples, self.total_samples)
        if position <= self.heard_samples:
            return False
        self.heard_samples = position
        del self._pcm[: (position - self._first_sample) * BYTES_PER_SAMPLE]
        self._first_sample = position
        return True
