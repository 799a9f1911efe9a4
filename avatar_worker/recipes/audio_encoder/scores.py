"""How well predicted mouth parameters follow the labelled ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avatar_worker.recipes.audio_encoder.mouth import CLOSE, LABIODENTAL, PARAMETERS

FRAME_MS = 40.0
HEARD_ABOVE, LABELLED_ABOVE = 0.4, 0.5
_LAG_PARAMETERS = [0, 1, 2, 3]
_LAG_FRAMES = 5

Curves = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EventScore:
    """Lip closures as events: found within one frame or not."""

    recall: float
    precision: float

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        return 2 * self.recall * self.precision / max(self.recall + self.precision, 1e-9)


@dataclass(frozen=True, slots=True)
class Score:
    """One test set.

    Attributes:
        frames: How many.
        r: Correlation of each parameter `[9]`.
        r2: Mean share of variance explained.
        closure: Pressed lips (p, b, m).
        labiodental: Lip on teeth (f, v).
        lag_frames: Delay of the best correlation; positive: predicted too late.
        lag_ms: The same below a frame, by a parabola through the best three.
    """

    frames: int
    r: tuple[float, ...]
    r2: float
    closure: EventScore
    labiodental: EventScore
    lag_frames: int
    lag_ms: float

    @property
    def mean_r(self) -> float:
        """Mean correlation over the nine parameters."""
        return float(np.mean(self.r))


def score(labels: Curves, predicted: Curves, sounds: NDArray[np.int32]) -> Score:
    """Compare `[W, 9]` with `[W, 9]`; `sounds` `[W]` says where one sound ends."""
    r = tuple(_correlation(labels[:, p], predicted[:, p]) for p in range(len(PARAMETERS)))
    error = np.square(labels - predicted).mean(axis=0) / (labels.var(axis=0) + 1e-12)
    lag_frames, lag_ms = _lag(labels, predicted, sounds)
    return Score(
        len(labels),
        r,
        float(1 - error.mean()),
        event_score(labels[:, CLOSE], predicted[:, CLOSE], sounds),
        event_score(labels[:, LABIODENTAL], predicted[:, LABIODENTAL], sounds),
        lag_frames,
        lag_ms,
    )


def event_score(labels: Curves, predicted: Curves, sounds: NDArray[np.int32]) -> EventScore:
    """Match events of two curves `[W]`; one frame of play on either side."""
    found = missed = invented = 0
    for sound in np.unique(sounds):
        mine = sounds == sound
        true, heard = labels[mine] > LABELLED_ABOVE, predicted[mine] > HEARD_ABOVE
        hits = [bool(heard[max(0, a - 1) : b + 1].any()) for a, b in _events(true)]
        found += sum(hits)
        missed += len(hits) - sum(hits)
        invented += sum(not true[max(0, a - 1) : b + 1].any() for a, b in _events(heard))
    return EventScore(found / max(found + missed, 1), found / max(found + invented, 1))


def _events(active: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], active.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _correlation(a: Curves, b: Curves) -> float:
    if a.std() < 1e-9 or b.std() < 1e-9:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _lag(labels: Curves, predicted: Curves, sounds: NDArray[np.int32]) -> tuple[int, float]:
    shifts = range(-_LAG_FRAMES, _LAG_FRAMES + 1)
    runs = [np.flatnonzero(sounds == sound) for sound in np.unique(sounds)]
    inner = [run[_LAG_FRAMES:-_LAG_FRAMES] for run in runs if len(run) > 3 * _LAG_FRAMES]
    if not inner:
        return 0, 0.0
    index = np.concatenate(inner)
    fits = [
        np.mean([_correlation(labels[index, p], predicted[index + d, p]) for p in _LAG_PARAMETERS])
        for d in shifts
    ]
    best = int(np.argmax(fits))
    part = 0.0
    if 0 < best < len(fits) - 1:
        before, top, after = fits[best - 1 : best + 2]
        part = float(0.5 * (before - after) / (before - 2 * top + after))
    return shifts[best], (shifts[best] + part) * FRAME_MS
