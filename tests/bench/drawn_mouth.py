"""What a drawn person's mouth did, frame by frame: the truth that no video has."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar_worker.recipes.audio_encoder.mouth import mouth_curves
from avatar_worker.recipes.people.camera import FPS
from avatar_worker.recipes.people.plan import Plan
from avatar_worker.recipes.people.script import SpokenTrack


class DrawnMouth:
    """The nine mouth parameters of a person's recipe.

    Args:
        work: folder of the recipe.
    """

    def __init__(self, work: Path) -> None:
        self._marks = SpokenTrack.read(work).marks
        self._first = sum(frame.kind == "idle" for frame in Plan.read(work / "plan.json").frames)

    def speaks(self, numbers: Sequence[int]) -> NDArray[np.bool_]:
        """Whether frames are of the speaking part, not of the pose loop. [n]"""
        return np.array(numbers) >= self._first

    def parameters(self, numbers: Sequence[int]) -> NDArray[np.float32]:
        """Of frames; 0 in the pose loop. [n, 9]"""
        spoken = np.array(numbers) - self._first
        mouth, _ = mouth_curves(self._marks, (spoken + 0.5) / FPS)
        return np.where(spoken[:, None] < 0, np.float32(0), mouth)
