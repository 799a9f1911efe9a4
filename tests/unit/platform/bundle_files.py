"""Makes small bundles for tests, right ones and malicious ones."""

import hashlib
import io
import stat
import zipfile
from pathlib import Path

HEAD = {
    "format": "1",
    "name": '"grace"',
    "engine": '"synctalk"',
    "fps": "25",
    "width": "256",
    "height": "256",
    "licence": '"Apache-2.0"',
    "consent": '"nobody\'s likeness"',
}
PERSONA = b"""
[persona]
instructions = "You are Grace."
voice = "piper:joe"
language = "en-GB"
greeting = "Good day."

[[knowledge]]
questions = ["Who are you?", "What is your name?"]
answer = "My name is Grace."
"""


def files(persona: bytes = PERSONA, **changes: str) -> dict[str, bytes]:
    """Every file of a bundle; a value of `changes` replaces a line of the manifest."""
    content = {"tensors.safetensors": b"tensors" * 100, "persona.toml": persona}
    content["preview.png"] = b"\x89PNG not really"
    lines = [f"{key} = {value}" for key, value in {**HEAD, **changes}.items() if value]
    sums = [f'"{name}" = "{hashlib.sha256(data).hexdigest()}"' for name, data in content.items()]
    manifest = "\n".join([*lines, "[files]", *sums])
    return {"character.toml": manifest.encode(), **content}


def folder(path: Path, content: dict[str, bytes] | None = None) -> Path:
    for name, data in (content or files()).items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return path


def archive(path: Path, content: dict[str, bytes] | None = None, **extra: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in {**(content or files()), **extra}.items():
            packed.writestr(name, data)
    return path


def link(path: Path, name: str = "link") -> Path:
    """An archive with a symbolic link to /etc/passwd."""
    with zipfile.ZipFile(archive(path), "a") as packed:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(entry, "/etc/passwd")
    return path


def bomb(path: Path) -> Path:
    """64 MB of zeros in some kilobytes."""
    return archive(path, {**files(), "zeros.bin": bytes(64 << 20)})


def cut(path: Path, share: float) -> Path:
    whole = archive(path).read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    return path


def garbled(path: Path, compression: int) -> Path:
    """The tensors' compressed bytes are nonsense, behind LZMA's head of nine bytes."""
    with zipfile.ZipFile(path, "w", compression) as packed:
        for name, data in files().items():
            packed.writestr(name, data)
        entry = packed.getinfo("tensors.safetensors")
    raw = bytearray(path.read_bytes())
    start = entry.header_offset + 30 + len(entry.filename)
    for index in range(
        start + (9 if compression == zipfile.ZIP_LZMA else 0), start + entry.compress_size
    ):
        raw[index] ^= 0xFF
    path.write_bytes(raw)
    return path


def flipped(path: Path) -> Path:
    """One stored byte of the tensors is another."""
    content = files()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as packed:
        for name, data in content.items():
            packed.writestr(name, data)
    raw = bytearray(buffer.getvalue())
    raw[raw.index(b"tensors" * 100) + 5] ^= 1
    path.write_bytes(raw)
    return path
