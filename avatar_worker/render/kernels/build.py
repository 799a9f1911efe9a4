"""Compiles the head kernel into a cache folder, one library per instruction set.

    python -m avatar_worker.render.kernels          what this processor can use
    python -m avatar_worker.render.kernels --all    every instruction set, for an image

A library is named after the hash of its sources and flags, so a stale one is never loaded and a
machine without a compiler can use what another one built. A build goes to a temporary name and is
moved into place: two processes may build at once.

Compilers, in this order: `$CXX`, g++, clang++ (with C++20's <barrier>), and the one in PyPI's wheel
`ziglang` (45 s the first time).
"""

import argparse
import hashlib
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from avatar_worker.render.kernels.isa import ISAS, Isa, available_isas

NATIVE: Final = Path(__file__).parent / "native"
HEAD_SOURCE: Final = NATIVE / "head_kernel.cpp"

COMMON_FLAGS: Final = (
    "-std=c++20",
    "-O3",
    "-fPIC",
    "-shared",
    "-pthread",
    # Every contraction is written out: the march must round as the float32 twin does.
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fvisibility=hidden",
)
BUILD_TIMEOUT_S: Final = 600.0

log = logging.getLogger(__name__)


class KernelBuildError(Exception):
    """No compiler, or it refused; the message holds its last words."""


def kernel_dir() -> Path:
    """Where compiled kernels are kept: `AVATAR_KERNEL_DIR` (an image has them outside the cache's
    volume), else `kernels` in `AVATAR_CACHE_DIR`, else in ~/.cache/avatar-platform."""
    if chosen := os.environ.get("AVATAR_KERNEL_DIR"):
        return Path(chosen)
    cache = os.environ.get("AVATAR_CACHE_DIR") or "~/.cache/avatar-platform"
    return Path(cache).expanduser() / "kernels"


def library_path(
    isa: Isa, source: Path = HEAD_SOURCE, extra_flags: Sequence[str] = ()
) -> Path:  # fmt: skip
    """Where the library of an instruction set lies or will lie."""
    digest = hashlib.sha256()
    headers = sorted({*NATIVE.glob("*.hpp"), *source.parent.glob("*.hpp"), source})
    for path in headers:
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    digest.update("\0".join((*COMMON_FLAGS, *isa.compiler_flags, *extra_flags)).encode())
    return kernel_dir() / f"{source.stem}-{isa.name}-{digest.hexdigest()[:16]}.so"


def find_compilers() -> list[list[str]]:
    """Command lines of the C++ compilers at hand, the preferred one first."""
    names = [os.environ.get("CXX", ""), "g++", "clang++"]
    found = [[path] for name in names if name and (path := shutil.which(name))]
    if importlib.util.find_spec("ziglang") is not None:
        found.append([sys.executable, "-m", "ziglang", "c++"])
    return found


def build(isa: Isa, source: Path = HEAD_SOURCE, extra_flags: Sequence[str] = ()) -> Path:
    """Compile the kernel unless that was done before.

    Args:
        isa: instruction set to compile for; it need not be this processor's.
        source: the file to compile; the headers of `native/` are on its path.
        extra_flags: for tests.

    Returns:
        The library.

    Raises:
        KernelBuildError: there is no compiler, or each one refused.
    """
    target = library_path(isa, source, extra_flags)
    if target.is_file():
        return target
    compilers = find_compilers()
    if not compilers:
        raise KernelBuildError("no C++ compiler: install g++ ≥ 12, or the wheel ziglang")
    refusals = []
    for compiler in compilers:
        refusal = _compile(compiler, isa, source, target, extra_flags)
        if refusal is None:
            return target
        refusals.append(refusal)
    raise KernelBuildError(f"{source.name} for {isa.name}: " + " | ".join(refusals))


def _compile(
    compiler: list[str], isa: Isa, source: Path, target: Path, extra_flags: Sequence[str]
) -> str | None:
    """None, or why this compiler could not do it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    start_s = time.monotonic()
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / target.name
        flags = (*COMMON_FLAGS, *isa.compiler_flags, *extra_flags, f"-I{NATIVE}")
        command = [*compiler, *flags, str(source), "-o", str(made)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{compiler[0]}: {error}"
        if done.returncode != 0:
            return f"{Path(compiler[0]).name}: {done.stderr.strip()[-500:]}"
        made.replace(target)
    log.info("compiled %s for %s with %s in %.1f s", source.name, isa.name, " ".join(compiler),
             time.monotonic() - start_s)  # fmt: skip
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Build and say what there is; 1 if this machine gets no kernel."""
    parser = argparse.ArgumentParser(prog="python -m avatar_worker.render.kernels")
    parser.add_argument("--all", action="store_true", help="every instruction set, not only ours")
    wanted = ISAS if parser.parse_args(arguments).all else available_isas()
    if not wanted:
        sys.stdout.write("no kernel for this processor: heads are drawn by the PyTorch twin\n")
        return 0
    status = 0
    for isa in wanted:
        try:
            sys.stdout.write(f"{isa.name}: {build(isa)}\n")
        except KernelBuildError as error:
            sys.stdout.write(f"{isa.name}: not built: {error}\n")
            status = 1
    return status
