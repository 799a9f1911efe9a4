"""Character bundles at the door: read without trusting them, packed into one zip, never unpacked.

A bundle is a folder or a zip archive with `character.toml` at its root, which lists every other
file with its sha256. Optional: `persona.toml` (who she is) and `preview.png|jpg|webp`.
"""

import hashlib
import lzma
import re
import stat
import tempfile
import tomllib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from pydantic import ValidationError

from avatar_platform.characters.schemas import SLUG, CharacterPatch
from avatar_platform.complaints import complaint
from avatar_platform.errors import BundleError

MANIFEST: Final = "character.toml"
PERSONA: Final = "persona.toml"
PREVIEWS: Final = ("preview.png", "preview.jpg", "preview.webp")
FORMAT: Final = 1
FPS: Final = 25
ENGINES: Final = ("synctalk", "test-card")
MAX_FILES: Final = 50_000
MAX_TOTAL_BYTES: Final = 4 << 30
MAX_FILE_BYTES: Final = 256 << 20
MAX_TEXT_BYTES: Final = 1 << 20
MAX_PREVIEW_BYTES: Final = 4 << 20
UNREADABLE: Final = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError,
    EOFError, NotImplementedError, RuntimeError, OSError, ValueError,
)  # fmt: skip
"""What the standard library raises over a damaged or foreign archive."""
MAX_RATIO: Final = 100
"""Unpacked over packed size; tensors and pictures stay far below, bombs far above."""
MAX_SIDE_PX: Final = 4096
_CHUNK: Final = 1 << 20
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Persona:
    """Who the character is, as the bundle suggests it."""

    instructions: str = ""
    voice: str = ""
    language: str = ""
    greeting: str = ""
    knowledge: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that passed every check. `sha256` is of the zip archive, as workers verify it."""

    archive: Path
    sha256: str
    size_bytes: int
    name: str
    engine: str
    width: int
    height: int
    licence: str
    consent: str
    persona: Persona
    preview: tuple[str, bytes] | None


@contextmanager
def opened(path: Path) -> Iterator[Bundle]:
    """Check a folder or archive; inside the block `Bundle.archive` exists.

    Raises:
        BundleError: it is refused; the message says what was expected and what was found.
    """
    if path.is_dir():
        with tempfile.TemporaryDirectory(prefix="bundle-") as scratch:
            yield _read(_pack(path, Path(scratch) / "bundle.zip"))
    elif path.is_file():
        yield _read(path)
    else:
        raise BundleError(f"{path.name}: there is neither a folder nor a file of this name")


def _pack(folder: Path, archive: Path) -> Path:
    """The folder as a zip whose bytes depend on its content only."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_symlink():
                raise BundleError(f"{name} is a link; a bundle holds plain files only")
            if path.is_dir():
                continue
            if not path.is_file():
                raise BundleError(f"{name} is not a plain file")
            with path.open("rb") as source, packed.open(zipfile.ZipInfo(name), "w") as target:
                while chunk := source.read(_CHUNK):
                    target.write(chunk)
    return archive


def _read(path: Path) -> Bundle:
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = _entries(archive)
            table = _toml(archive, sizes, MANIFEST)
            _verify_files(archive, sizes, _checksums(table))
            persona = _persona(_toml(archive, sizes, PERSONA)) if PERSONA in sizes else Persona()
            preview = _preview(archive, sizes)
    except UNREADABLE as error:
        raise BundleError(f"not a readable zip archive: {error}") from None
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Bundle(
        archive=path,
        sha256=sha256,
        size_bytes=path.stat().st_size,
        name=_slug(table),
        engine=_choice(table, "engine", ENGINES),
        width=_side(table, "width"),
        height=_side(table, "height"),
        licence=_text(table, "licence"),
        consent=_text(table, "consent"),
        persona=persona,
        preview=preview,
    )


def _entries(archive: zipfile.ZipFile) -> dict[str, int]:
    """Name → size of every file, once names, kinds and sizes are harmless."""
    sizes: dict[str, int] = {}
    packed = 0
    if len(archive.infolist()) > MAX_FILES:
        raise BundleError(f"{len(archive.infolist())} entries; at most {MAX_FILES} are allowed")
    for entry in archive.infolist():
        if entry.is_dir():
            continue
        name, kind = entry.filename, stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise BundleError(f"{name[:80]!r} is a link or device; only plain files are allowed")
        if not _NAME.fullmatch(name):
            raise BundleError(f"{name[:80]!r} is not an allowed file name")
        if name in sizes:
            raise BundleError(f"{name} occurs twice")
        if entry.file_size > MAX_FILE_BYTES:
            raise BundleError(f"{name} has {entry.file_size} bytes; at most {MAX_FILE_BYTES}")
        sizes[name] = entry.file_size
        packed += entry.compress_size
    total = sum(sizes.values())
    if total > MAX_TOTAL_BYTES or total > MAX_RATIO * max(packed, 1) + MAX_TEXT_BYTES:
        raise BundleError(f"{packed} bytes would become {total}; that is refused")
    return sizes


def _checksums(table: dict[str, Any]) -> dict[str, str]:
    if table.get("format") != FORMAT:
        raise BundleError(f"format is {table.get('format')!r}; this version reads {FORMAT}")
    if table.get("fps") != FPS:
        raise BundleError(f"fps is {table.get('fps')!r}; only {FPS} is possible")
    files = table.get("files", {})
    if not isinstance(files, dict) or not all(
        isinstance(sha256, str) and _SHA256.fullmatch(sha256) for sha256 in files.values()
    ):
        raise BundleError(f"[files] in {MANIFEST} must list every file with its sha256")
    return files


def _verify_files(
    archive: zipfile.ZipFile, sizes: dict[str, int], checksums: dict[str, str]
) -> None:
    listed = set(checksums) | {MANIFEST}
    if unlisted := set(sizes) - listed:
        raise BundleError(f"{min(unlisted)} is not listed in {MANIFEST}")
    if missing := listed - set(sizes):
        raise BundleError(f"{min(missing)} is listed but missing")
    for name, expected in checksums.items():
        with archive.open(name) as file:
            if _digest(file, sizes[name]) != expected:
                raise BundleError(f"{name} differs from its checksum in {MANIFEST}")


def _digest(file: IO[bytes], size: int) -> str:
    """sha256 of a file that must not be longer than it says."""
    digest, seen = hashlib.sha256(), 0
    while chunk := file.read(_CHUNK):
        seen += len(chunk)
        if seen > size:
            raise BundleError("an entry is longer than it says")
        digest.update(chunk)
    return digest.hexdigest()


def _toml(archive: zipfile.ZipFile, sizes: dict[str, int], name: str) -> dict[str, Any]:
    if name not in sizes:
        raise BundleError(f"{name} is missing")
    if sizes[name] > MAX_TEXT_BYTES:
        raise BundleError(f"{name} has {sizes[name]} bytes; at most {MAX_TEXT_BYTES}")
    try:
        return tomllib.loads(archive.read(name).decode())
    except (ValueError, RecursionError) as error:  # not TOML or UTF-8; a number of 5,000 digits
        raise BundleError(f"{name} cannot be read: {error}") from None


def _persona(table: dict[str, Any]) -> Persona:
    persona = table.get("persona", {})
    entries = table.get("knowledge", [])
    if not isinstance(persona, dict) or not isinstance(entries, list):
        raise BundleError(f"{PERSONA}: expected [persona] and [[knowledge]]")
    texts = {key: persona.get(key, "") for key in ("instructions", "voice", "language", "greeting")}
    if not all(isinstance(text, str) for text in texts.values()):
        raise BundleError(f"{PERSONA}: instructions, voice, language and greeting are texts")
    fields = {**texts, "knowledge": [check_knowledge(entry) for entry in entries]}
    try:
        CharacterPatch.model_validate(fields)  # the limits are those of the API
    except ValidationError as error:
        issue = error.errors()[0]
        place = ".".join(str(part) for part in issue["loc"])
        raise BundleError(f"{PERSONA}: {place}: {complaint(issue)}") from None
    return Persona(**fields)


def check_knowledge(entry: object) -> dict[str, Any]:
    """One `{"questions": […], "answer": …}`.

    Raises:
        BundleError: it has another shape.
    """
    match entry:
        case {"questions": [str(), *_] as questions, "answer": str() as answer} if all(
            isinstance(question, str) for question in questions
        ):
            return {"questions": list(questions), "answer": answer}
    raise BundleError("knowledge: each entry has a list of questions and one answer")


def _preview(archive: zipfile.ZipFile, sizes: dict[str, int]) -> tuple[str, bytes] | None:
    for name in PREVIEWS:
        if name in sizes and sizes[name] <= MAX_PREVIEW_BYTES:
            return name, archive.read(name)
    return None


def _text(table: dict[str, Any], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value.strip():
        raise BundleError(f"{key} is missing in {MANIFEST}")
    if "\0" in value:
        raise BundleError(f"{key}: expected a text without NUL characters")
    return value


def _slug(table: dict[str, Any]) -> str:
    name = _text(table, "name")
    if not re.fullmatch(SLUG, name):
        raise BundleError(f"name is {name[:80]!r}; expected lower-case letters, digits, - and _")
    return name


def _choice(table: dict[str, Any], key: str, allowed: tuple[str, ...]) -> str:
    value = _text(table, key)
    if value not in allowed:
        raise BundleError(f"{key} is {value[:80]!r}; expected one of {', '.join(allowed)}")
    return value


def _side(table: dict[str, Any], key: str) -> int:
    value = table.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 16 <= value <= MAX_SIDE_PX:
        raise BundleError(f"{key} is {value!r}; expected 16 to {MAX_SIDE_PX} pixels")
    return value
