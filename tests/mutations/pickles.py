"""Damage to the pickle of a torch file, and pickles that are hostile from the start.

A pickle is a program for a stack machine. `written` assembles one from values, so that a hostile
piece can stand anywhere.
"""

import io
import pickle
import pickletools
import struct
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from tests.mutations.damage import NUMBERS, TEXTS, damaged

START, STOP = b"\x80\x02", b"."


class Raw(bytes):
    """Instructions that leave one value on the stack."""


class Stored(NamedTuple):
    """A tensor as a torch file describes it; every part may be something else than it should."""

    kind: Any
    record: Any
    numel: Any
    shape: Any
    stride: Any
    offset: Any = 0
    location: Any = "cpu"
    grad: Any = False


def name(module: str, attribute: str) -> Raw:
    """The instruction that looks a name up."""
    return Raw(b"c" + f"{module}\n{attribute}\n".encode("utf-8", "surrogatepass"))


def call(function: bytes, arguments: Any) -> Raw:
    """The call of what was looked up."""
    return Raw(function + written(arguments) + b"R")


def written(value: Any) -> bytes:
    """Instructions for a value."""
    match value:
        case Raw():
            return bytes(value)
        case Stored():
            return bytes(_tensor(value))
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int() if -(2**31) <= value < 2**31:
            return b"J" + struct.pack("<i", value)
        case int():
            content = pickle.encode_long(value)
            if len(content) < 256:
                return b"\x8a" + bytes((len(content),)) + content
            return b"\x8b" + struct.pack("<i", len(content)) + content
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            content = value.encode("utf-8", "surrogatepass")
            return b"X" + struct.pack("<I", len(content)) + content
        case bytes():
            return b"U" + bytes((len(value) % 256,)) + value[:255]
        case tuple():
            return b"(" + b"".join(map(written, value)) + b"t"
        case list():
            return b"](" + b"".join(map(written, value)) + b"e"
        case dict():
            items = b"".join(written(key) + written(item) for key, item in value.items())
            return b"}(" + items + b"u"
    raise TypeError(type(value).__name__)


def _tensor(tensor: Stored) -> Raw:
    kind = name("torch", tensor.kind) if isinstance(tensor.kind, str) else tensor.kind
    where = ("storage", kind, tensor.record, tensor.location, tensor.numel)
    hooks = call(name("collections", "OrderedDict"), ())
    storage = Raw(written(where) + b"Q")
    arguments = (storage, tensor.offset, tensor.shape, tensor.stride, tensor.grad, hooks)
    return call(name("torch._utils", "_rebuild_tensor_v2"), arguments)


def program(value: Any) -> bytes:
    """A whole pickle."""
    return START + written(value) + STOP


def damaged_pickle(rng: Random, content: bytes) -> bytes:
    """Random damage."""
    return damaged(rng, content, rng.choice((0, 0, 2)))


def odd_instructions(rng: Random, content: bytes) -> bytes:
    """Whole instructions changed, taken out, doubled, moved; numbers and texts replaced."""
    parts = split(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at, other = rng.randrange(1, len(parts)), rng.randrange(1, len(parts))
        kind = rng.randrange(8)
        if kind == 0:
            del parts[at]
        elif kind == 1:
            parts.insert(at, parts[other])
        elif kind == 2:
            parts[at], parts[other] = parts[other], parts[at]
        elif kind == 3:
            parts[at] = bytes((rng.randrange(256),)) + parts[at][1:]
        elif kind == 4:
            parts.insert(at, bytes((rng.randrange(256),)) + rng.randbytes(rng.choice((0, 1, 4, 9))))
        else:  # of the kind that was there
            codes = (b"K", b"M", b"J", b"\x8a") if kind < 7 else (b"X", b"G", b"h", b"q")
            alike = [i for i, part in enumerate(parts) if part[:1] in codes]
            if alike:
                at = rng.choice(alike)
                parts[at] = _other(rng, parts[at])
    return b"".join(parts)


def _other(rng: Random, part: bytes) -> bytes:
    code = part[:1]
    if code in b"KMJ\x8a":
        number = rng.choice(NUMBERS)
        old = int.from_bytes(part[1:], "little")
        return written(rng.choice((old + 1, old - 1, old * 2, -old, number, number)))
    if code == b"X":
        return written(rng.choice(TEXTS))
    if code == b"G":
        return written(rng.choice(NUMBERS))
    return code + bytes((rng.randrange(256),))


def split(content: bytes) -> list[bytes]:
    """One piece for each instruction."""
    starts = [position for _, _, position in pickletools.genops(content)]
    return [content[a:b] for a, b in zip(starts, [*starts[1:], len(content)], strict=True)]


def hostile(rng: Random, content: bytes, mark: Path) -> bytes:
    """A pickle that names something to be called, in one of many manners and places.

    Args:
        rng: decides.
        content: the pickle of a valid head.
        mark: a file that is written if the call happens.
    """
    command, file = f"touch {mark}", str(mark)
    text = f"open({file!r}, 'w')"
    module = "tests.mutations.hostile"
    inner = program(call(name("os", "system"), (command,)))
    targets: tuple[tuple[str, str, Any], ...] = (
        ("os", "system", (command,)),
        ("posix", "system", (command,)),
        ("os", "popen", (command,)),
        ("os", "mkdir", (file,)),
        ("os", "getcwd", ()),
        ("os", "environ.clear", ()),
        ("nt", "system", (command,)),
        ("subprocess", "Popen", (["touch", file],)),
        ("subprocess", "check_output", (["touch", file],)),
        ("pty", "spawn", ("true",)),
        ("builtins", "eval", (text,)),
        ("builtins", "exec", (text,)),
        ("builtins", "open", (file, "w")),
        ("builtins", "__import__", (module,)),
        ("builtins", "getattr", ("", "join")),
        ("builtins", "print", ("here",)),
        ("builtins", "bytearray", (2**40,)),
        ("builtins", "set", ([1],)),
        ("__builtin__", "eval", (text,)),
        ("__builtin__", "apply", (len, ((),))),
        ("io", "open", (file, "w")),
        ("pathlib", "Path.touch", (file,)),
        ("importlib", "import_module", (module,)),
        ("runpy", "run_module", (module,)),
        ("timeit", "timeit", (text,)),
        ("pickle", "loads", (inner[:250],)),
        ("numpy", "save", (file, [1])),
        ("numpy", "load", (file,)),
        ("numpy.core.multiarray", "scalar", (1,)),
        ("torch", "load", (file,)),
        ("torch", "save", ([1], file)),
        ("torch", "device", ("cuda",)),
        ("torch", "Tensor", (10**10,)),
        ("torch", "FloatTensor", (10**10,)),
        ("torch", "Size", ((1, 2),)),
        ("torch.storage", "_load_from_bytes", (inner[:250],)),
        ("torch.hub", "load_state_dict_from_url", ("http://127.0.0.1:9/x",)),
        ("torch.utils.cpp_extension", "load_inline", ("x", "int x;")),
        ("torch._utils", "_rebuild_wrapper_subclass", (1, 2, 3, 4, 5, 6, 7)),
        ("torch._utils", "_rebuild_meta_tensor_no_storage",
         (name("torch", "float32"), (10**6, 10**6), (10**6, 1), False)),
        ("torch._tensor", "_rebuild_from_type_v2",
         (name("os", "system"), name("torch", "Tensor"), (command,), None)),
        ("torch.nn.parameter", "Parameter", (1,)),
        ("collections", "Counter", ([1, 1],)),
        ("collections", "OrderedDict", ([("a", 1)],)),
        ("collections", "OrderedDict.__init__", ([],)),
        ("_codecs", "encode", ("x" * 200, "rot13")),
        (module, "strike", ()),
        ("__main__", "main", ()),
        ("avatar_worker.render.checkpoint", "load_tensors", (file,)),
        ("a b", "c\x00d", ()),
        ("", "", ()),
    )  # fmt: skip
    where, attribute, arguments = rng.choice(targets)
    if len(arguments) == 2 and arguments[0] is len:
        arguments = ("len", ())
    spoken = written(arguments)
    looked_up = bytes(name(where, attribute))
    line = f"{where}\n{attribute}\n".encode()
    manners = (
        looked_up + spoken + b"R",
        looked_up + spoken + b"R",
        looked_up + spoken + b"\x81",
        looked_up + spoken + b"}\x92",
        looked_up,
        looked_up + written({"__setstate__": 1}) + b"b",
        b"(" + spoken[1:-1] + b"i" + line,
        b"(" + looked_up + spoken[1:-1] + b"o",
        written(where) + written(attribute) + b"\x93" + spoken + b"R",
        b"\x82\x01" + spoken + b"R",
        bytes(call(name("collections", "OrderedDict"), ())) + looked_up + b"b",
        bytes(_tensor(Stored("FloatStorage", Raw(looked_up + spoken + b"R"), 4, (4,), (1,)))),
        bytes(_tensor(Stored(Raw(looked_up), "0", 4, (4,), (1,)))),
        bytes(_tensor(Stored("FloatStorage", "0", 4, Raw(looked_up + spoken + b"R"), (1,)))),
    )
    piece = Raw(rng.choice(manners))
    places = (
        START + piece + STOP,
        START + piece + b"0" + content[2:],
        program({"model": piece}),
        program({"model": {"a": piece}}),
        program({piece: 1}),
        content.replace(b"}q\x00(", b"}q\x00(" + written("stats2") + piece, 1),
        content.replace(written("epoch"), written("epoch") + piece + b"0", 1),
        content[:-1] + piece + STOP,
    )
    chosen = rng.choice(places)
    return places[0] if chosen == content else chosen  # nothing was found to be replaced


def bombs(rng: Random, content: bytes) -> bytes:
    """Few instructions that ask for very much time or memory."""
    # a tuple of tuples of … that share their parts: few bytes, 2**n leaves
    doubling = b"()q\x01" + b"h\x01h\x01\x86q\x01" * rng.choice((24, 60, 200)) + b"t"
    size = rng.choice((10, 1000, 100_000))
    pieces: tuple[bytes, ...] = (
        START + b"}" + doubling + b"Ns.",  # a key whose hash is a sum over 2**n parts
        START + b"}" + written("model") + doubling + b"s.",
        START + doubling + b".",
        program({"epoch": 1, "model": {"a": Stored("FloatStorage", Raw(doubling), 4, (4,), (1,))}}),
        program({"model": {"a": Stored("FloatStorage", "0", 4, Raw(doubling), (1,))}}),
        START + b"]" * size + b"a" * (size - 1) + b".",
        START + b"N" + b"\x85" * size + b".",
        START + b"(" * size + b".",
        START + b"}" * size + b".",
        START + b"Nr\xff\xff\xff\xff0j\xff\xff\xff\xff.",
        START + b"".join(b"r" + struct.pack("<I", i) for i in range(0, 2**32, 2**32 // 2000)),
        START + b"\x8b" + struct.pack("<i", 2**31 - 1) + b"\x01.",
        START + b"X\xff\xff\xff\xffabc.",
        START + b"\x8e" + struct.pack("<Q", 2**40) + b"abc.",
        START + b"\x96" + struct.pack("<Q", 2**35) + b"abc.",
        b"\x80\x04\x95" + struct.pack("<Q", 2**63 - 1) + b"N.",
        START + b"I" + b"9" * 5000 + b"\n.",
        START + b"L" + b"9" * 100_000 + b"L\n.",
        program({"model": {"a": 10**600}, "epoch": 2 ** (8 * 200)}),
        program({"epoch": 10**400, "model": {}}),
        # one list, copied again and again
        START + b"(](" + b"K\x01K\x01\x86" * size + b"eq\x01"
        + bytes(name("collections", "OrderedDict")) + b"q\x02"
        + b"h\x02h\x01\x85R" * 2000 + b"t.",
        program(call(name("builtins", "bytearray"), (rng.choice((10**9, 10**12)),))),
        # each encoding doubles the text
        START + b"(" + bytes(name("_codecs", "encode")) + b"q\x01" + written("x" * 200)
        + written("utf-16") + b"\x86Rq\x02" + (b"h\x01h\x02" + written("hex") + b"\x86Rq\x02") * 40
        + b"t.",
        program({"model": {str(index): None for index in range(size)}}),
        program({"model": [[]] * size}),
        content * 3,
        content[:-1] + b"0" * size + b".",
        START + b"N0" * (size * 5) + b"N.",
    )  # fmt: skip
    return rng.choice(pieces)


def odd_tensor(rng: Random, good: Stored) -> Any:
    """A description of a tensor of which one or two parts are not as they should be."""
    n = good.numel
    numbers = (0, 1, -1, n + 1, n - 1, n * 2, 2**31, 2**40, 2**62, 2**63 - 1, 2**63, 10**30,
               float(n), float("nan"), True, None, str(n), (n,))  # fmt: skip
    shapes: tuple[Any, ...] = (
        (), (n,), (n + 1,), (-1,), (-n,), (0,), (0, 2**40), (2**40,), (2**40, 0), (2**31, 2**31, 4),
        (2**62, 2**62), (1,) * 70, (1,) * 100_000, (n, 1), (1.0,), ("4",), [n], None, n, "ab",
        (None,), (True,), (2**63,), (2**70,), {}, Raw(b")"), tuple(reversed(good.shape)),
    )  # fmt: skip
    strides = (
        (0,) * len(good.shape), (1,), (), (-1,), (2**62,), (2**40, 1), (1, 2**40), (1, 1), (7, 13),
        (2**63,), ("1",), None, [1], (0.5,), tuple(reversed(good.stride)), (1,) * 70,
    )  # fmt: skip
    records: tuple[Any, ...] = (
        "1", "00", "9999", "../data.pkl", "", "0\x00", 0, None, -1, ("0",), b"0", "0" * 5000, [],
        {}, "\ud83d", "../version", 1.5, True,
    )  # fmt: skip
    kinds = (
        "DoubleStorage", "HalfStorage", "BFloat16Storage", "LongStorage", "IntStorage",
        "ShortStorage", "CharStorage", "ByteStorage", "BoolStorage", "ComplexFloatStorage",
        "QInt8Storage", "UntypedStorage", "TypedStorage", "NoStorage", "Float8_e4m3fnStorage",
        "float32", Raw(b"N"), Raw(b"K\x01"), Raw(bytes(name("torch.storage", "UntypedStorage"))),
        Raw(bytes(name("torch.cuda", "FloatStorage"))), Raw(written("FloatStorage")),
    )  # fmt: skip
    locations = ("cuda:0", "cuda", "meta", "mps", "hpu", "", None, 0, b"cpu", ("cpu",), "xpu:99999",
                 "privateuseone", "vulkan", "x" * 5000)  # fmt: skip
    changed = good
    for _ in range(rng.choice((1, 1, 1, 2))):
        kind = rng.randrange(9)
        if kind == 0:
            changed = changed._replace(numel=rng.choice(numbers))
        elif kind == 1:
            changed = changed._replace(shape=rng.choice(shapes))
        elif kind == 2:
            changed = changed._replace(stride=rng.choice(strides))
        elif kind == 3:
            changed = changed._replace(offset=rng.choice(numbers))
        elif kind == 4:
            changed = changed._replace(record=rng.choice(records))
        elif kind == 5:
            changed = changed._replace(kind=rng.choice(kinds))
        elif kind == 6:
            changed = changed._replace(location=rng.choice(locations))
        elif kind == 7:
            changed = changed._replace(grad=rng.choice((True, None, 1, "x", [])))
        else:  # far more numbers than are stored, each of them the same one
            size = rng.choice((10**3, 10**6, 10**9, 10**12, 2**62))
            shape = (size, *good.shape[1:]) if rng.random() < 0.7 else (*good.shape[:-1], size)
            changed = changed._replace(shape=shape, stride=(0,) * len(shape))
    if rng.random() < 0.1:
        return call(name("torch._utils", "_rebuild_parameter"), (changed, True, Raw(b"}")))
    return changed


def legacy(rng: Random, value: Any) -> bytes:
    """The format from before archives: several pickles and then the numbers."""
    import torch

    target = io.BytesIO()
    torch.save(value, target, _use_new_zipfile_serialization=False)
    content = target.getvalue()
    if rng.random() < 0.3:
        return content
    return damaged(rng, content, rng.choice((0, 40, 150)))
