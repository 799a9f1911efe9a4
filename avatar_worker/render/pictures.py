"""Reads pictures to RGB arrays. Decoded by OpenCV, as the reference pictures were.

A picture says its size in its first bytes, and OpenCV believes it before it has seen a pixel. So
the size is looked at before, and only formats are decoded whose beginning is known here.
"""

import struct
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8

from avatar_worker.plain_files import read_plain
from avatar_worker.render.errors import DataFolderError

MAX_PICTURE_BYTES: Final = 64 * 1024**2
MAX_PIXELS: Final = 4096 * 4096
JPEG, JPEG_SCAN = b"\xff\xd8", b"\xff\xda"
MAX_SCANS: Final = 32
"""Of a progressive JPEG; encoders write about ten, and each costs a pass over all pixels."""


def read_rgb(path: Path) -> UInt8[np.ndarray, "H W 3"]:
    """An 8-bit colour picture."""
    return decode_rgb(_bytes_of(path), str(path))


def read_rgba(path: Path) -> UInt8[np.ndarray, "H W 4"]:
    """An 8-bit colour picture with transparency; opaque where the file has none."""
    return decode_rgba(_bytes_of(path), str(path))


def decode_rgba(content: bytes, name: str) -> UInt8[np.ndarray, "H W 4"]:
    """RGBA from the bytes of a picture file; opaque where the file has no transparency."""
    picture = _decode(content, cv2.IMREAD_UNCHANGED, name)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (3, 4):
        raise DataFolderError(f"{name} is no 8-bit RGB or RGBA picture")
    code = cv2.COLOR_BGRA2RGBA if picture.shape[2] == 4 else cv2.COLOR_BGR2RGBA
    return np.asarray(cv2.cvtColor(picture, code))


def decode_rgb(content: bytes, name: str) -> UInt8[np.ndarray, "H W 3"]:
    """RGB from the bytes of a picture file."""
    picture = _decode(content, cv2.IMREAD_COLOR, name)
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))


def decode_grey(content: bytes, name: str) -> UInt8[np.ndarray, "H W"]:
    """One channel from the bytes of a picture file."""
    return _decode(content, cv2.IMREAD_GRAYSCALE, name)


def resize(picture: UInt8[np.ndarray, "..."], width: int, height: int) -> UInt8[np.ndarray, "..."]:
    """Scale a picture; areas are averaged when it shrinks. Returns it unchanged if it fits."""
    if picture.shape[:2] == (height, width):
        return picture
    shrinks = width <= picture.shape[1] and height <= picture.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width, height), interpolation=method))


def _bytes_of(path: Path) -> bytes:
    try:
        return read_plain(path, MAX_PICTURE_BYTES)
    except ValueError as error:
        raise DataFolderError(f"{path} cannot be read: {error}") from None


def _decode(content: bytes, mode: int, name: str) -> UInt8[np.ndarray, "..."]:
    if not content:
        raise DataFolderError(f"{name} is empty")
    size = stated_size(content)
    if size is None:
        raise DataFolderError(f"{name} is no picture that can be decoded: JPEG, PNG and WebP are")
    if size[0] * size[1] > MAX_PIXELS:
        raise DataFolderError(
            f"{name} has {size[0]} × {size[1]} px; at most {MAX_PIXELS} are accepted"
        )
    if content.startswith(JPEG) and content.count(JPEG_SCAN) > MAX_SCANS:
        raise DataFolderError(f"{name} has more than {MAX_SCANS} scans")
    try:
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), mode)
    except cv2.error:
        picture = None
    if picture is None:
        raise DataFolderError(f"{name} is no picture that can be decoded")
    return np.asarray(picture)


def stated_size(content: bytes) -> tuple[int, int] | None:
    """Width and height that a JPEG, PNG or WebP file says it has; None for anything else."""
    try:
        if content.startswith(b"\x89PNG\r\n\x1a\n"):
            width, height = struct.unpack_from(">II", content, 16)
        elif content.startswith(b"RIFF") and content[8:12] == b"WEBP":
            width, height = _webp_size(content)
        elif content.startswith(JPEG):
            width, height = _jpeg_size(content)
        else:
            return None
    except (struct.error, ValueError, LookupError):
        return None
    return int(width), int(height)


def _webp_size(content: bytes) -> tuple[int, int]:
    kind = content[12:16]
    if kind == b"VP8 ":  # 14 bits each
        width, height = struct.unpack_from("<HH", content, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        sides = content[24:27], content[27:30]
        return int.from_bytes(sides[0], "little") + 1, int.from_bytes(sides[1], "little") + 1
    raise ValueError("no picture")


def _jpeg_size(content: bytes) -> tuple[int, int]:
    """From the frame header (SOF), the first of the segments 0xC0 … 0xCF that is no table."""
    at = 2
    while True:
        at = content.index(b"\xff", at)
        marker = content[at + 1]
        if marker == 0xFF:
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", content, at + 5)
            return width, height
        elif marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:  # no length follows
            at += 2
        else:
            at += 2 + struct.unpack_from(">H", content, at + 2)[0]
