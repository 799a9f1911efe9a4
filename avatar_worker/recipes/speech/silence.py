"""Finds the pauses that an engine has booked under a phone.

Neural voices put 0.3-0.4 s of silence into the last phone of a phrase. A mouth that is drawn from
such marks stays open in silence, so long quiet stretches are re-labelled by their level.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from avatar_worker.recipes.speech.utterance import SILENCE, Mark

FRAME_S = 0.010
SHORTEST_PAUSE_S = 0.150
DEPTH_DB = 38.0
"""How far below the utterance's 95th percentile of level a pause lies."""

_SHORTEST_PHONE_S = 0.012


def quiet_stretches(samples: NDArray[np.float32], sample_rate: int) -> list[tuple[float, float]]:
    """Start and end, in seconds, of every pause of at least `SHORTEST_PAUSE_S`."""
    frame_samples = round(FRAME_S * sample_rate)
    frames = len(samples) // frame_samples
    if frames * FRAME_S < 2 * SHORTEST_PAUSE_S:
        return []
    power = np.square(samples[: frames * frame_samples].reshape(frames, -1)).mean(axis=1)
    padded_db = np.pad(10 * np.log10(power + 1e-12), 1, mode="edge")
    level_db = np.convolve(padded_db, np.full(3, 1 / 3), "valid")
    quiet = level_db < np.percentile(level_db, 95) - DEPTH_DB
    edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet.astype(np.int8), [0]])))
    stretches = [(float(a) * FRAME_S, float(b) * FRAME_S) for a, b in edges.reshape(-1, 2)]
    return [(a, b) for a, b in stretches if b - a >= SHORTEST_PAUSE_S - 1e-9]


def relabel_silence(
    marks: Sequence[Mark], samples: NDArray[np.float32], sample_rate: int
) -> list[Mark]:
    """The marks with every pause cut out of its phones and named silence, in order of time."""
    pauses = quiet_stretches(samples, sample_rate)
    kept: list[Mark] = []
    for mark in marks:
        rest = [(mark.start_s, mark.end_s)]
        for start_s, end_s in pauses:
            rest = [
                piece
                for a, b in rest
                for piece in ((a, min(b, start_s)), (max(a, end_s), b))
                if piece[1] > piece[0]
            ]
        kept += [Mark(mark.phone, a, b) for a, b in rest if b - a > _SHORTEST_PHONE_S]
    kept += [Mark(SILENCE, a, b) for a, b in pauses]
    return sorted(kept, key=lambda mark: mark.start_s)
