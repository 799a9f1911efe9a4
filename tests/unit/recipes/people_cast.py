"""A short spoken track and a renderer that draws nothing much: for all drawn people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from avatar_worker.recipes.people.camera import SIZE_PX
from avatar_worker.recipes.people.mira import MIRA
from avatar_worker.recipes.people.person import Line
from avatar_worker.recipes.people.plan import Frame, Plan, make_plan
from avatar_worker.recipes.people.script import SpokenTrack, speak_script
from avatar_worker.recipes.speech.utterance import Mark, Utterance

RATE = 24_000
PHONE_S = 0.08


def speak(text: str, voice: str, speed: float) -> Utterance:
    """Every letter of the text is a phone of 80 ms, between half a second of silence."""
    marks = [Mark("sil", 0.0, 0.5)]
    for phone in text:
        marks.append(Mark(phone, marks[-1].end_s, marks[-1].end_s + PHONE_S))
    marks.append(Mark("sil", marks[-1].end_s, marks[-1].end_s + 0.5))
    samples = np.full(round(marks[-1].end_s * RATE), 0.5, dtype=np.float32)
    return Utterance(samples, RATE, tuple(marks))


def lines(*texts: str) -> list[Line]:
    """A script of one voice."""
    return [Line("anybody", text) for text in texts]


def short_track(frames: int = 100) -> SpokenTrack:
    """Two utterances full of closures."""
    return speak_script(speak, frames, lines("mɑpibɑ", "fuviwɑm"))


def plan_of(track: SpokenTrack, idle_frames: int, seed: int = 20) -> Plan:
    """Mira's plan with a loop of this length and the last sentence held out."""
    schedule = replace(MIRA.schedule, idle_frames=idle_frames, held_out_lines=1)
    return make_plan(track, MIRA, schedule, seed)


class FakeRenderer:
    """Writes flat pictures; stops with an error after `breaks_after` frames."""

    def __init__(self, breaks_after: int | None = None) -> None:
        self.drawn: list[Frame] = []
        self._breaks_after = breaks_after

    def draw(self, frame: Frame, picture: Path, mask: Path) -> None:
        """Writes the picture, and breaks before the mask when its time has come."""
        cv2.imwrite(str(picture), np.full((SIZE_PX, SIZE_PX, 3), 90, dtype=np.uint8))
        if self._breaks_after is not None and len(self.drawn) >= self._breaks_after:
            raise RuntimeError("out of memory")
        cv2.imwrite(str(mask), class_picture()[..., ::-1])
        self.drawn.append(frame)


def class_picture() -> np.ndarray:
    """RGB class mask: a face in hair above a neck in a sweater."""
    picture = np.zeros((SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
    cv2.ellipse(picture, (256, 230), (140, 165), 0, 0, 360, (255, 0, 0), -1)
    cv2.rectangle(picture, (196, 330), (316, 430), (0, 255, 0), -1)
    cv2.rectangle(picture, (60, 420), (452, 511), (0, 0, 255), -1)
    cv2.ellipse(picture, (256, 240), (100, 140), 0, 0, 360, (255, 255, 0), -1)
    return picture
