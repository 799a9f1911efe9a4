"""Whether the mouth moves with the sound: how open it is drawn against how loud the speech is.

Pictures are drawn at one pose with still eyes, so that nothing but the sound moves them. What
changes most in the mouth from picture to picture is its opening; loudness between 200 and 3400 Hz
stands for what the mouth should do. Both are one number a frame. Correlated at every shift from
−200 to +200 ms, the best one says whether the picture is early or late, and the margin over the
usual correlation says how sure that is. Lips open a little before and close a little after their
sound, so one step of 40 ms to either side is no fault by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, UInt8

from avatar_worker.audio.mel import SAMPLE_RATE_HZ
from avatar_worker.audio.window import FRAME_RATE_HZ

FRAME_SAMPLES: Final = SAMPLE_RATE_HZ // FRAME_RATE_HZ
FRAME_MS: Final = 1000 // FRAME_RATE_HZ
MAX_SHIFT_FRAMES: Final = 5
LOW_HZ, HIGH_HZ = 200.0, 3400.0
FLOOR_DB: Final = 45.0
"""Below the loudest frame: quieter than this is silence."""

MIN_FRAMES: Final = 25
MIN_SPREAD: Final = 1e-6


@dataclass(frozen=True, slots=True)
class SyncScore:
    """How picture and sound lie to each other.

    Attributes:
        best_ms: shift of the highest correlation; more than 0: the picture is late.
        correlation: at that shift.
        margin: that less the median over all shifts.
        correlations: shift in ms → correlation.
    """

    best_ms: int
    correlation: float
    margin: float
    correlations: Mapping[int, float]

    def __str__(self) -> str:
        return (
            f"best at {self.best_ms:+d} ms, correlation {self.correlation:.2f}, "
            f"margin {self.margin:.2f}"
        )


def sync_score(
    opening: Float[np.ndarray, "n"],
    activity: Float[np.ndarray, "m"],
    numbers: Sequence[int] | None = None,
) -> SyncScore | None:
    """Compare; None if there are too few frames, or if either does not change at all.

    Args:
        opening: of the mouth, in every frame drawn.
        activity: of the sound, in every 40 ms of it.
        numbers: which 40 ms of the sound belong to each frame; None: frame i has the i-th.
    """
    at = np.arange(len(opening)) if numbers is None else np.asarray(numbers)
    # The same frames for every shift; around the sound there is silence.
    inside = (at >= 0) & (at < len(activity))
    opening, at = opening[inside], at[inside]
    padded = np.pad(activity, MAX_SHIFT_FRAMES)
    if len(opening) < MIN_FRAMES or opening.std() < MIN_SPREAD:
        return None
    correlations = {}
    for shift in range(-MAX_SHIFT_FRAMES, MAX_SHIFT_FRAMES + 1):
        heard = padded[at - shift + MAX_SHIFT_FRAMES]
        if heard.std() < MIN_SPREAD:
            return None
        correlations[shift * FRAME_MS] = float(np.corrcoef(opening, heard)[0, 1])
    best_ms = max(correlations, key=lambda ms: correlations[ms])
    best = correlations[best_ms]
    return SyncScore(best_ms, best, best - float(np.median([*correlations.values()])), correlations)


def mouth_activity(samples: Float[np.ndarray, "n"]) -> Float[np.ndarray, "m"]:
    """Loudness of speech in every 40 ms of 16 kHz sound, 0 (silence) … 1 (its loudest)."""
    n_frames = len(samples) // FRAME_SAMPLES
    # Windows of 80 ms around the middle of the frame, so that the pitch does not beat with them.
    padded = np.pad(samples.astype(np.float64), FRAME_SAMPLES // 2)
    starts = np.arange(n_frames) * FRAME_SAMPLES
    window = np.hanning(2 * FRAME_SAMPLES)
    frequency = np.fft.rfftfreq(2 * FRAME_SAMPLES, 1 / SAMPLE_RATE_HZ)
    in_band = (frequency >= LOW_HZ) & (frequency <= HIGH_HZ)
    level = np.empty(n_frames)
    for k, start in enumerate(starts):
        spectrum = np.fft.rfft(padded[start : start + 2 * FRAME_SAMPLES] * window)
        level[k] = np.sqrt((np.abs(spectrum[in_band]) ** 2).sum())
    if n_frames == 0 or level.max() <= 0:
        return np.zeros(n_frames)
    decibels = 20 * np.log10(np.maximum(level / level.max(), 1e-9))
    return np.asarray((decibels / FLOOR_DB + 1.0).clip(0.0, 1.0))


def lip_opening(
    pictures: UInt8[np.ndarray, "n h w 3"],
    activity: Float[np.ndarray, "m"],
    numbers: Sequence[int] | None = None,
) -> Float[np.ndarray, "n"]:
    """How open the mouth is: what changes most from picture to picture, in grey levels.

    The first principal component of the pictures: of a speaking mouth at one pose that is its
    opening. Its sign is the one that goes with loudness around the frame, over all the shifts
    that are compared, so that none of them is favoured.

    Args:
        pictures: of the mouth, all at one pose.
        activity: of the sound.
        numbers: as in `sync_score`.
    """
    n = len(pictures)
    if n == 0 or len(activity) == 0:
        return np.zeros(n)
    grey = pictures.astype(np.float32).mean(axis=3).reshape(n, -1)
    grey -= grey.mean(axis=0)
    products = (grey @ grey.T).astype(np.float64) / grey.shape[1]  # [n, n]
    strengths, directions = np.linalg.eigh(products)
    opening = directions[:, -1] * np.sqrt(max(strengths[-1], 0.0))
    at = np.arange(n) if numbers is None else np.asarray(numbers)
    padded = np.pad(activity, MAX_SHIFT_FRAMES, mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * MAX_SHIFT_FRAMES + 1).mean(axis=1)
    loudness = around[at.clip(0, len(around) - 1)]
    sign = np.sign(opening @ (loudness - loudness.mean())) or 1.0
    return np.asarray(sign * opening)
