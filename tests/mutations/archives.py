"""Damage to zip archives, as torch files and bundles are."""

import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from random import Random
from typing import Final, NamedTuple

from tests.mutations.damage import damaged

Record = tuple[str, bytes]
MIB: Final = 1024**2


def records(content: bytes) -> list[Record]:
    """Names and contents of an archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def pack(entries: Sequence[Record], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of these records; names may occur twice."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in entries:
            entry = zipfile.ZipInfo(name)
            entry.compress_type = method if len(content) > 20_000 else zipfile.ZIP_STORED
            archive.writestr(entry, content, compresslevel=1)
    return target.getvalue()


def with_record(content: bytes, suffix: str, record: bytes) -> bytes:
    """The archive with another content of the record whose name ends so."""
    entries = records(content)
    return pack([(n, record if n.endswith(suffix) else c) for n, c in entries])


def damaged_bytes(rng: Random, content: bytes) -> bytes:
    """Random damage, often where the directory lies."""
    directory = max(0, content.find(b"PK\x01\x02"))
    return damaged(rng, content, rng.choice((0, 0, directory, max(0, len(content) - 60))))


# offset and length of the fields of local header, directory entry and end record
_FIELDS: Final = {
    b"PK\x03\x04": ((4, 2), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)),
    b"PK\x01\x02": ((6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2),
                    (34, 2), (38, 4), (42, 4)),
    b"PK\x05\x06": ((4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)),
}  # fmt: skip


def odd_fields(rng: Random, content: bytes) -> bytes:
    """Sizes, offsets, methods, flags, counts that are not those of the content."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 3))):
        signature = rng.choice(list(_FIELDS))
        places = _positions(content, signature)
        at, length = rng.choice(_FIELDS[signature])
        start = rng.choice(places) + at
        old = int.from_bytes(changed[start : start + length], "little")
        new = rng.choice((0, 1, 8, 12, 14, 99, old + 1, old - 1, old * 2, 2**31, 2**32 - 1,
                          rng.getrandbits(32)))  # fmt: skip
        changed[start : start + length] = (new % 256**length).to_bytes(length, "little")
    return bytes(changed)


def _positions(content: bytes, signature: bytes) -> list[int]:
    found, at = [], content.find(signature)
    while at >= 0:
        found.append(at)
        at = content.find(signature, at + 4)
    return found or [0]


def odd_entries(rng: Random, content: bytes) -> bytes:
    """Entries swapped, absent, twice, renamed, nested, packed in another way."""
    entries = records(content)
    first, second = rng.randrange(len(entries)), rng.randrange(len(entries))
    name, record = entries[first]
    kind = rng.randrange(14)
    if kind == 0:  # contents swapped
        entries[first], entries[second] = (
            (name, entries[second][1]),
            (entries[second][0], record),
        )
    elif kind == 1:
        del entries[first]
    elif kind == 2:
        entries.append((name, rng.choice((record, b"", entries[second][1]))))
    elif kind == 3:
        odd = ("../" + name, "/" + name, name + "/", name.upper(), "", name + "\x00x", "x" * 5000,
               name.rpartition("/")[2], "a/b/" + name, name.replace("/", "\\"), "constants.pkl",
               name.partition("/")[0] + "/constants.pkl", "é" * 20)  # fmt: skip
        entries[first] = (rng.choice(odd), record)
    elif kind == 4:
        rng.shuffle(entries)
    elif kind == 5:
        entries[first] = (name, content)
    elif kind == 6:
        entries[first] = (name, rng.choice((b"", b"big", b"\x00", record[:-1], record + b"\x00")))
    elif kind == 7:
        entries += [(f"x/{index}", b"") for index in range(3000)]
    elif kind == 8:
        entries = [(n, c) for n, c in entries if n.endswith(".pkl")]
    elif kind == 9:
        return pack(entries, rng.choice((zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)))
    elif kind == 10:
        return rng.choice((b"junk" * 10, content)) + content
    elif kind == 11:
        return content + rng.choice((b"junk", content, b"PK\x05\x06" + bytes(18), bytes(70_000)))
    elif kind == 12:
        return with_mode(content, rng.choice((0o120777, 0o020666, 0o010666, 0)))
    else:
        entries = [(f"{n}.{rng.randrange(9)}" if rng.random() < 0.3 else n, c) for n, c in entries]
    return pack(entries)


def with_mode(content: bytes, mode: int) -> bytes:
    """The same archive whose entries claim to be links, devices or pipes."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, record in records(content):
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, record, compresslevel=1)
    return target.getvalue()


@cache
def zeros(size: int) -> bytes:
    """A raw deflate stream of that many zero bytes, made without compressing them all."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    repeated = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block + repeated * (size // MIB - 1) + packer.flush(zlib.Z_FINISH)


@cache
def checksum_of_zeros(size: int) -> int:
    """CRC-32 of that many zero bytes."""
    block, checksum = bytes(MIB), 0
    for _ in range(size // MIB):
        checksum = zlib.crc32(block, checksum)
    return checksum


class Packed(NamedTuple):
    """An entry as it stands in the archive."""

    name: str
    content: bytes
    size: int
    checksum: int


def bomb(name: str, size: int) -> Packed:
    """An entry of zeros."""
    return Packed(name, zeros(size), size, checksum_of_zeros(size))


def raw_archive(entries: Sequence[Packed]) -> tuple[bytes, bytes, int]:
    """Local parts, directory and number of entries."""
    local, directory = bytearray(), bytearray()
    for name, packed, size, checksum in entries:
        offset = len(local)
        sizes = len(packed), size & 0xFFFFFFFF
        common = struct.pack("<HHHHIIIHH", 20, 0, 8, 0, checksum, *sizes, len(name), 0)
        local += b"PK\x03\x04" + common + name.encode() + packed
        directory += b"PK\x01\x02\x14\x00" + common + bytes(10) + struct.pack("<I", offset)
        directory += name.encode()
    return bytes(local), bytes(directory), len(entries)


def end_record(count: int, size: int, offset: int) -> bytes:
    """The end of an archive."""
    return b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count, count, size, offset, 0)


def deflated(content: bytes) -> bytes:
    """A raw deflate stream."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def bombs(rng: Random, content: bytes) -> bytes:
    """A small file that becomes, or says it becomes, something huge."""
    entries = [
        Packed(name, deflated(record), len(record), zlib.crc32(record))
        for name, record in records(content)
    ]
    chosen = rng.randrange(len(entries))
    entry = entries[chosen]
    kind = rng.randrange(7)
    size = rng.choice((16, 16, 64, 300, 700, 3000)) * MIB
    if kind == 0:  # declared and true
        entries[chosen] = bomb(entry.name, size)
    elif kind == 1:  # declared, but not there
        entries[chosen] = entry._replace(size=size)
    elif kind == 2:  # there, but not declared
        entries[chosen] = bomb(entry.name, size)._replace(size=entry.size)
    elif kind == 3:  # many of medium size
        entries += [bomb(f"archive/data/x{index}", 16 * MIB) for index in range(90)]
    elif kind == 4:  # many small
        entries += [Packed(f"archive/x{index}", b"\x03\x00", 0, 0) for index in range(20_000)]
    elif kind == 5:  # two directories, and readers that disagree on which one counts
        local, small, count = raw_archive(entries)
        entries[chosen] = bomb(entry.name, size)
        other, large, _ = raw_archive(entries)
        body = (other, large, small) if rng.random() < 0.5 else (local, small, large)
        offset = len(body[0])
        return b"".join(body) + end_record(count, len(body[2]), offset)
    else:  # 64 bit sizes
        local, directory, count = raw_archive(entries)
        huge = rng.choice((2**40, 2**62, 2**63, 2**64 - 1))
        extra = struct.pack("<HHQQ", 1, 16, huge, len(entries[0].content))
        patched = bytearray(directory)
        patched[24:28] = b"\xff\xff\xff\xff"
        patched[20:24] = b"\xff\xff\xff\xff"
        patched[30:32] = struct.pack("<H", len(extra))
        at = 46 + len(entries[0].name)
        directory = bytes(patched[:at]) + extra + bytes(patched[at:])
        return local + directory + end_record(count, len(directory), len(local))
    local, directory, count = raw_archive(entries)
    return local + directory + end_record(count, len(directory), len(local))


def not_archives(rng: Random, content: bytes) -> bytes:
    """Files of other formats."""
    kind = rng.randrange(7)
    if kind == 0:
        return rng.randbytes(rng.choice((1, 2, 10, 1000, 100_000)))
    if kind == 1:
        return content[: rng.choice((1, 2, 4, 30, 100, len(content) // 2))]
    if kind == 2:
        return b"PK\x03\x04" + rng.randbytes(rng.choice((0, 30, 1000)))
    if kind == 3:
        return bytes(rng.choice((1, 22, 1000, MIB)))
    if kind == 4:
        return rng.choice((b"<html>", b"{}", b"[1, 2]", b"version https://git-lfs", b"\x93NUMPY"))
    if kind == 5:
        target = io.BytesIO()
        with tarfile.open(fileobj=target, mode="w") as tar:
            for name in ("storages", "tensors", "pickle", "../escaped"):
                entry = tarfile.TarInfo(name)
                entry.size = 4
                tar.addfile(entry, io.BytesIO(b"\x80\x02N."))
        return target.getvalue()
    return b"PK\x05\x06" + rng.randbytes(18)


ARCHIVE_DAMAGES: Final[dict[str, Callable[[Random, bytes], bytes]]] = {
    "bytes": damaged_bytes,
    "fields": odd_fields,
    "entries": odd_entries,
    "bombs": bombs,
    "not an archive": not_archives,
}
