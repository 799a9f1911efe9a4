"""`character.toml`: what a bundle says about itself.

format = 1
name = "mira"
engine = "synctalk"            # or "test-card"
fps = 25
width = 512
height = 512
licence = "Apache-2.0"
consent = "nobody's likeness"  # reference of the consent record

[options]                      # of the engine
portrait = true
eye = "upper"
attention = 2
blink_rate = 15                # a minute; this and other ways to change her face: `expression`
blend_feather = 6              # a softer edge of the portrait: `render.blending`
                               # without one, `background = "#00b140"`: `render.backdrop`

[audio]                        # only for engines that listen; none for heads that listen to HuBERT,
encoder = "audio_encoder.safetensors"                    # whose model is the operator's own file
sha256 = "…"

[files]                        # every other file of the bundle
"tensors.safetensors" = "…sha256…"
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from avatar_worker.bundle_files import (
    MANIFEST,
    BundleContentError,
    BundleFiles,
    BundleUnreadableError,
)

FORMAT: Final = 1
FPS: Final = 25
"""The only rate: features, windows and training all count 40 ms frames."""

MIN_SIDE_PX: Final = 16
MAX_SIDE_PX: Final = 4096
MAX_MANIFEST_BYTES: Final = 8 * 1024**2
"""Fifty thousand files are listed in five."""

Engine = Literal["synctalk", "test-card"]
ENGINES: Final = ("synctalk", "test-card")


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of `character.toml`.

    Attributes:
        name: lower-case identifier.
        engine: what draws the character.
        width: of the pictures in pixels.
        height: likewise.
        licence: of the character's data.
        consent: reference of the record that the person agreed, or why none is needed.
        options: of the engine.
        audio: encoder file and its sha256; empty for engines that do not listen.
        files: sha256 of every file but this one.
        fps: always 25.
    """

    name: str
    engine: Engine
    width: int
    height: int
    licence: str
    consent: str
    options: Mapping[str, Any] = field(default_factory=dict)
    audio: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    fps: int = FPS


def read_manifest(files: BundleFiles) -> Manifest:
    """Read `character.toml` and check every file against its checksum.

    Raises:
        BundleUnreadableError: a file is absent or differs from its checksum.
        BundleContentError: an entry is absent or cannot be, or a file is not listed.
    """
    content = files.read(MANIFEST)
    if len(content) > MAX_MANIFEST_BYTES:
        raise BundleContentError(
            f"{MANIFEST} has {len(content)} bytes; at most {MAX_MANIFEST_BYTES} are accepted"
        )
    try:
        manifest = _parse(tomllib.loads(content.decode()))
    except (ValueError, RecursionError) as error:
        raise BundleContentError(f"{MANIFEST} cannot be read: {error}") from None
    unlisted = files.names() - set(manifest.files) - {MANIFEST}
    if unlisted:
        raise BundleContentError(f"{sorted(unlisted)[0]} is not listed in {MANIFEST}")
    for name, expected in manifest.files.items():
        if hashlib.sha256(files.read(name)).hexdigest() != expected:
            raise BundleUnreadableError(f"{name} differs from its checksum in {MANIFEST}")
    return manifest


def check_name(name: str) -> None:
    """A character's identifier.

    Raises:
        BundleContentError: it is none.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,59}", name):
        raise BundleContentError(
            f"name is {name!r}; expected at most 60 lower-case letters, digits, - and _"
        )


def _parse(table: Mapping[str, Any]) -> Manifest:
    if table.get("format") != FORMAT:
        raise BundleContentError(f"format is {table.get('format')!r}; this version reads {FORMAT}")
    name = _text(table, "name")
    check_name(name)
    engine = _text(table, "engine")
    if engine not in ENGINES:
        raise BundleContentError(f"engine is {engine!r}; expected one of {', '.join(ENGINES)}")
    if table.get("fps") != FPS:
        raise BundleContentError(f"fps is {table.get('fps')!r}; only {FPS} is possible")
    sides = [table.get("width"), table.get("height")]
    if not all(isinstance(side, int) and MIN_SIDE_PX <= side <= MAX_SIDE_PX for side in sides):
        raise BundleContentError(
            f"size is {sides[0]} × {sides[1]}; expected {MIN_SIDE_PX} to {MAX_SIDE_PX} px"
        )
    return Manifest(
        name=name,
        engine=cast("Engine", engine),
        width=cast("int", sides[0]),
        height=cast("int", sides[1]),
        licence=_text(table, "licence"),
        consent=_text(table, "consent"),
        options=_table(table, "options"),
        audio=_texts(table, "audio"),
        files=_texts(table, "files"),
    )


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value.strip():
        raise BundleContentError(f"{key} is missing in {MANIFEST}")
    return value


def _table(table: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise BundleContentError(f"{key} in {MANIFEST} is not a table")
    return value


def _texts(table: Mapping[str, Any], key: str) -> dict[str, str]:
    value = _table(table, key)
    if not all(isinstance(entry, str) for entry in value.values()):
        raise BundleContentError(f"{key} in {MANIFEST} holds something else than text")
    return value


def manifest_text(manifest: Manifest) -> str:
    """`character.toml` of a manifest."""
    lines = [f"format = {FORMAT}"]
    keys = ("name", "engine", "fps", "width", "height", "licence", "consent")
    lines += [f"{key} = {_value(getattr(manifest, key))}" for key in keys]
    for title in ("options", "audio", "files"):
        entries = getattr(manifest, title)
        if entries:
            lines += ["", f"[{title}]"]
            lines += [f"{_value(key)} = {_value(entry)}" for key, entry in entries.items()]
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    """A TOML value; text, numbers and truth values are written as in JSON."""
    if not isinstance(value, str | int | float | bool):
        raise TypeError(f"{type(value).__name__} has no place in {MANIFEST}")
    return json.dumps(value, ensure_ascii=False)
