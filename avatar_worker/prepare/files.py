"""Files appear under their names complete or not at all, and a full disk is said."""

import contextlib
import io
import json
import os
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

JPEG_QUALITY: Final = 95
"""As the original's own pictures."""

FRAME_JPEG_QUALITY: Final = 98
"""Of the frames themselves, from which everything else is made."""


def write_bytes(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Write a file whole; `durable` also survives the machine's end.

    Raises:
        OSError: the disk is full, or the like; nothing is left under the name.
    """
    unfinished = path.with_name(f".{path.name}.part")
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from None


def write_picture(path: Path, picture: NDArray[np.uint8], *, quality: int = JPEG_QUALITY) -> None:
    """RGB [H, W, 3] or RGBA [H, W, 4], as the name's ending says."""
    code = cv2.COLOR_RGBA2BGRA if picture.shape[2] == 4 else cv2.COLOR_RGB2BGR
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix == ".jpg" else []
    _, encoded = cv2.imencode(path.suffix, cv2.cvtColor(picture, code), options)
    write_bytes(path, encoded.tobytes())


def write_array(path: Path, array: NDArray[Any]) -> None:
    """A `.npy` file, durable."""
    content = io.BytesIO()
    np.save(content, array)
    write_bytes(path, content.getvalue(), durable=True)


def write_json(path: Path, content: Any) -> None:
    """Indented JSON, durable."""
    write_bytes(path, (json.dumps(content, indent=1) + "\n").encode(), durable=True)


def sweep(folder: Path) -> None:
    """Remove what a killed run left unfinished."""
    for pattern in (".*.part", "*/.*.part", "*/*/.*.part"):
        for leftover in folder.glob(pattern):
            leftover.unlink(missing_ok=True)
