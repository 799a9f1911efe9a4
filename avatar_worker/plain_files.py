"""Reads files that somebody else made: plain ones, no larger than expected, nothing called.

What is wrong is said in a clause (`ValueError`); the caller knows which file it is and which of
its errors to raise.
"""

import io
import math
import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from avatar_worker.sentence import reason

ZIP_ERRORS: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    RuntimeError,  # encrypted; its child NotImplementedError: packed in an unknown way
    MemoryError,
)
"""What Python's archive reader raises over a damaged archive."""

CHUNK_BYTES: Final = 1024**2
MAX_HEADER_BYTES: Final = 1000


def read_plain(path: Path, max_bytes: int) -> bytes:
    """Content of a plain file, or of what a link to one names.

    Raises:
        ValueError: absent, a folder, a pipe, a device, too large, not readable.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a plain file")
        if status.st_size > max_bytes:
            raise ValueError(f"it has {status.st_size} bytes; at most {max_bytes} are accepted")
        return path.read_bytes() if status.st_size else b""
    except OSError as error:
        raise ValueError(reason(error)) from None


def read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, max_bytes: int) -> bytearray:
    """Content of an archive's entry, unpacked to no more than it is said to have.

    Raises:
        ValueError: it has more bytes than are accepted, or is packed in an unusual way.
        ZIP_ERRORS: it is damaged.
    """
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{entry.filename} is packed in another way than zip files usually are")
    if entry.file_size > max_bytes:
        raise ValueError(
            f"{entry.filename} has {entry.file_size} bytes; at most {max_bytes} are accepted"
        )
    content = bytearray()
    with archive.open(entry) as file:
        while piece := file.read(CHUNK_BYTES):
            content += piece
    if len(content) != entry.file_size:
        raise ValueError(f"{entry.filename} has another size than stated")
    return content


def decode_array(content: bytes) -> NDArray[Any]:
    """The numbers of a `.npy` file; it shares the memory of `content`.

    Raises:
        ValueError: no such file, cut short, or something else than real numbers.
    """
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            read = np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = read(file, max_header_size=MAX_HEADER_BYTES)
    except Exception:  # the header is Python source, and numpy's reader of it raises anything
        raise ValueError("it does not begin as an array does") from None
    if dtype.kind not in "fiub":
        raise ValueError(f"it holds {dtype}; expected numbers")
    n = math.prod(shape)
    is_shape = all(type(size) is int and size >= 0 for size in shape)
    if not is_shape or n * dtype.itemsize > len(content) - file.tell():
        raise ValueError(f"it is too short for an array of shape {shape}")
    array = np.frombuffer(content, dtype, n, file.tell()) if n else np.empty(0, dtype)
    return array.reshape(shape, order="F" if is_fortran else "C")
