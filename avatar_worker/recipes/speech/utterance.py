"""One spoken sentence and the times of its phones: what every speech source here returns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SILENCE = "sil"
"""The phone name of a pause; all other phones are single IPA letters (see `phones.PHONES`)."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A phone and the stretch of sound that belongs to it, in seconds from the first sample."""

    phone: str
    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        """Length of the stretch in seconds."""
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True, eq=False)
class Utterance:
    """Sound with phone times.

    Attributes:
        samples: Mono float32 `[n]`, full scale ±1.
        sample_rate: Samples per second.
        marks: In order, without gaps or overlaps, from 0 to the end of the sound; pauses are
            marks of the phone `SILENCE`. A source's known constant lateness is already removed.
    """

    samples: NDArray[np.float32]
    sample_rate: int
    marks: tuple[Mark, ...]

    @property
    def duration_s(self) -> float:
        """Length of the sound in seconds."""
        return len(self.samples) / self.sample_rate


def tile(marks: Iterable[Mark], duration_s: float, shift_s: float = 0.0) -> tuple[Mark, ...]:
    """Move marks by a constant and make them cover 0…`duration_s` without a gap.

    A mark lasts until the next one begins; what lies before the first and behind the last is
    silence; neighbouring silences become one; what the shift pushes over an edge is cut off.

    Args:
        marks: In order of time.
        duration_s: Length of the sound.
        shift_s: Added to every time; negative for engines that report phones late.
    """
    moved = [Mark(m.phone, m.start_s + shift_s, m.end_s + shift_s) for m in marks]
    head = [Mark(SILENCE, 0.0, moved[0].start_s)] if moved else []
    tail = [Mark(SILENCE, moved[-1].end_s if moved else 0.0, duration_s)]
    tiled: list[Mark] = []
    pieces = [*head, *moved, *tail]
    for index, mark in enumerate(pieces):
        end_s = pieces[index + 1].start_s if index + 1 < len(pieces) else duration_s
        start_s, end_s = max(mark.start_s, 0.0), min(end_s, duration_s)
        if end_s - start_s < 1e-4:
            continue
        if tiled and tiled[-1].phone == mark.phone == SILENCE:
            tiled[-1] = Mark(SILENCE, tiled[-1].start_s, end_s)
        else:
            tiled.append(Mark(mark.phone, tiled[-1].end_s if tiled else 0.0, end_s))
    return tuple(tiled)
