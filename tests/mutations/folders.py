"""Damage to the files of a data folder: cameras, tracks, pictures, sound."""

import io
import json
import pickle
import struct
import zlib
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any, Final

import cv2
import numpy as np

from tests.mutations.archives import bombs as archive_bombs
from tests.mutations.archives import deflated
from tests.mutations.damage import NUMBERS, TEXTS, damaged, weird


def odd_json(rng: Random, content: bytes) -> bytes:
    """JSON with other values, keys, types and nesting."""
    table = json.loads(content)
    for _ in range(rng.choice((1, 1, 2, 3))):
        _change(rng, table)
    return json.dumps(table).encode("utf-8", "replace")


def _change(rng: Random, table: Any) -> None:
    """Change one node, however deep it lies."""
    nodes = [(table, key) for key in table]
    for frame in table["frames"][:2] if isinstance(table.get("frames"), list) else ():
        if isinstance(frame, dict):
            nodes += [(frame, key) for key in frame]
            matrix = frame.get("transform_matrix")
            if isinstance(matrix, list):
                nodes += [(matrix, index) for index in range(len(matrix))]
                rows = [row for row in matrix if isinstance(row, list)]
                nodes += [(row, index) for row in rows for index in range(len(row))]
    if not nodes:
        return
    names = ("w", "h", "cx", "cy", "fl_x", "fl_y", "focal_len", "camera_angle_x", "frames", "extra")
    parent, key = rng.choice(nodes)
    kind = rng.randrange(10)
    if kind < 4:
        parent[key] = weird(rng)
    elif kind == 4:
        parent[key] = rng.choice(NUMBERS)
    elif kind == 5:
        del parent[key]
    elif kind == 6:
        parent[key] = [parent[key]]
    elif kind == 7 and isinstance(parent, dict):
        table[rng.choice(names)] = rng.choice((*NUMBERS, *TEXTS, 128, 64, [], {}))
    elif kind == 8:  # a camera that turns nothing, or everything
        value = rng.choice((0.0, 1e-30, 1e30, 1e-3, -1.0))
        for frame in table.get("frames", ()):
            if isinstance(frame, dict):
                frame["transform_matrix"] = [[value] * 4] * 3 + [[0, 0, 0, 1]]
    elif isinstance(table.get("frames"), list):
        table["frames"] = table["frames"] * rng.choice((0, 2, 50))


def odd_json_text(rng: Random, content: bytes) -> bytes:
    """JSON that is cut, encoded in another way, nested without end, or none."""
    text = content.decode()
    deep = rng.choice((10, 500, 2000, 100_000))
    number = rng.choice(("9" * 5000, "1" + "0" * 400, "1e999", "-1e999", "NaN", "0x10", "1_0",
                         "1." + "0" * 5000, "-", "'1'", "Infinity", "1e-999"))  # fmt: skip
    changed: tuple[bytes, ...] = (
        damaged(rng, content),
        damaged(rng, content),
        damaged(rng, content),
        text.encode("utf-16"),
        text.encode("utf-32"),
        b"\xef\xbb\xbf" + content,
        b"\xff\xfe" + content,
        text.replace("img_id", "img_id\\ud800").encode(),
        content.replace(b"{", b'{"extra": "\xe9",', 1),
        b"[" * deep + b"]" * deep,
        b'{"frames": ' + b"[" * deep + b"]" * deep + content.strip()[1:].join((b",", b"")),
        b'{"a":' * deep + b"1" + b"}" * deep,
        content.replace(b"24", number.encode(), 2),
        content.replace(b"0.0", number.encode(), 1),
        content.replace(b"240.0", number.encode(), 1),
        content.replace(b"64.0", number.encode(), 2),
        content + content,
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{" + b",".join(b'"k%d": 1' % index for index in range(20_000)) + b"}",
        b'{"frames": [' + b"{}," * 20_000 + b"{}]" + b"," + content.strip()[1:],
    )
    return rng.choice(changed)


def odd_array(rng: Random, content: bytes) -> bytes:
    """A .npy file with another header, another type, other numbers, or none."""
    array = np.load(io.BytesIO(content), allow_pickle=False)
    kind = rng.randrange(12)
    if kind < 3:
        return damaged(rng, content, rng.choice((0, 0, 6, 10)))
    if kind < 6:
        return _with_header(rng, content)
    if kind == 6:
        return saved(array.astype(rng.choice(
            ("f2", "f8", ">f4", "i1", "u8", "?", "c16", "U8", "S8", "M8[s]", "m8[s]")
        )))  # fmt: skip
    if kind == 7:
        shapes = ((-1,), (1, *array.shape), (*array.shape, 1), array.shape[::-1])
        return saved(rng.choice((array.reshape(rng.choice(shapes)), array[:0], array[:, :0],
                                 array[:1], array[:, :5], np.float32(1.0), array[::2, ::-1],
                                 np.asfortranarray(array))))  # fmt: skip
    if kind == 8:
        changed = array.astype(np.float64)
        row = rng.choice((slice(None), rng.randrange(len(array))))
        changed[row] = rng.choice((np.nan, np.inf, -np.inf, 1e300, 3e38, 1e-320, -1e6))
        return saved(changed)
    if kind == 9:
        target = io.BytesIO()
        objects = np.empty(array.shape[:2], object)
        np.save(target, objects, allow_pickle=True)
        return rng.choice((target.getvalue(), pickle.dumps(array), pickle.dumps([1])))
    if kind == 10:
        target = io.BytesIO()
        np.savez(target, array)
        return target.getvalue()
    fields = np.zeros(len(array), [("a", "f4"), ("b", "f4", (51,))])
    return saved(rng.choice((fields, np.array("text"), np.array(0.5), fields["b"][:, :0])))


def saved(array: Any) -> bytes:
    """A .npy file."""
    target = io.BytesIO()
    np.save(target, array, allow_pickle=False)
    return target.getvalue()


def _with_header(rng: Random, content: bytes) -> bytes:
    """The same numbers under a header that says something else."""
    shapes = ("()", "(0,)", "(1000000000, 52)", "(10000000000000, 52)", "(-1, 52)", "(2, -2)",
              "(9223372036854775807,)", "(9223372036854775807, 9223372036854775807)",
              "(0, 9223372036854775807)", "(1.0, 52)", "'ab'", "None", "(True, 52)", "[64, 52]",
              "(4000000000, 0)", "(1,)*9", "(" + "1," * 70 + ")", "(64, 52", "10**10")  # fmt: skip
    types = ("'<f4'", "'|O'", "'<f8'", "'V1000000000'", "'<U1000000000'", "[('a', '<f4')]", "'?'",
             "'x'", "None", "('<f4', (2, 2))", "'<M8[s]'", "{}", "'f4, f4'", "__import__('os')",
             "[('a', '|O')]", "'<f4' " * 3, "'|V0'", "'<c8'", "'<f16'", "1", "'<f4:é'")  # fmt: skip
    header = f"{{'descr': {rng.choice(types)}, 'fortran_order': False, 'shape': (64, 52), }}"
    deep = rng.choice((100, 3000, 9000))
    kind = rng.randrange(6)
    if kind < 3:
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {rng.choice(shapes)}, }}"
    elif kind == 4:
        header = rng.choice(("(" * deep, "-" * deep + "1", "[" * deep + "]" * deep, "{}", "",
                             "\x00",
                             "{'shape': " + "9" * deep + "}", "1+" * deep + "1", "f()",
                             "{'descr': '<f4', 'shape': (1,)}", "__import__('os').getcwd()",
                             "lambda: 1", "'a' * 10**9", "é" * deep, "{" * deep))  # fmt: skip
    length = struct.unpack("<H", content[8:10])[0]
    coded = header.encode("latin1")
    size = rng.choice((len(coded), len(coded), len(coded), 65_535, 0))
    version = rng.choice((b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x00"))
    form = "<H" if version == b"\x01\x00" else "<I"
    size = rng.choice((size, 2**32 - 1)) if form == "<I" else size
    return b"\x93NUMPY" + version + struct.pack(form, size) + coded + content[10 + length :]


def odd_arrays(rng: Random, content: bytes) -> bytes:
    """A .npz archive of which one array is damaged, absent, or additional."""
    with np.load(io.BytesIO(content)) as stored:
        arrays = {f"{name}.npy": saved(stored[name]) for name in stored.files}
    name = rng.choice(list(arrays))
    kind = rng.randrange(8)
    if kind < 4:
        arrays[name] = odd_array(rng, saved(np.load(io.BytesIO(arrays[name])).reshape(-1, 4)))
    elif kind == 4:
        del arrays[name]
    elif kind == 5:
        arrays[rng.choice(("poses", "x.npy", "eyes.npy.npy"))] = arrays[name]
    elif kind == 6:
        other = rng.choice(list(arrays))
        arrays[name], arrays[other] = arrays[other], arrays[name]
    packed = _zipped(arrays)
    return archive_bombs(rng, packed) if kind == 7 else packed


def _zipped(files: dict[str, bytes]) -> bytes:
    from tests.mutations.archives import pack

    return pack(list(files.items()))


def odd_table(rng: Random, content: bytes) -> bytes:
    """OpenFace's table with other columns, numbers, quotes, encodings."""
    number = rng.choice((b"nan", b"inf", b"-inf", b"1e999", b"", b"x", b"9" * 5000, b"1_0", b"\x00",
                         b"\xff", b'"', b"0x1"))  # fmt: skip
    changed = (
        damaged(rng, content),
        damaged(rng, content),
        content.replace(b"2.", number, 3),
        content.replace(b"0.10", number, 1),
        content.replace(b"AU45_r", b"AU45_c"),
        content.replace(b", ", b","),
        content.replace(b", ", b";"),
        content.replace(b"\n", b"\r"),
        content.replace(b", 0.", b', "0.'),
        content.replace(b"\n", b"\n\n"),
        content.decode().encode("utf-16"),
        b"\xef\xbb\xbf" + content,
        b"frame, AU45_r\n",
        b"",
        bytes(1000),
        rng.randbytes(1000),
        b"frame, AU45_r\n" + b'"' + b"x" * 200_000,
        content + content[15:] * 500,
        content.replace(b"frame", b"AU45_r"),
        content.replace(b"\n", b",1,2,3\n"),
    )
    return rng.choice(changed)


def odd_picture(rng: Random, content: bytes) -> bytes:
    """A picture that is cut, of another size, format, depth, or huge when decoded."""
    kind = rng.randrange(10)
    if kind < 3:
        return damaged(rng, content, rng.choice((0, 0, 20, len(content) // 2)))
    if kind == 3:
        return content[: rng.randrange(len(content))]
    if kind == 4:
        return rng.choice((b"", b"text", b"<svg/>", rng.randbytes(2000), b"\xff\xd8\xff",
                           b"\x89PNG\r\n\x1a\n", b"RIFF\x04\x00\x00\x00WEBP", b"P6 9 9 255\n",
                           bytes(1000), b"%PDF-1.4", b"GIF89a" + bytes(20)))  # fmt: skip
    if kind < 8:
        return _drawn(rng)
    return rng.choice(huge_pictures())


def _drawn(rng: Random) -> bytes:
    """A picture of another size, depth or format."""
    sizes = ((128, 128), (128, 128), (1, 1), (127, 128), (256, 256), (1, 5000), (3000, 2))
    height, width = rng.choice(sizes)
    shape: tuple[int, ...] = rng.choice(
        ((height, width), (height, width, 3), (height, width, 4), (height, width, 1))
    )
    picture: Any = np.full(shape, rng.choice((0, 77, 255)), np.uint8)
    ending = rng.choice((".png", ".jpg", ".webp", ".bmp", ".tiff", ".ppm", ".png"))
    if ending in (".jpg", ".ppm") and shape[-1] == 4:
        ending = ".png"
    if ending == ".png" and rng.random() < 0.3:
        picture = picture.astype(np.uint16) * 257
    if ending == ".tiff" and rng.random() < 0.5:
        picture = picture.astype(np.float32)
    if ending == ".ppm" and picture.ndim == 2:
        picture = np.zeros((height, width, 3), np.uint8)
    is_written, content = cv2.imencode(ending, picture)
    return content.tobytes() if is_written else png(width, height)


@cache
def huge_pictures() -> tuple[bytes, ...]:
    """A few hundred kB at most; gigabytes when decoded, or said to be."""
    side = 30_000
    small = np.zeros((16, 16, 3), np.uint8)
    jpeg = bytearray(cv2.imencode(".jpg", small)[1].tobytes())
    frame = jpeg.find(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
    progressive = bytearray(
        cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    )
    frame = progressive.find(b"\xff\xc2")
    progressive[frame + 5 : frame + 9] = struct.pack(">HH", 4000, 4000)
    scan = progressive.rfind(b"\xff\xda")
    scans = bytes(progressive[:scan]) + bytes(progressive[scan:-2]) * 3000 + b"\xff\xd9"
    webp = bytearray(cv2.imencode(".webp", small, [cv2.IMWRITE_WEBP_QUALITY, 80])[1].tobytes())
    webp[26:30] = struct.pack("<HH", 16_383, 16_383)
    bmp = bytearray(cv2.imencode(".bmp", small)[1].tobytes())
    bmp[18:26] = struct.pack("<ii", side, -side)
    tiff = bytearray(cv2.imencode(".tiff", small)[1].tobytes())
    return (
        png(side, side),
        png(side, side, empty=True),
        png(2**31 - 1, 2**31 - 1, empty=True),
        png(1, 1_000_000),
        png(4096, 4096),
        bytes(jpeg),
        scans,
        bytes(webp),
        bytes(bmp),
        bytes(tiff).replace(struct.pack("<H", 16), struct.pack("<H", 60_000), 4),
        b"P6 40000 40000 255\n" + bytes(100),
        b"P5 1000000 1000000 255\n" + bytes(100),
        b"P4 100000 100000\n" + bytes(100),
        b"Pf\n40000 40000\n-1.0\n" + bytes(100),
        b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 30000 +X 30000\n" + bytes(100),
        b"GIF89a" + struct.pack("<HH", 65_000, 65_000) + b"\x80\x00\x00" + bytes(6)
        + b"," + struct.pack("<HHHH", 0, 0, 65_000, 65_000) + b"\x00\x02\x02\x4c\x01\x00;",
        _long_text_png(),
    )  # fmt: skip


def png(width: int, height: int, *, empty: bool = False) -> bytes:
    """A one-bit picture, all black."""
    row = width // 8 + 1
    content = b"" if empty else zlib.compress(bytes(1), 1)
    if not empty and row * height < 2**28:
        packer = zlib.compressobj(9)
        block = bytes(row)
        content = b"".join(packer.compress(block) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", content) + _chunk(b"IEND")
    )


def _long_text_png() -> bytes:
    """A small picture with a text that unpacks to 300 MB."""
    packer = zlib.compressobj(9)
    text = b"".join(packer.compress(bytes(2**20)) for _ in range(300)) + packer.flush()
    whole = png(8, 8)
    return whole[:33] + _chunk(b"zTXt", b"key\x00\x00" + text) + whole[33:]


def _chunk(kind: bytes, content: bytes = b"") -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def odd_sound(rng: Random, content: bytes) -> bytes:
    """A sound whose header says something else, or that is none."""
    kind = rng.randrange(8)
    if kind < 3:
        return damaged(rng, content, rng.choice((0, 0, 44, 200)))
    if kind < 6:  # format, channels, rate, bytes a second, block, bits, size of data
        changed = bytearray(content)
        for _ in range(rng.choice((1, 1, 2))):
            fields = ((20, "<H"), (22, "<H"), (24, "<I"), (24, "<I"), (28, "<I"), (32, "<H"),
                      (34, "<H"), (40, "<I"), (16, "<I"), (4, "<I"))  # fmt: skip
            at, form = rng.choice(fields)
            values = (0, 1, 2, 3, 4, 6, 7, 8, 17, 24, 32, 64, 80, 255, 256, 8000, 44_100, 48_000,
                      65_535, 2**31 - 1, 2**31, 2**32 - 1)  # fmt: skip
            limit = 256 ** struct.calcsize(form)
            changed[at : at + struct.calcsize(form)] = struct.pack(form, rng.choice(values) % limit)
        return bytes(changed)
    if kind == 6:
        samples = rng.choice((b"", b"\x00", bytes(3), b"\xff\x7f" * 5, bytes(2_000_000)))
        return content[:40] + struct.pack("<I", len(samples)) + samples
    return rng.choice((
        b"", b"text", rng.randbytes(3000), b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n",
        b"ffconcat version 1.0\nfile /etc/hostname\n", b"OggS" + bytes(100), b"fLaC" + bytes(100),
        b"ID3\x03\x00" + bytes(200), b"RIFF" + bytes(100), cv2.imencode(".png", np.zeros((9, 9)))[1]
        .tobytes(), deflated(content),
    ))  # fmt: skip


FOLDER_DAMAGES: Final[dict[str, tuple[str, Callable[[Random, bytes], bytes]]]] = {
    "cameras": ("transforms_*.json", odd_json),
    "camera text": ("transforms_*.json", odd_json_text),
    "expression array": ("bs.npy", odd_array),
    "expression table": ("au.csv", odd_table),
    "pictures": ("*/*", odd_picture),
    "sound": ("aud.wav", odd_sound),
}
