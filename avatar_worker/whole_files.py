"""Files appear under their names complete or not at all."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

PART: Final = ".part"
"""Ending of a hidden file beside the place of one that is being written."""


def part_of(path: Path) -> Path:
    """Where a file is while it is being written."""
    return path.with_name(f".{path.name}{PART}")


def write_whole(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file, and its folder where there is none; `durable` also survives the machine's end.

    Raises:
        OSError: no room, no right; it names the file, and what was there before is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(path)
    try:
        with part.open("wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
