"""What every step is given: the footage, the folder, and the places in it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from avatar_worker.plain_files import decode_array, read_plain
from avatar_worker.prepare.crop import Crop
from avatar_worker.prepare.errors import FolderError
from avatar_worker.prepare.video import Video
from avatar_worker.render.data_folder import MAX_TABLE_BYTES
from avatar_worker.render.errors import DataFolderError
from avatar_worker.render.pictures import read_rgb

Report = Callable[[int, int], None]
"""How much of a step is done, and how much there is."""

CHUNK_FRAMES: Final = 100
"""Frames whose meshes are stored together."""


@dataclass(frozen=True, slots=True)
class Job:
    """The footage and the folder that is made of it."""

    video: Video
    folder: Path
    crop: Crop
    focal_px: float | None

    @property
    def n_frames(self) -> int:
        """Frames of the folder, numbered from 0."""
        return self.video.n_frames

    @property
    def by_products(self) -> Path:
        """What steps leave for each other."""
        return self.folder / "prepare"

    def original(self, number: int) -> Path:
        """Picture of a frame."""
        return self.folder / "ori_imgs" / f"{number}.jpg"

    def read_original(self, number: int) -> NDArray[np.uint8]:
        """Picture of a frame, RGB. [H, W, 3]"""
        return read_picture(self.original(number))

    def meshes(self) -> NDArray[np.float64]:
        """The 468 points of every frame, NaN where there is no face. [n, 468, 3]"""
        parts = [
            read_array(self.by_products / "mesh" / f"{start}.npy")
            for start in range(0, self.n_frames, CHUNK_FRAMES)
        ]
        return np.concatenate(parts).astype(np.float64)

    def with_face(self) -> NDArray[np.int64]:
        """Numbers of the frames that show a face; the others stay out of the folder."""
        return np.flatnonzero(np.isfinite(self.meshes()[:, 0, 0]))


def read_picture(path: Path) -> NDArray[np.uint8]:
    """RGB of one of our own files.

    Raises:
        FolderError: it is absent or damaged.
    """
    try:
        return read_rgb(path)
    except DataFolderError as error:
        raise FolderError(f"{error}; begin anew with --restart") from None


def read_array(path: Path) -> NDArray[np.float64]:
    """Numbers of one of our own files.

    Raises:
        FolderError: it is absent or damaged.
    """
    try:
        return decode_array(read_plain(path, 16 * MAX_TABLE_BYTES))
    except ValueError as error:
        raise FolderError(f"{path} cannot be read ({error}); begin anew with --restart") from None
