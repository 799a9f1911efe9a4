"""What is said while Mira is drawn, laid out on one sound track."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar_worker.recipes.people.camera import FPS
from avatar_worker.recipes.speech.utterance import SILENCE, Mark, Utterance


@dataclass(frozen=True)
class Line:
    """A sentence and the voice that says it."""

    voice: str
    text: str


SPEED = 1.05
HELD_OUT_LINES = 2
SCRIPT: tuple[Line, ...] = (
    Line("af_heart", "Hello, I am Mira, and I am very happy to meet you."),
    Line("af_heart", "Five brave women moved above the busy food market before noon."),
    Line("am_puck", "Please put the paper cups back on top of the oven."),
    Line("af_heart", "Would you show me which blue boat you chose?"),
    Line("af_heart", "She sells cheap fish, but Bob prefers beef pie with plum jam."),
    Line("af_bella", "My brother thinks both of those things are worth thirty dollars."),
    Line("af_heart", "Of course, let me explain how that works in a few simple steps."),
    Line("af_heart", "Usually the weather is lovely in June, though the evenings can be cool."),
    Line("af_sarah", "I would be glad to help, just tell me what you need."),
    Line("af_heart", "Three thin thieves thought a thousand thoughts through the month."),
    Line("am_puck", "How about a loud round of applause for the brown cow down south?"),
    Line("af_heart", "I have no information about that, but I can find out."),
    Line("bf_emma", "We need a huge new menu with beans, peas and green tea."),
    Line("af_bella", "Maybe the number of members may double by September."),
    Line("af_heart", "Look, a good cook could put sugar on this pudding."),
    Line("bm_george", "Good morning! What would you like to talk about?"),
    Line("bf_emma", "Peter fed the puppy above the mill, and both were warm and happy."),
    Line("af_heart", "We have a few more beautiful maps."),
)
"""Mira's own voice (`af_heart`) and five others, so that her mouth hears more than one throat. Many
closures, lips on teeth, round and wide vowels; the last lines are held out for scoring."""

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


def speak_script(speak: Speak, frames: int, script: Sequence[Line] = SCRIPT) -> SpokenTrack:
    """Speaks the lines and spreads them evenly over `frames`.

    Raises:
        TrackTooLongError: They are longer than that.
    """
    spoken = [_trimmed(speak(line.text, line.voice, SPEED)) for line in script]
    lengths = [-(-len(each.samples) // SAMPLES_PER_FRAME) for each in spoken]
    pause, extra = divmod(frames - sum(lengths), len(spoken) + 1)
    if pause < SHORTEST_PAUSE_FRAMES:
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
        at += pause + (number < extra)
        first = at * SAMPLES_PER_FRAME
        samples[first : first + len(each.samples)] = each.samples
        marks += [
            Mark(m.phone, m.start_s + at / FPS, m.end_s + at / FPS)
            for m in each.marks
            if m.phone != SILENCE or m.start_s > 0
        ]
        at += length
    return SpokenTrack(samples, _filled(marks, frames / FPS), tuple(starts), frames)


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
