"""Messages ↔ stream fields, and contract dataclasses ↔ JSON.

A stream entry is `{b"v": version, b"t": type, …}`; PCM travels as raw bytes. Unknown fields are
ignored, so that a field can be added with a default; another version is refused.
"""

import json
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any, Final, TypeVar

from avatar_contracts import messages as m

VERSION: Final = 1
_TYPES: Final[dict[bytes, type]] = {
    b"chunk": m.AudioChunk,
    b"flush": m.Flush,
    b"clear": m.ClearBuffer,
    b"ready": m.PlayoutReady,
    b"started": m.PlayoutStarted,
    b"alive": m.PlayoutAlive,
    b"finished": m.PlayoutFinished,
    b"say": m.SayCommand,
    b"interrupt": m.InterruptCommand,
    b"avatar": m.AvatarAssignedCommand,
    b"end": m.EndCommand,
}
_NAMES: Final = {cls: name for name, cls in _TYPES.items()}
StreamMessage = m.AudioMessage | m.PlayoutMessage | m.CommandMessage
T = TypeVar("T")


class ContractError(ValueError):
    """A message does not follow the contract; says what was expected and what was found."""


def encode(message: StreamMessage) -> dict[bytes, bytes]:
    """The fields of a stream entry."""
    entry = {b"v": str(VERSION).encode(), b"t": _NAMES[type(message)]}
    for field in fields(message):
        entry[field.name.encode()] = _to_bytes(getattr(message, field.name))
    return entry


def decode(entry: Mapping[bytes, bytes]) -> StreamMessage:
    """The message of a stream entry.

    Raises:
        ContractError: other version, unknown type, field missing or not of its type.
    """
    version = entry.get(b"v")
    if version != str(VERSION).encode():
        raise ContractError(f"stream entry of version {version!r}, expected {VERSION}")
    cls = _TYPES.get(entry.get(b"t", b""))
    if cls is None:
        raise ContractError(f"stream entry of unknown type {entry.get(b't')!r}")
    values = {}
    for field, hint in _hints(cls):
        raw = entry.get(field.encode())
        if raw is None:
            raise ContractError(f"{cls.__name__}: field {field!r} is missing")
        values[field] = _from_bytes(raw, hint, f"{cls.__name__}.{field}")
    return typing.cast("StreamMessage", cls(**values))


def to_json(value: Any) -> str:
    """A contract dataclass as compact JSON."""
    return json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False)


def from_json(cls: type[T], text: str | bytes) -> T:
    """A contract dataclass from JSON.

    Raises:
        ContractError: not JSON, a field missing, or a value of another type than declared.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ContractError(f"{cls.__name__}: not JSON ({error})") from None
    return typing.cast("T", _typed(data, cls, cls.__name__))


def _hints(cls: type) -> list[tuple[str, Any]]:
    hints = typing.get_type_hints(cls)
    return [(field.name, hints[field.name]) for field in fields(cls)]


def _to_bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        return b"1" if value else b"0"
    return str(value).encode()


def _from_bytes(raw: bytes, hint: Any, name: str) -> object:
    if hint is bytes:
        return raw
    if hint is bool:
        if raw not in (b"0", b"1"):
            raise ContractError(f"{name}: expected 0 or 1, found {raw!r}")
        return raw == b"1"
    try:
        return hint(raw.decode())
    except ValueError:
        raise ContractError(f"{name}: expected {hint.__name__}, found {raw[:40]!r}") from None


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.value if isinstance(value, Enum) else value


def _typed(data: Any, hint: Any, name: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if data is None:
            return None
        return _typed(data, next(a for a in typing.get_args(hint) if a is not type(None)), name)
    if origin is tuple:
        if not isinstance(data, list):
            raise ContractError(f"{name}: expected a list, found {type(data).__name__}")
        item = typing.get_args(hint)[0]
        return tuple(_typed(value, item, f"{name}[{i}]") for i, value in enumerate(data))
    if hint is object:
        return data
    if origin is dict:
        if not isinstance(data, dict):
            raise ContractError(f"{name}: expected an object, found {type(data).__name__}")
        return data
    if is_dataclass(hint):
        return _record(data, typing.cast("type", hint), name)
    if isinstance(hint, type) and issubclass(hint, Enum):
        try:
            return hint(data)
        except ValueError:
            raise ContractError(
                f"{name}: {data!r} is not one of {[e.value for e in hint]}"
            ) from None
    if hint is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if not isinstance(data, hint) or (isinstance(data, bool) and hint is not bool):
        raise ContractError(f"{name}: expected {hint.__name__}, found {type(data).__name__}")
    return data


def _record(data: Any, cls: type, name: str) -> Any:
    if not isinstance(data, dict):
        raise ContractError(f"{name}: expected an object, found {type(data).__name__}")
    hints = typing.get_type_hints(cls)
    values = {}
    for field in fields(cls):
        if field.name in data:
            values[field.name] = _typed(data[field.name], hints[field.name], f"{name}.{field.name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ContractError(f"{name}: field {field.name!r} is missing")
    return cls(**values)
