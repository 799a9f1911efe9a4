"""Damage that needs no knowledge of what is damaged: bytes, and numbers nobody expects."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

NUMBERS: Final[tuple[int | float, ...]] = (
    0, 1, -1, 2, 7, 127, 128, 255, 256, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1, 2**32,
    2**40, 2**62, 2**63 - 1, 2**63, 2**64, -(2**31), -(2**63), 10**30, 10**400, 0.5, -0.0, 1e-320,
    1e-30, 1e30, 3e38, 1e300, -1e300, float("inf"), float("-inf"), float("nan"),
)  # fmt: skip
TEXTS: Final = (
    "", " ", "0", "1", "-1", "1e999", "nan", "x", "x\ny", "\x00", "\ud83d", "é", "../../etc/passwd",
    "/dev/zero", "/etc/hostname", "%s%n", "${HOME}", "'; DROP TABLE", "A" * 300, "0" * 5000,
    "9" * 400, "A" * 200_000,
)  # fmt: skip


def weird(rng: Random, *, depth: int = 2) -> Any:
    """A plain value of any kind."""
    roll = rng.randrange(10)
    if roll < 4:
        return rng.choice(NUMBERS)
    if roll < 7:
        return rng.choice(TEXTS)
    if roll == 7 or depth == 0:
        return rng.choice((None, True, False))
    inner = [weird(rng, depth=depth - 1) for _ in range(rng.randrange(4))]
    return inner if roll == 8 else {f"k{index}": value for index, value in enumerate(inner)}


def replace(path: Path, content: bytes) -> None:
    """Write a file that may be a hard link of a valid one, which stays as it is."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def damaged(rng: Random, content: bytes, first: int = 0) -> bytes:
    """One to four random damages, from byte `first` on."""
    head, tail = content[:first], bytearray(content[first:])
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(tail) + 1)
        span = rng.choice((1, 1, 2, 4, 8, 16, 64, 512))
        rng.choice(_DAMAGES)(rng, tail, at, span)
    return head + bytes(tail)


def _flip(rng: Random, content: bytearray, at: int, span: int) -> None:
    for index in range(at, min(at + span, len(content))):
        content[index] ^= 1 << rng.randrange(8)


def _fill(rng: Random, content: bytearray, at: int, span: int) -> None:
    content[at : at + span] = rng.choice((b"\x00", b"\xff", b"\x7f", b"\x80", b"A")) * span


def _noise(rng: Random, content: bytearray, at: int, span: int) -> None:
    content[at : at + span] = rng.randbytes(span)


def _insert(rng: Random, content: bytearray, at: int, span: int) -> None:
    content[at:at] = rng.randbytes(span)


def _delete(rng: Random, content: bytearray, at: int, span: int) -> None:
    del content[at : at + span]


def _truncate(rng: Random, content: bytearray, at: int, span: int) -> None:
    del content[at:]


def _double(rng: Random, content: bytearray, at: int, span: int) -> None:
    content[at:at] = content[at : at + span]


def _swap(rng: Random, content: bytearray, at: int, span: int) -> None:
    other = rng.randrange(len(content) + 1)
    low, high = sorted((at, other))
    if high - low >= span and high + span <= len(content):
        content[low : low + span], content[high : high + span] = (
            content[high : high + span],
            content[low : low + span],
        )


_DAMAGES: Final[tuple[Callable[[Random, bytearray, int, int], None], ...]] = (
    _flip, _flip, _flip, _fill, _noise, _insert, _delete, _truncate, _double, _swap,
)  # fmt: skip


def no_plain_file(rng: Random, path: Path) -> str:
    """Something in the place of a file that is not one, or not the one expected."""
    content = path.read_bytes() if path.is_file() else b""
    path.unlink(missing_ok=True)
    kinds: Sequence[str] = (
        "absent", "empty", "folder", "pipe", "endless", "loop", "dangling", "sparse", "memory",
        "null", "link", "long",
    )  # fmt: skip
    kind = rng.choice(kinds)
    if kind == "empty":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "sparse":
        path.touch()
        os.truncate(path, rng.choice((2**31, 2**34, 2**40)))
    elif kind == "link":  # to a file as it should be
        target = path.with_name(f"{path.name}.moved")
        target.write_bytes(content)
        path.symlink_to(target)
    elif kind == "long":
        path.write_bytes(content + bytes(rng.choice((1, 100, 10_000_000))))
    elif kind != "absent":
        targets = {
            "endless": "/dev/zero",
            "loop": path.name,
            "dangling": "nowhere",
            "memory": "/proc/self/mem",
            "null": "/dev/null",
        }
        path.symlink_to(targets[kind])
    return f"{path.name}: {kind}"
