"""Spoken lines on disk, one small file each: 16 kHz sound, phones and their times.

Files appear whole or not at all, so an interrupted run goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from avatar_worker.recipes.audio_encoder.plan import Line, SpeechSet
from avatar_worker.recipes.speech.phones import PHONES
from avatar_worker.recipes.speech.utterance import Mark, Utterance

SAMPLE_RATE = 16_000
PEAK = 0.5
"""Every line is brought to this peak, −6 dBFS: what the live path is told to feed."""


@dataclass(frozen=True, slots=True, eq=False)
class SpokenLine:
    """A line of the corpus: who said what, and the sound at 16 kHz with its marks."""

    voice: str
    text: str
    utterance: Utterance


def write_arrays(path: Path, **arrays: Any) -> None:
    """Write an `.npz` file in one step: a reader sees the old state or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        np.savez(file, **arrays)
    unfinished.replace(path)


def normalised(samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
    """Sound `[n]` at any rate as 16 kHz with a peak of `PEAK`."""
    resampled = soxr.resample(samples, sample_rate, SAMPLE_RATE)
    return np.asarray(resampled / (np.abs(resampled).max() + 1e-6) * PEAK, dtype=np.float32)


def save_line(path: Path, voice: str, text: str, utterance: Utterance) -> None:
    """Write one line; its sound is normalised on the way."""
    samples = normalised(utterance.samples, utterance.sample_rate)
    write_arrays(
        path,
        samples=np.round(samples * 32767).astype(np.int16),
        phones=np.array([PHONES.index(mark.phone) for mark in utterance.marks], dtype=np.uint8),
        starts_s=np.array([mark.start_s for mark in utterance.marks], dtype=np.float32),
        ends_s=np.array([mark.end_s for mark in utterance.marks], dtype=np.float32),
        voice=voice,
        text=text,
        duration_s=len(samples) / SAMPLE_RATE,
    )


def load_line(path: Path) -> SpokenLine:
    """Read one line back."""
    with np.load(path) as file:
        marks = tuple(
            Mark(PHONES[phone], float(start_s), float(end_s))
            for phone, start_s, end_s in zip(
                file["phones"], file["starts_s"], file["ends_s"], strict=True
            )
        )
        samples = file["samples"].astype(np.float32) / 32768
        return SpokenLine(str(file["voice"]), str(file["text"]), Utterance(samples, 16_000, marks))


def set_folders(work: Path) -> list[Path]:
    """The folders of all spoken sets, in order; unfinished ones are left out."""
    return sorted(folder for folder in (work / "speech").iterdir() if not folder.suffix)


def line_files(folder: Path) -> list[Path]:
    """The finished lines of a set, in order."""
    return sorted(folder.glob("[0-9]*.npz"))


def speak_set(folder: Path, speech_set: SpeechSet) -> Iterator[tuple[Line, float]]:
    """Speak the missing lines of a set until it is long enough.

    Lines that an engine refuses are left out.

    Args:
        folder: Where the set's files go.
        speech_set: What to speak.

    Yields:
        Each line that was spoken now, and the minutes the set has reached.
    """
    spoken_s = 0.0
    for index, line in enumerate(speech_set.lines()):
        if spoken_s >= 60 * speech_set.minutes:
            return
        path = folder / f"{index:05d}.npz"
        if path.exists():
            with np.load(path) as file:
                spoken_s += float(file["duration_s"])
            continue
        try:
            utterance = line.speak()
        except ValueError as refusal:
            print(f"{speech_set.name} {index}: left out, {refusal}", flush=True)
            continue
        save_line(path, line.voice, line.text, utterance)
        spoken_s += utterance.duration_s
        yield line, spoken_s / 60


def keep_recordings(
    folder: Path, voice: str, recordings: Iterator[tuple[str, Utterance]], minutes: float
) -> float:
    """Store recordings until they are long enough, all in one go; a kept set is left alone.

    Args:
        folder: Where the set's files go.
        voice: Whose they are.
        recordings: Words and sound.
        minutes: Enough; less if there are no more.

    Returns:
        Minutes stored now.
    """
    unfinished, stored_s = folder.with_name(f"{folder.name}.unfinished"), 0.0
    if folder.exists():
        return 0.0
    for index, (text, utterance) in enumerate(recordings):
        save_line(unfinished / f"{index:05d}.npz", voice, text, utterance)
        stored_s += utterance.duration_s
        if stored_s >= 60 * minutes:
            break
    unfinished.rename(folder)
    return stored_s / 60
