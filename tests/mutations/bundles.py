"""Damage to character bundles."""

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.mutations.damage import damaged, no_plain_file, replace, weird
from tests.mutations.folders import odd_arrays, odd_picture

MANIFEST: Final = "character.toml"


def relisted(folder: Path, name: str) -> None:
    """Let the manifest agree with a file that was changed."""
    manifest = folder / MANIFEST
    total = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    lines = manifest.read_text().splitlines()
    old = next(line for line in lines if line.startswith(f'"{name}" =')).split('"')[3]
    replace(manifest, "\n".join(lines).replace(old, total).encode())


def odd_files(rng: Random, folder: Path) -> str:
    """Files that differ from their checksum, are absent, additional, or no files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path = rng.choice(files)
    kind = rng.randrange(6)
    if kind < 2:
        replace(path, damaged(rng, path.read_bytes()))
        return f"{path.name}: damaged"
    if kind == 2:
        return no_plain_file(rng, path)
    if kind == 3:
        names = (
            "extra",
            "a b",
            "-x",
            ".hidden",
            "é",
            "x" * 200,
            "a\nb",
            "__pycache__",
            "x;y",
            "%s",
        )
        (folder / rng.choice(names)).write_bytes(b"1")
        return "an additional file"
    if kind == 4:
        (folder / "loop").symlink_to(rng.choice(("..", "loop", "/", "/dev")))
        return "a link to a folder"
    other = rng.choice(files)
    content = path.read_bytes()
    replace(path, other.read_bytes())
    replace(other, content)
    if rng.random() < 0.5 and folder / MANIFEST not in (path, other):
        for changed in {path, other}:
            relisted(folder, changed.relative_to(folder).as_posix())
    return f"{path.name} and {other.name} exchanged"


def odd_manifest(rng: Random, folder: Path) -> str:
    """TOML with other values, keys, nesting, or none."""
    path = folder / MANIFEST
    content = path.read_bytes()
    deep = rng.choice((50, 1000, 20_000))
    lines = content.decode().splitlines()
    at = rng.randrange(len(lines))
    texts = ("1", "-1", "0", "1e999", "nan", "inf", "9" * 5000, "true", "[]", "{}", '""', '"x"',
             "1979-05-27", "[" * deep + "]" * deep, "{a=" * deep + "1" + "}" * deep, "0x10", "'''",
             '"../x"', '"\\u0000"', '"' + "A" * 100_000 + '"', "1.5", "4096", "16", "2", "[1, [2]]",
             "25.0", "512", "0x" + "f" * 5000)  # fmt: skip
    kind = rng.randrange(9)
    if kind < 2:
        changed = damaged(rng, content)
    elif kind < 6:
        key = lines[at].partition("=")[0]
        lines[at] = f"{key}= {rng.choice(texts)}"
        changed = "\n".join(lines).encode()
    elif kind == 6:
        del lines[at]
        changed = "\n".join(lines).encode()
    elif kind == 7:
        new = ("[" * deep, "a." * deep + "b = 1", "[x." + "y." * deep + "z]", "[[files]]",
               "[audio]",
               "options = 1", "a = " + "[" * deep, '"\\ud800" = 1', "files.x = 1", "é = 1",
               '"a\\nb" = "c"', "x = " + "1_" * deep + "1")  # fmt: skip
        lines.insert(at, rng.choice(new))
        changed = "\n".join(lines).encode()
    else:
        changed = rng.choice((b"", b"\xff\xfe" + content, content.decode().encode("utf-16"),
                              b"\xef\xbb\xbf" + content, content.replace(b"\n", b"\r"), bytes(100),
                              content.replace(b'"', b"'"), content + content, b"x" * 1_000_000,
                              content.replace(b"tracks.npz", b"../tracks.npz"),
                              content.replace(b"mini", "mi\u202eni".encode())))  # fmt: skip
    replace(path, changed)
    return "character.toml"


def odd_tensors(rng: Random, folder: Path) -> str:
    """Tables of tensors (safetensors) that are not those of a character."""
    name = rng.choice(("tensors.safetensors", "tensors.safetensors", "audio_encoder.safetensors"))
    path = folder / name
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header: dict[str, Any] = json.loads(content[8 : 8 + length])
    body = content[8 + length :]
    kind = rng.randrange(9)
    key = rng.choice([key for key in header if key != "__metadata__"])
    entry = header[key]
    if kind == 0:
        changed = damaged(rng, content[: 8 + length]) + body
    elif kind == 1:
        at = rng.randrange(0, len(body) // 4) * 4
        numbers = (float("nan"), float("inf"), 3e38, -3e38, 1e-45)
        count = rng.choice((1, 1000))
        changed_body = body[:at] + struct.pack("<f", rng.choice(numbers)) * count
        changed = content[: 8 + length] + (changed_body + body[at + 4 * count :])[: len(body)]
    elif kind == 2:
        size = rng.choice((0, 1, 2**31, 2**40, 2**63, 2**64 - 1, length + 1, length - 1))
        changed = struct.pack("<Q", size) + content[8:]
    elif kind == 3:
        deep = rng.choice((100, 5000, 100_000))
        text = rng.choice((b"[" * deep + b"]" * deep, b"{}", b"[]", b"null", b'{"a":' * deep,
                           b" " * 1000, b"\xff" * 50, b'{"a": 1}'))  # fmt: skip
        changed = struct.pack("<Q", len(text)) + text + body
    elif kind == 4:
        changed = content[: rng.randrange(len(content))]
    else:
        if kind == 5:
            entry["shape"] = rng.choice((
                [], [0], [1], [-1], [2**40], [2**62, 4], entry["shape"][::-1], [0, 2**60],
                [*entry["shape"], 1], "x", None, [1.5], [1] * 200, [2**64], weird(rng),
            ))  # fmt: skip
        elif kind == 6:
            names = "F64 F16 BF16 I64 I32 U8 BOOL F8_E4M3 F4 C64 U64 x"
            entry["dtype"] = rng.choice((*names.split(), "", 1, None))
        elif kind == 7:
            start, end = entry["data_offsets"]
            entry["data_offsets"] = rng.choice((
                [start, end + 4], [start - 4, end], [end, start], [0, 0], [0, len(body)], [start],
                [-1, end], [2**63, 2**64 - 1], weird(rng), [start, 2**64 - 1],
            ))  # fmt: skip
        else:
            other = rng.choice(list(header))
            if rng.random() < 0.3:
                header["__metadata__"] = weird(rng)
            elif rng.random() < 0.5:
                header[rng.choice(("extra", "", "a\nb", "camera_dR", "anchor_points", other))] = (
                    header.pop(key)
                )
            else:
                header[key], header[other] = header[other], header[key]
        text = json.dumps(header, allow_nan=True).encode("utf-8", "replace")
        changed = struct.pack("<Q", len(text)) + text + body
    replace(path, changed)
    relisted(folder, name)
    return f"{name}: kind {kind}"


def odd_tracks(rng: Random, folder: Path) -> str:
    """tracks.npz that is not what the manifest's checksum promises to be good."""
    path = folder / "tracks.npz"
    content = path.read_bytes()
    from tests.mutations.archives import ARCHIVE_DAMAGES

    damages: tuple[Callable[[Random, bytes], bytes], ...] = (
        odd_arrays, odd_arrays, odd_arrays, *ARCHIVE_DAMAGES.values()
    )  # fmt: skip
    damage = rng.choice(damages)
    replace(path, damage(rng, content))
    relisted(folder, path.name)
    return f"tracks.npz: {damage.__name__}"


def odd_pictures(rng: Random, folder: Path) -> str:
    """Pictures whose checksum is right."""
    path = rng.choice(sorted((folder / "pictures").glob("00000.*")))
    replace(path, odd_picture(rng, path.read_bytes()))
    relisted(folder, f"pictures/{path.name}")
    return path.name


BUNDLE_DAMAGES: Final[dict[str, Callable[[Random, Path], str]]] = {
    "files": odd_files,
    "manifest": odd_manifest,
    "tensors": odd_tensors,
    "tracks": odd_tracks,
    "pictures": odd_pictures,
}
