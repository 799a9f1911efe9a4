"""One run at a time in a folder that a long command writes to."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class FolderBusyError(Exception):
    """Another run is at work in the folder."""


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Hold a folder; it is made if there is none, and removed again if nothing came into it.

    The lock lies on the folder itself: no file stands for it, and the kernel lets go of it when
    this process ends, however it ends.

    Raises:
        FolderBusyError: another run holds it.
        OSError: it is a file, or cannot be made.
    """
    if folder.is_file():
        raise NotADirectoryError(errno.ENOTDIR, "is a file; a folder is expected", str(folder))
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderBusyError(
                f"another run is at work in {folder}; wait for it, or end it"
            ) from None
        yield
    finally:
        os.close(handle)
        if is_new:
            with suppress(OSError):
                folder.rmdir()
