"""What is said while a person is drawn, laid out on one sound track."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar_worker.recipes.people.camera import FPS
from avatar_worker.recipes.people.person import Line
from avatar_worker.recipes.speech.utterance import SILENCE, Mark, Utterance

LEAD_S, TAIL_S = 0.12, 0.12
"""Silence kept before and behind each sentence."""

SHORTEST_PAUSE_FRAMES = 4
SAMPLE_RATE = 24_000
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS

Speak = Callable[[str, str, float], Utterance]


class TrackTooLongError(ValueError):
    """The sentences do not fit the number of frames."""


@dataclass(frozen=True)
class SpokenTrack:
    """Sentences with pauses between, on one clock that starts at the first speaking frame.

    Attributes:
        samples: float32 [frames · 960], 24 kHz.
        marks: phones from 0 to the end, pauses included.
        starts: first frame of each utterance, the pause before it included.
        frames: length in video frames.
    """

    samples: NDArray[np.float32]
    marks: tuple[Mark, ...]
    starts: tuple[int, ...]
    frames: int

    def utterance_of_frame(self, at: int) -> int | None:
        """Which utterance a frame belongs to."""
        before = [number for number, start in enumerate(self.starts) if start <= at]
        return before[-1] if before else None

    def write(self, folder: Path) -> None:
        """Writes `speech.npy` and `speech.json`."""
        np.save(folder / "speech.npy", self.samples)
        body = {
            "starts": self.starts,
            "frames": self.frames,
            "marks": [(m.phone, m.start_s, m.end_s) for m in self.marks],
        }
        (folder / "speech.json").write_text(json.dumps(body, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, folder: Path) -> SpokenTrack:
        """Reads what `write` wrote."""
        body = json.loads((folder / "speech.json").read_text())
        marks = tuple(Mark(*entry) for entry in body["marks"])
        samples = np.load(folder / "speech.npy")
        return cls(samples, marks, tuple(body["starts"]), body["frames"])


def speak_script(
    speak: Speak, frames: int, script: Sequence[Line], speed: float = 1.0
) -> SpokenTrack:
    """Speaks the lines and spreads them over `frames`, pauses as long as the lines ask for beside
    each other; the pause after the last is an ordinary one.

    Raises:
        TrackTooLongError: They are longer than that.
    """
    spoken = [_trimmed(speak(line.text, line.voice, speed)) for line in script]
    lengths = [-(-len(each.samples) // SAMPLES_PER_FRAME) for each in spoken]
    pauses = shared_out(frames - sum(lengths), [*(line.pause for line in script), 1.0])
    if min(pauses) < SHORTEST_PAUSE_FRAMES:
        raise TrackTooLongError(
            f"the sentences take {sum(lengths)} frames and leave less than "
            f"{SHORTEST_PAUSE_FRAMES} frames of pause each in {frames}"
        )
    samples = np.zeros(frames * SAMPLES_PER_FRAME, dtype=np.float32)
    marks: list[Mark] = []
    starts = []
    at = 0
    for number, (each, length) in enumerate(zip(spoken, lengths, strict=True)):
        starts.append(at)
        at += pauses[number]
        first = at * SAMPLES_PER_FRAME
        samples[first : first + len(each.samples)] = each.samples
        marks += [
            Mark(m.phone, m.start_s + at / FPS, m.end_s + at / FPS)
            for m in each.marks
            if m.phone != SILENCE or m.start_s > 0
        ]
        at += length
    return SpokenTrack(samples, _filled(marks, frames / FPS), tuple(starts), frames)


def shared_out(frames: int, weights: Sequence[float]) -> list[int]:
    """Whole frames in proportion to the weights; what rounding leaves goes to the first ones."""
    each = [math.floor(frames * weight / sum(weights)) for weight in weights]
    left = frames - sum(each)
    return [share + (number < left) for number, share in enumerate(each)]


def _trimmed(spoken: Utterance) -> Utterance:
    """Cuts the long silences at both ends, fades what is left of them in and out."""
    voiced = [mark for mark in spoken.marks if mark.phone != SILENCE]
    start_s = max(0.0, voiced[0].start_s - LEAD_S)
    end_s = min(spoken.duration_s, voiced[-1].end_s + TAIL_S)
    rate = spoken.sample_rate
    samples = spoken.samples[round(start_s * rate) : round(end_s * rate)].copy()
    fade = np.linspace(0, 1, rate // 50, dtype=np.float32)
    samples[: len(fade)] *= fade
    samples[-len(fade) :] *= fade[::-1]
    marks = tuple(
        Mark(m.phone, max(0.0, m.start_s - start_s), min(m.end_s, end_s) - start_s)
        for m in spoken.marks
        if m.end_s > start_s and m.start_s < end_s
    )
    return Utterance(samples, rate, marks)


def _filled(marks: Sequence[Mark], duration_s: float) -> tuple[Mark, ...]:
    """Puts silence where no mark is; neighbouring silences become one, lest they count twice."""
    filled: list[Mark] = []

    def add(mark: Mark) -> None:
        if filled and filled[-1].phone == mark.phone == SILENCE:
            filled[-1] = Mark(SILENCE, filled[-1].start_s, mark.end_s)
        elif mark.duration_s > 1e-6:
            filled.append(mark)

    at_s = 0.0
    for mark in [*marks, Mark(SILENCE, duration_s, duration_s)]:
        if mark.start_s - at_s > 1e-6:
            add(Mark(SILENCE, at_s, mark.start_s))
        add(mark)
        at_s = mark.end_s
    return tuple(filled)
