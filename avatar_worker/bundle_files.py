"""The files of a character bundle, a folder or a zip archive, read without trusting them.

Names are relative, made of plain characters, and never leave the bundle; links are refused; the
sizes are limited before anything is read.
"""

import re
import stat
import zipfile
from pathlib import Path
from typing import Final, Protocol

from avatar_worker.plain_files import ZIP_ERRORS, read_entry
from avatar_worker.sentence import one_line

MANIFEST: Final = "character.toml"
MAX_FILES: Final = 50_000
MAX_TOTAL_BYTES: Final = 4 * 1024**3
MAX_FILE_BYTES: Final = 256 * 1024**2

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")


class BundleError(Exception):
    """A character bundle that is refused.

    BundleError
    ├── BundleUnreadableError   absent, not a bundle, damaged, a file differs from its checksum
    ├── UnsafeBundleError       names or sizes that could harm the machine
    └── BundleContentError      intact, but not a character we can show
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class BundleUnreadableError(BundleError):
    """The bundle or one of its files is absent or damaged."""


class UnsafeBundleError(BundleError):
    """A file name leaves the bundle, a link, or far too much data."""


class BundleContentError(BundleError):
    """The bundle is intact but does not describe a character."""


class BundleFiles(Protocol):
    """Files by name; `read` is safe to call from several threads."""

    def names(self) -> frozenset[str]:
        """Every file, as path with slashes relative to the bundle."""

    def read(self, name: str) -> bytes:
        """Content of a file.

        Raises:
            BundleUnreadableError: there is no such file, or it cannot be read.
        """


def open_files(path: Path) -> BundleFiles:
    """The files of a folder or zip archive.

    Raises:
        BundleUnreadableError: neither of both, or a folder without a manifest.
        UnsafeBundleError: a name, link or size that is refused.
    """
    if path.is_dir():
        return FolderFiles(path)
    if path.is_file() and zipfile.is_zipfile(path):
        return ZipFiles(path)
    raise BundleUnreadableError(f"{path} is neither a folder nor a zip archive")


class FolderFiles:
    """A bundle that lies in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        if not (folder / MANIFEST).is_file():  # before a look at what may be any folder
            raise BundleUnreadableError(f"{folder} is no character bundle: {MANIFEST} is missing")
        sizes: dict[str, int] = {}
        for path in folder.rglob("*"):
            if path.is_symlink():
                raise UnsafeBundleError(f"{path} is a link; a bundle holds plain files only")
            if path.is_dir():
                continue
            if not path.is_file():
                raise UnsafeBundleError(f"{path} is not a plain file")
            sizes[path.relative_to(folder).as_posix()] = path.stat().st_size
        _check(sizes)
        self._names = frozenset(sizes)

    def names(self) -> frozenset[str]:
        """See `BundleFiles`."""
        return self._names

    def read(self, name: str) -> bytes:
        """See `BundleFiles`."""
        if name not in self._names:
            raise BundleUnreadableError(f"bundle {self._folder} has no file {name}")
        try:
            return (self._folder / name).read_bytes()
        except OSError as error:
            raise BundleUnreadableError(
                f"bundle {self._folder}: {name} cannot be read: {error.strerror}"
            ) from None


class ZipFiles:
    """A bundle in a zip archive; files are read from it when they are needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except ZIP_ERRORS as error:
            raise BundleUnreadableError(f"{path} is not a readable archive: {error}") from None
        sizes: dict[str, int] = {}
        for entry in self._archive.infolist():
            if entry.is_dir():
                continue
            if stat.S_ISLNK(entry.external_attr >> 16):
                raise UnsafeBundleError(f"{path}: {entry.filename} is a link")
            if entry.filename in sizes:
                raise UnsafeBundleError(f"{path}: {entry.filename} occurs twice")
            sizes[entry.filename] = entry.file_size
        _check(sizes)
        self._sizes = sizes

    def names(self) -> frozenset[str]:
        """See `BundleFiles`."""
        return frozenset(self._sizes)

    def read(self, name: str) -> bytes:
        """See `BundleFiles`."""
        if name not in self._sizes:
            raise BundleUnreadableError(f"bundle {self._path} has no file {name}")
        try:
            entry = self._archive.getinfo(name)
            return bytes(read_entry(self._archive, entry, MAX_FILE_BYTES))
        except ZIP_ERRORS as error:
            raise BundleUnreadableError(f"bundle {self._path}: {name}: {error}") from None


def _check(sizes: dict[str, int]) -> None:
    if len(sizes) > MAX_FILES:
        raise UnsafeBundleError(f"{len(sizes)} files; at most {MAX_FILES} are accepted")
    if sum(sizes.values()) > MAX_TOTAL_BYTES:
        raise UnsafeBundleError(
            f"{sum(sizes.values())} bytes in all; at most {MAX_TOTAL_BYTES} are accepted"
        )
    for name, size in sizes.items():
        if not _NAME.fullmatch(name):
            raise UnsafeBundleError(f"the file name {name!r} is not accepted in a bundle")
        if size > MAX_FILE_BYTES:
            raise UnsafeBundleError(
                f"{name} has {size} bytes; at most {MAX_FILE_BYTES} are accepted"
            )
