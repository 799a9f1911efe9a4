"""The Triton kernels without a GPU: interpreted against their twins, and compiled for real ones.

The interpreter must be chosen before Triton is imported, so those tests run in a child process.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.unit

CASES = Path(__file__).with_name("triton_cases.py")
pytest.importorskip("triton", reason="Triton is not installed")


@pytest.mark.timeout(600)
def test_interpreted_kernels_are_like_their_twins():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CASES)]
    child = subprocess.run(
        command, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True
    )
    assert child.returncode == 0, child.stdout + child.stderr
    print(child.stdout)


def test_nothing_but_the_kernels_themselves_needs_triton():
    program = (
        "import sys; sys.modules['triton'] = None\n"
        "import avatar_worker.render.painters\n"
        "import avatar_worker.render.kernels.triton\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


POINTERS = {"f": "*fp32", "h": "*fp16", "i": "*i32", "n": "i32"}
"""Types of arguments, one letter each."""


def compiled_for(
    capability: int, kernel: Any, arguments: str, *, exact: bool = True, **constants: Any
) -> str:
    """PTX of a kernel for GPUs of a capability; ptxas accepts it, too."""
    from triton import compile as triton_compile
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from avatar_worker.render.kernels.triton import EXACT

    kinds = iter(arguments.split())
    signature = {
        name: "constexpr" if name in constants else POINTERS[next(kinds)]
        for name in kernel.arg_names
    }
    source = ASTSource(kernel, signature, constexprs=constants)
    options = dict(EXACT) if exact else {}
    result = triton_compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    assert len(result.asm["cubin"]) > 0
    return str(result.asm["ptx"])


@pytest.mark.timeout(300)
@pytest.mark.parametrize("capability", [80, 90])
def test_compiled_kernels_round_products_before_they_add(capability, monkeypatch, tmp_path):
    from triton import language

    from avatar_worker.render.kernels.triton.composite import advance_kernel
    from avatar_worker.render.kernels.triton.march import march_kernel
    from avatar_worker.render.kernels.triton.network import BLOCK, evaluate_kernel

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    half = language.float16
    compiled = [
        compiled_for(capability, march_kernel, "f f i f i f n", BLOCK=128),
        compiled_for(
            capability, advance_kernel, "f i f f i f i i i i f f f i n n n n n",
            NORMS=False, BLOCK=128,
        ),
        compiled_for(
            capability, evaluate_kernel, "f i h f f f f i h h h f n", N_EYE=7, EYE_SIGMOID=False,
            NORMS=False, KEPT=half, TYPE=half, BLOCK=BLOCK,
        ),
    ]  # fmt: skip
    fused = compiled_for(capability, march_kernel, "f f i f i f n", exact=False, BLOCK=128)
    assert re.search(r"\bfma\.", fused)  # what the option is there for
    for ptx in compiled:
        assert not re.search(r"\bfma\.", ptx)
    assert re.search(r"\b(mma|wgmma)\S*\.f16", compiled[2])  # on the matrix unit
