"""Which part of the sound a video frame sees; pure arithmetic, 25 frames a second.

A mel window spans 16 columns (0.2 s) and starts every 3.2 columns (40 ms). Its feature belongs
to the frame two further on, so that the window lies centred on the frame: the first feature
stands for frames 0, 1 and 2, the last for three frames as well. The face sees eight features,
from four frames before to three frames after.

Look-ahead of frame k: feature k + 3 comes from window k + 1, whose last column is
⌊3.2·(k + 1)⌋ + 15 and reaches 400 samples beyond its centre: at most 4,040 samples or 252.5 ms
after the frame's own first sample.
"""

from typing import Final, Literal

from avatar_worker.audio.mel import HALF_WINDOW_SAMPLES, HOP_SAMPLES, column_count

FRAME_RATE_HZ: Final = 25
FRAME_SAMPLES: Final = 640
WINDOW_COLUMNS: Final = 16
FEATURE_SHIFT_FRAMES: Final = 2
MIN_SAMPLES: Final = 3000
"""Shorter sounds have no mel window; they are lengthened with silence."""

LOOK_AHEAD_SAMPLES: Final = 4040

AttentionMode = Literal[0, 1, 2]
"""0: the frame's own feature. 1: the eight before it. 2: four before to three after."""

ABSENT: Final = -1
"""Stands for a feature of zeros in a window."""


def window_count(n_columns: int) -> int:
    """Mel windows of a whole sound of `n_columns` ≥ 16 columns."""
    return int((n_columns - WINDOW_COLUMNS) / 80 * FRAME_RATE_HZ) + 2


def window_start(window: int) -> int:
    """First mel column of a window, were the sound long enough."""
    return int(80 * (window / FRAME_RATE_HZ))


def frame_count(n_samples: int) -> int:
    """Video frames that a whole sound drives; 0 for none at all."""
    if n_samples == 0:
        return 0
    windows = window_count(column_count(max(n_samples, MIN_SAMPLES)))
    return windows + 2 * FEATURE_SHIFT_FRAMES


def window_of_feature(feature: int, n_windows: int) -> int:
    """The window whose encoding is feature number `feature` of a whole sound."""
    return min(max(feature - FEATURE_SHIFT_FRAMES, 0), n_windows - 1)


def samples_needed(window: int) -> int:
    """Samples after which a window can no longer change."""
    last_column = window_start(window) + WINDOW_COLUMNS - 1
    return last_column * HOP_SAMPLES + HALF_WINDOW_SAMPLES


def attention_window(index: int, n_features: int, mode: AttentionMode) -> tuple[int, ...]:
    """Feature numbers that frame `index` sees, `ABSENT` beyond either end."""
    if mode == 0:
        return (index,)
    first = index - 8 if mode == 1 else index - 4
    numbers = range(first, first + 8)
    return tuple(n if 0 <= n < n_features else ABSENT for n in numbers)
