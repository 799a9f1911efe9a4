"""Features of the audio-visual encoder from sound that is still arriving.

Mel columns come as samples arrive, windows of them are encoded as soon as they can no longer
change. The first feature stands for three frames and the last for three as well (`window`).
"""

from collections.abc import Iterator
from typing import Final, Self

import numpy as np
from jaxtyping import Float
from torch import Tensor

from avatar_worker.audio.context import Recent
from avatar_worker.audio.encoder import AveEncoder
from avatar_worker.audio.mel import N_BANDS, MelStream
from avatar_worker.audio.window import (
    FEATURE_SHIFT_FRAMES,
    WINDOW_COLUMNS,
    window_count,
    window_start,
)

SILENT_FRAMES: Final = 10
"""More than shift (2) and attention (4 before, 3 after), and a multiple of 5 frames = 16 mel
columns, so that columns and windows fall as in a whole file."""

SILENT_FRAMES_IN_CONTEXT: Final = 15
"""The same with the seven before."""


class MelFeatures:
    """See `features.FeatureStream`."""

    def __init__(self, encoder: AveEncoder) -> None:
        self._encoder = encoder
        self._mel = MelStream()
        self._columns = np.zeros((0, N_BANDS))  # from column `_first_column` on
        self._first_column = 0
        self._n_windows = 0
        self._last: Tensor | None = None
        self._recent = Recent(encoder.context)

    @property
    def silent_frames(self) -> int:
        """See `features.FeatureStream`."""
        return SILENT_FRAMES if self._encoder.context is None else SILENT_FRAMES_IN_CONTEXT

    def copy(self) -> Self:
        """State that goes on from here by itself."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._mel = self._mel.copy()
        other._columns = self._columns.copy()
        other._recent = self._recent.copy()
        return other

    def push(self, samples: Float[np.ndarray, "n"]) -> Iterator[Tensor]:
        """Features that became certain with these samples."""
        self._columns = np.concatenate((self._columns, self._mel.push(samples)))
        while self._has_window(self._n_windows):
            yield from self._encode(self._n_windows)

    def finish(self) -> Iterator[Tensor]:
        """Features up to the end of the sound, by the rule of whole files."""
        self._columns = np.concatenate((self._columns, self._mel.flush()))
        n_columns = self._first_column + len(self._columns)
        n_windows = window_count(n_columns)
        while self._n_windows < n_windows:
            yield from self._encode(self._n_windows, n_columns)
        if self._last is not None:
            for _ in range(FEATURE_SHIFT_FRAMES):
                yield self._recent.add(self._last)

    def _has_window(self, window: int) -> bool:
        end = window_start(window) + WINDOW_COLUMNS
        return end <= self._first_column + len(self._columns)

    def _encode(self, window: int, n_columns: int | None = None) -> list[Tensor]:
        """Encode the next window; near the end of a file it is moved back to end with it."""
        start = window_start(window)
        if n_columns is not None:
            start = min(start, n_columns - WINDOW_COLUMNS)
        first = start - self._first_column
        self._last = self._encoder.encode(self._columns[first : first + WINDOW_COLUMNS])
        copies = 1 + FEATURE_SHIFT_FRAMES if window == 0 else 1
        self._n_windows += 1
        # A last window may be moved back by up to a whole window: keep that many columns.
        keep_from = min(window_start(self._n_windows) - WINDOW_COLUMNS, start)
        if keep_from > self._first_column:
            self._columns = self._columns[keep_from - self._first_column :]
            self._first_column = keep_from
        return [self._recent.add(self._last) for _ in range(copies)]
