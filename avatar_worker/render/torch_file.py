"""Reads what `torch.save` writes: tensors and plain values, and nothing is ever called.

A torch file is a zip archive with a pickle in it, and a pickle is a program for a small stack
machine. torch's own restricted reader runs no foreign code either, but a few hundred bytes can
keep it busy for ever or fill the memory: tuples that share their parts, calls of `bytearray`,
tensors that are nowhere stored. This is the same machine with no more than a state dict needs.
Names are compared and never looked up, keys are text or whole numbers, and no tensor is larger
than what the archive holds of it.
"""

import math
import pickletools
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from avatar_worker.plain_files import ZIP_ERRORS, read_entry
from avatar_worker.render.errors import (
    CheckpointContentError,
    CheckpointError,
    CheckpointUnreadableError,
    UnsafeCheckpointError,
)

MAX_UNPACKED_BYTES: Final = 512 * 1024**2
"""Complete files with optimiser and 20,000 codes stay below 100 MB; more is not a head."""

MAX_PICKLE_BYTES: Final = 1024**2
"""That of a complete file has 30 kB."""

MAX_DIMENSIONS: Final = 16
BEFORE_ARCHIVES: Final = 0x1950A86A20F9469CFC6C
"""The number that files begin with that were stored before PyTorch 1.6."""

MAPPING: Final = "collections OrderedDict"
TENSOR: Final = "torch._utils _rebuild_tensor_v2"
PARAMETER: Final = "torch._utils _rebuild_parameter"
STORAGES: Final = {
    "torch DoubleStorage": torch.float64,
    "torch FloatStorage": torch.float32,
    "torch HalfStorage": torch.float16,
    "torch BFloat16Storage": torch.bfloat16,
    "torch LongStorage": torch.int64,
    "torch IntStorage": torch.int32,
    "torch ShortStorage": torch.int16,
    "torch CharStorage": torch.int8,
    "torch ByteStorage": torch.uint8,
    "torch BoolStorage": torch.bool,
}


class _Name(NamedTuple):
    """A name that the pickle mentions; never looked up."""

    text: str


class _Stored(NamedTuple):
    """An entry of the archive: its bytes, and what the pickle takes them for."""

    content: Tensor
    dtype: torch.dtype


def load_tensors(path: Path) -> object:
    """Whatever tensors and plain values a torch file holds.

    Raises:
        CheckpointUnreadableError: absent, empty, cut short, too large, no torch archive.
        UnsafeCheckpointError: it names something that is not tensors and plain values.
        CheckpointContentError: a tensor is not stored as it is described.
    """
    if not path.is_file():
        raise CheckpointUnreadableError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise CheckpointUnreadableError(f"{path} is empty")
    try:
        if not zipfile.is_zipfile(path):
            raise _no_archive(path)
        with zipfile.ZipFile(path) as archive:
            return _Archive(path, archive).load()
    except CheckpointError:
        raise
    except (*ZIP_ERRORS, TypeError) as error:
        raise CheckpointUnreadableError(
            f"{path} cannot be read as a torch file, it may be cut short: "
            f"{str(error) or type(error).__name__}"
        ) from None


def _no_archive(path: Path) -> CheckpointError:
    """What is wrong with a file that is no zip archive: it may still be a pickle."""
    with path.open("rb") as file:
        start = file.read(MAX_PICKLE_BYTES)
    try:
        content = _Machine(path, _nothing_stored).run(start)
    except UnsafeCheckpointError as error:
        return error
    except (CheckpointError, ValueError, LookupError, TypeError):
        content = None
    if content == BEFORE_ARCHIVES:
        return CheckpointUnreadableError(
            f"{path} was stored in the format before PyTorch 1.6: load it with PyTorch and save "
            "it again"
        )
    return CheckpointUnreadableError(f"{path} is not a torch file, or it is cut short")


def _nothing_stored(key: str, n_bytes: int) -> Tensor:
    raise LookupError(f"no entry {key} of {n_bytes} bytes")


class _Archive:
    """The entries of one torch file: `<name>/data.pkl`, `<name>/data/<key>`, `<name>/byteorder`."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path = path
        self._archive = archive
        names = archive.namelist()
        self._folder = names[0].partition("/")[0] if names else ""
        self._stored: dict[str, Tensor] = {}
        if len(set(names)) != len(names):
            raise CheckpointUnreadableError(f"{path} is a damaged archive: an entry occurs twice")
        unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > MAX_UNPACKED_BYTES:
            raise CheckpointUnreadableError(
                f"{path} would unpack to {unpacked} bytes; "
                f"at most {MAX_UNPACKED_BYTES} are accepted"
            )

    def load(self) -> object:
        """The value of the pickle."""
        order = self._entry("byteorder")
        if order is not None and read_entry(self._archive, order, 16) != b"little":
            raise CheckpointUnreadableError(f"{self._path} is not stored little end first")
        program = self._entry("data.pkl")
        if program is None:
            raise CheckpointUnreadableError(f"{self._path} is not a torch file: it has no data.pkl")
        content = read_entry(self._archive, program, MAX_PICKLE_BYTES)
        return _Machine(self._path, self._content).run(bytes(content))

    def _content(self, key: str, n_bytes: int) -> Tensor:
        """Bytes of entry `data/<key>`, of which there have to be so many."""
        if key not in self._stored:
            entry = self._entry(f"data/{key}")
            if entry is None:
                raise CheckpointUnreadableError(f"{self._path} has no entry data/{key}")
            content = read_entry(self._archive, entry, MAX_UNPACKED_BYTES)
            empty = torch.empty(0, dtype=torch.uint8)
            self._stored[key] = torch.frombuffer(content, dtype=torch.uint8) if content else empty
        found = self._stored[key]
        if len(found) != n_bytes:
            raise CheckpointUnreadableError(
                f"{self._path}: entry data/{key} has {len(found)} bytes; expected {n_bytes}"
            )
        return found

    def _entry(self, name: str) -> zipfile.ZipInfo | None:
        try:
            return self._archive.getinfo(f"{self._folder}/{name}")
        except KeyError:
            return None


class _Machine:
    """Runs the program of a pickle as far as tensors and plain values need it.

    Args:
        path: for messages.
        content: key and number of bytes → what the archive holds under that key.
    """

    def __init__(self, path: Path, content: Callable[[str, int], Tensor]) -> None:
        self._path = path
        self._content = content
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._n_bytes = 0

    def run(self, program: bytes) -> object:
        """The value that the program leaves."""
        for instruction, argument, _ in pickletools.genops(program):
            if instruction.name == "STOP":
                break
            self._step(instruction.name, argument)
        return self._stack.pop()

    def _step(self, instruction: str, argument: Any) -> None:
        stack = self._stack
        match instruction:
            case "PROTO":
                pass
            case "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = stack[-1]
            case "BINUNICODE" | "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT":
                stack.append(argument)
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[instruction])
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "MARK":
                self._below.append(stack)
                self._stack = []
            case "TUPLE":
                items = self._since_mark()
                self._stack.append(tuple(items))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                items = [stack.pop() for _ in range(int(instruction[-1]))]
                stack.append(tuple(reversed(items)))
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                self._set_items([key, value])
            case "SETITEMS":
                self._set_items(self._since_mark())
            case "APPEND":
                item = stack.pop()
                self._append([item])
            case "APPENDS":
                self._append(self._since_mark())
            case "GLOBAL" | "INST":
                stack.append(self._named(argument))
            case "REDUCE":
                arguments, function = stack.pop(), stack.pop()
                stack.append(self._made(function, arguments))
            case "BUILD":  # attributes of an ordered dictionary; torch keeps `_metadata` there
                stack.pop()
            case "BINPERSID":
                stack.append(self._entry(stack.pop()))
            case _:
                raise CheckpointUnreadableError(
                    f"{self._path} is not a torch file: its pickle uses {instruction}"
                )

    def _since_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._below.pop()
        return items

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not dict:
            raise TypeError(f"an item is set in a {type(target).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | int):
                raise CheckpointContentError(
                    f"{self._path}: a key is a {type(key).__name__}; expected text or a number"
                )
            target[key] = value

    def _append(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise TypeError(f"an item is appended to a {type(target).__name__}")
        target.extend(items)

    def _named(self, text: str) -> _Name:
        if text not in STORAGES and text not in (MAPPING, TENSOR, PARAMETER):
            raise UnsafeCheckpointError(
                f"{self._path} asks for {text.replace(' ', '.')} to be called; "
                "only tensors and plain values are read"
            )
        return _Name(text)

    def _made(self, function: object, arguments: Any) -> object:
        """The result of a call, made here."""
        name = function.text if isinstance(function, _Name) else ""
        if name == MAPPING and arguments == ():
            return {}
        if name == TENSOR:
            return self._tensor(*arguments[:4])
        if name == PARAMETER and isinstance(arguments[0], Tensor):
            return arguments[0]
        raise TypeError(f"a call of {name or type(function).__name__} is not understood")

    def _entry(self, described: Any) -> _Stored:
        """What the archive holds for a storage: ("storage", type, key, device, count)."""
        kind, storage, key, _, count = described
        if kind != "storage" or not isinstance(storage, _Name) or type(key) is not str:
            raise TypeError("an entry is not described as one")
        dtype = STORAGES[storage.text]
        return _Stored(self._content(key, _count(count) * dtype.itemsize), dtype)

    def _tensor(self, stored: Any, offset: Any, shape: Any, strides: Any) -> Tensor:
        if (
            not isinstance(stored, _Stored)
            or type(shape) is not tuple
            or type(strides) is not tuple
        ):
            raise TypeError("a tensor is not described as one")
        size, step = [_count(n) for n in shape], [_count(n) for n in strides]
        n = math.prod(size)
        end = _count(offset) + sum((a - 1) * b for a, b in zip(size, step, strict=True)) + 1
        values = stored.content.view(stored.dtype)
        self._n_bytes += n * stored.dtype.itemsize
        if len(size) > MAX_DIMENSIONS or (n > 0 and max(n, end) > len(values)):
            raise CheckpointContentError(
                f"{self._path}: a tensor of shape {shape} with strides {strides} is not stored as "
                f"such; there are {len(values)} numbers"
            )
        if self._n_bytes > MAX_UNPACKED_BYTES:
            raise CheckpointContentError(f"{self._path} describes more tensors than it stores")
        if n == 0:
            return torch.empty(0, dtype=stored.dtype).reshape(size)
        return torch.empty(0, dtype=stored.dtype).set_(values.untyped_storage(), offset, size, step)


def _count(number: object) -> int:
    if type(number) is not int or not 0 <= number < 2**48:
        raise ValueError(f"{number if isinstance(number, int) else type(number)} is not a size")
    return number
