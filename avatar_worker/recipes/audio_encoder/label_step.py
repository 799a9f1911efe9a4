"""The step `labels`: mouth curves for every spoken line, 200 values a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar_worker.recipes.audio_encoder.corpus import (
    line_files,
    load_line,
    set_folders,
    write_arrays,
)
from avatar_worker.recipes.audio_encoder.mouth import mouth_curves

STEP_S = 0.005
FRAME_S = 0.040
"""One video frame; its label is the mouth at the frame's middle."""


def make_labels(work: Path) -> None:
    """Write `labels/<set>/<line>.npz` for every line of `work/speech` that has none."""
    for folder in set_folders(work):
        made = 0
        for source in line_files(folder):
            path = _label_file(work, source)
            if not path.exists():
                line = load_line(source)
                times_s = np.arange(0, line.utterance.duration_s + STEP_S, STEP_S)
                curves, phones = mouth_curves(line.utterance.marks, times_s)
                write_arrays(path, curves=curves.astype(np.float16), phones=phones)
                made += 1
        print(f"{folder.name}: {made} lines labelled", flush=True)


def load_labels(work: Path, source: Path) -> tuple[NDArray[np.floating], NDArray[np.uint8]]:
    """Mouth curves `[N, 9]` and phones `[N]` of a spoken line's file."""
    with np.load(_label_file(work, source)) as labels:
        return labels["curves"], labels["phones"]


def _label_file(work: Path, source: Path) -> Path:
    return work / "labels" / source.parent.name / source.name


def frame_labels(
    curves: NDArray[np.floating], phones: NDArray[np.uint8], n_frames: int, stretch: float = 1.0
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Labels of video frames −1…`n_frames`.

    Args:
        curves: Mouth parameters `[N, 9]` at steps of `STEP_S`.
        phones: Phones `[N]` at the same times.
        n_frames: How many frames.
        stretch: Length of the sound in use as a multiple of the labelled sound's.

    Returns:
        Parameters `[n_frames + 2, 9]` and phones `[n_frames + 2]`; the first row is the frame
        before the sound. Beyond the ends the first and the last value hold.
    """
    middle_s = (np.arange(-1, n_frames + 1) + 0.5) * FRAME_S / stretch
    position = np.clip(middle_s / STEP_S, 0, len(curves) - 1)
    before = np.minimum(position.astype(int), len(curves) - 2)
    share = (position - before)[:, None]
    values = curves.astype(np.float32)
    blended = values[before] * (1 - share) + values[before + 1] * share
    return blended.astype(np.float32), phones[position.astype(int)]
