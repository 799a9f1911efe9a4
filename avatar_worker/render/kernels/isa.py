"""Which instruction sets the head kernel is written for, and which this machine has."""

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CPUINFO: Final = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Isa:
    """One way to compute, fastest first in `ISAS`.

    Attributes:
        name: as used in `AVATAR_CPU_ISA` and in logs.
        cpu_flags: what Linux must list for the processor.
        compiler_flags: GCC, Clang and zig understand them alike.
    """

    name: str
    cpu_flags: frozenset[str]
    compiler_flags: tuple[str, ...]


_AVX512: Final = frozenset(("avx512f", "avx512bw", "avx512dq", "avx512vl", "fma", "f16c"))
_AVX512_FLAGS: Final = (
    # Zig takes `skylake-avx512` for a Skylake without AVX-512, and does not know `x86-64-v4`.
    *("-march=haswell", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"),
    "-mprefer-vector-width=256",
)

SLOW_GATHERS: Final = "-DAVATAR_SLOW_GATHERS"
"""A load for every table entry: AMD takes gathers apart, and slowly (native/tables.hpp). Where
AVX-512 is Intel's alone, gathers stay."""

ISAS: Final = (
    # Sapphire Rapids and later: bfloat16 on the matrix unit.
    Isa(
        "amx",
        _AVX512 | {"amx_tile", "amx_bf16", "avx512_fp16", "avx512_bf16"},
        ("-march=sapphirerapids", "-DAVATAR_ISA_AMX"),
    ),
    # The same processors where a hypervisor hides the matrix unit: half precision.
    Isa("avx512fp16", _AVX512 | {"avx512_fp16"}, ("-march=sapphirerapids", "-DAVATAR_ISA_FP16")),
    # AMD since Zen 4 (Zen 5 starts two such dot products a cycle), Cooper Lake.
    Isa(
        "avx512bf16",
        _AVX512 | {"avx512_bf16"},
        (*_AVX512_FLAGS, "-mavx512bf16", "-DAVATAR_ISA_BF16", SLOW_GATHERS),
    ),
    Isa("avx512", _AVX512, _AVX512_FLAGS),
    Isa("avx2", frozenset(("avx2", "fma", "f16c")), ("-march=haswell", SLOW_GATHERS)),
)
ISA_NAMES: Final = tuple(isa.name for isa in ISAS)


def processor_flags(cpuinfo: Path = CPUINFO) -> frozenset[str]:
    """What the operating system says the processor can do; empty where it does not say.

    Only Linux on x86-64 is asked: elsewhere (arm64, macOS) the PyTorch twin draws.
    """
    if platform.machine() not in ("x86_64", "AMD64") or not cpuinfo.is_file():
        return frozenset()
    for line in cpuinfo.read_text().splitlines():
        if line.startswith("flags"):
            return frozenset(line.partition(":")[2].split())
    return frozenset()


def available_isas(flags: frozenset[str] | None = None) -> tuple[Isa, ...]:
    """The instruction sets of this processor, fastest first."""
    found = processor_flags() if flags is None else flags
    return tuple(isa for isa in ISAS if isa.cpu_flags <= found)


def isa_named(name: str) -> Isa:
    """Look an instruction set up by name.

    Raises:
        ValueError: there is none of that name.
    """
    for isa in ISAS:
        if isa.name == name:
            return isa
    raise ValueError(f"unknown instruction set {name!r}; there are {', '.join(ISA_NAMES)}")
