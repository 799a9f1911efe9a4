"""The files of a data folder; each appears complete or not at all, and a full disk is said."""

import io
import json
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from avatar_worker.whole_files import PART, write_whole

JPEG_QUALITY: Final = 95
"""As the original's own pictures."""

FRAME_JPEG_QUALITY: Final = 98
"""Of the frames themselves, from which everything else is made."""


def write_picture(path: Path, picture: NDArray[np.uint8], *, quality: int = JPEG_QUALITY) -> None:
    """RGB [H, W, 3] or RGBA [H, W, 4], as the name's ending says."""
    code = cv2.COLOR_RGBA2BGRA if picture.shape[2] == 4 else cv2.COLOR_RGB2BGR
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix == ".jpg" else []
    _, encoded = cv2.imencode(path.suffix, cv2.cvtColor(picture, code), options)
    write_whole(path, encoded.tobytes(), durable=False)


def write_array(path: Path, array: NDArray[Any]) -> None:
    """A `.npy` file, durable."""
    content = io.BytesIO()
    np.save(content, array)
    write_whole(path, content.getvalue())


def write_json(path: Path, content: Any) -> None:
    """Indented JSON, durable."""
    write_whole(path, (json.dumps(content, indent=1) + "\n").encode())


def sweep(folder: Path) -> None:
    """Remove what a killed run left unfinished."""
    for pattern in (f".*{PART}", f"*/.*{PART}", f"*/*/.*{PART}"):
        for leftover in folder.glob(pattern):
            leftover.unlink(missing_ok=True)
