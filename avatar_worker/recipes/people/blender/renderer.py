"""What the drawing loop calls: one state → one picture and one class mask."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
from PIL import Image

from avatar_worker.recipes.people.blender.scene import Scene
from avatar_worker.recipes.people.camera import Pose
from avatar_worker.recipes.people.character import Character
from avatar_worker.recipes.people.person import Person
from avatar_worker.recipes.people.plan import Frame
from avatar_worker.recipes.people.units import FRIENDLY
from avatar_worker.recipes.people.window import HEAD_WINDOW, Window

PLATE_SAMPLES = 24
SPECK = Window(0, 0, 8, 8)


class WindowRenderer:
    """Traces the head's window and pastes it into a plate drawn once."""

    def __init__(self, data: Path, person: Person, work: Path, samples: int) -> None:
        self.scene = Scene(Character(data, person), samples)
        self._window_file = work / "window.png"
        self._plate = self._load_plate(work / "plate.png")

    def _load_plate(self, path: Path) -> np.ndarray:
        """The resting picture, whole; drawn when it is missing.

        When it is not, a speck of it is: the path tracer keeps the sampling pattern of what it drew
        first, and a run that goes on shall draw as the one that began.
        """
        bpy.context.scene.cycles.samples = PLATE_SAMPLES
        self.scene.set_state(FRIENDLY, Pose())
        if path.is_file():
            self.scene.render(self._window_file, SPECK)
        else:
            unfinished = path.with_name(f"unfinished-{path.name}")
            self.scene.render(unfinished)
            unfinished.replace(path)
        return np.asarray(Image.open(path).convert("RGB"))

    def draw(self, frame: Frame, picture: Path, mask: Path) -> None:
        """Writes picture and mask."""
        self.draw_picture(frame, picture)
        self.scene.render_mask(mask)

    def draw_picture(self, frame: Frame, picture: Path) -> None:
        """Writes the picture alone; the scene stays in the frame's state."""
        cycles = bpy.context.scene.cycles
        cycles.samples, cycles.seed = frame.samples, frame.seed
        self.scene.set_state(frame.units, frame.pose)
        self.scene.render(self._window_file, HEAD_WINDOW)
        window = np.asarray(Image.open(self._window_file).convert("RGB"))
        Image.fromarray(HEAD_WINDOW.paste(window, self._plate)).save(picture)
