"""The step `features`: altered copies, log-mel windows and their labels, one file per set."""

from __future__ import annotations

import random
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar_worker.recipes.audio_encoder import mel, wave_copies
from avatar_worker.recipes.audio_encoder.corpus import (
    line_files,
    load_line,
    set_folders,
    write_arrays,
)
from avatar_worker.recipes.audio_encoder.label_step import frame_labels, load_labels

_SHORTEST_SAMPLES = 4_800


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Encoder windows with labels; W windows over M mel frames.

    Attributes:
        mel: Natural logarithm of magnitudes `[M, 80]` float16, all sounds behind each other.
        starts: First mel frame of each window `[W]`.
        targets: Mouth parameters of the frame before, at and after the window's `[W, 3, 9]`.
        phones: Phone at the window's frame `[W]`, an index of `PHONES`.
        sounds: Which sound a window is from `[W]`.
    """

    mel: NDArray[np.float16]
    starts: NDArray[np.int32]
    targets: NDArray[np.float16]
    phones: NDArray[np.uint8]
    sounds: NDArray[np.int32]

    @staticmethod
    def joined(parts: list[Windows]) -> Windows:
        """Several stores as one."""
        frames = np.cumsum([0, *(len(part.mel) for part in parts)])
        sounds = np.cumsum([0, *(int(part.sounds.max(initial=-1)) + 1 for part in parts)])
        return Windows(
            np.concatenate([part.mel for part in parts]),
            np.concatenate([p.starts + n for p, n in zip(parts, frames, strict=False)]),
            np.concatenate([part.targets for part in parts]),
            np.concatenate([part.phones for part in parts]),
            np.concatenate([p.sounds + n for p, n in zip(parts, sounds, strict=False)]),
        )

    def picked(self, index: NDArray[np.integer]) -> Windows:
        """Only the windows `[K]` of these numbers."""
        chosen = (self.starts[index], self.targets[index], self.phones[index], self.sounds[index])
        return Windows(self.mel, *chosen)

    @staticmethod
    def load(path: Path) -> Windows:
        """Read a set's file."""
        with np.load(path) as file:
            return Windows(*(file[field.name] for field in fields(Windows)))

    def save(self, path: Path) -> None:
        """Write a set's file."""
        write_arrays(path, **{field.name: getattr(self, field.name) for field in fields(self)})


def sound_windows(
    samples: NDArray[np.float32],
    curves: NDArray[np.floating],
    phones: NDArray[np.uint8],
    stretch: float = 1.0,
) -> Windows:
    """All full windows of one sound, with their labels.

    Args:
        samples: `[n]` at 16 kHz.
        curves: Mouth parameters of the labelled sound, see `frame_labels`.
        phones: Its phones.
        stretch: Length of `samples` as a multiple of the labelled sound's.
    """
    magnitudes = mel.log_magnitudes(samples).astype(np.float16)
    starts = mel.window_starts(len(magnitudes))
    targets, heard = frame_labels(curves, phones, len(starts) + 3, stretch)
    row = np.arange(len(starts)) + 3  # window k → video frame k + 2 → row k + 3
    around = np.stack([targets[row - 1], targets[row], targets[row + 1]], axis=1)
    nothing = np.zeros(len(starts), dtype=np.int32)
    return Windows(magnitudes, starts, around.astype(np.float16), heard[row], nothing)


def make_features(work: Path) -> None:
    """Write `features/<set>.npz` for every labelled set that has none.

    Training sets get five copies of each line, test sets only the line itself. Delete a file to
    have it made again, after more lines were spoken for instance.
    """
    for folder in set_folders(work):
        path = work / "features" / f"{folder.name}.npz"
        if path.exists():
            continue
        parts: list[Windows] = []
        for source in line_files(folder):
            samples = load_line(source).utterance.samples
            curves, phones = load_labels(work, source)
            versions = [(samples, 1.0)]
            if folder.name.startswith("train"):
                rng = random.Random(f"{folder.name}/{source.name}")
                versions = wave_copies.copies(samples, rng)
            parts += [
                sound_windows(sound, curves, phones, stretch)
                for sound, stretch in versions
                if len(sound) >= _SHORTEST_SAMPLES
            ]
        windows = Windows.joined(parts)
        windows.save(path)
        print(f"{folder.name}: {len(windows.starts)} windows, {len(parts)} sounds", flush=True)
