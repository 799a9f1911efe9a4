"""Every kernel this machine can run; the matrix unit's in an emulation where there is none."""

import pytest

from avatar_worker.render.kernels.build import KernelBuildError, build
from avatar_worker.render.kernels.cpu import HeadKernel, load_kernel
from avatar_worker.render.kernels.isa import Isa, available_isas, isa_named, processor_flags

EMULATED = Isa(
    "amx-emulated",
    isa_named("avx512bf16").cpu_flags,
    (
        *(*isa_named("avx512").compiler_flags, "-mavx512bf16"),
        *("-DAVATAR_ISA_AMX", "-DAVATAR_EMULATE_TILES"),
    ),
)
KERNELS = ("amx", "avx512fp16", "avx512bf16", "avx512", "avx2", EMULATED.name)


@pytest.fixture(scope="session", params=KERNELS)
def kernel(request: pytest.FixtureRequest) -> HeadKernel:
    names = {isa.name for isa in available_isas()}
    try:
        if request.param == EMULATED.name:
            if not EMULATED.cpu_flags <= processor_flags():
                pytest.skip("the emulation needs AVX-512 BF16 for everything but the tiles")
            return HeadKernel(build(EMULATED), EMULATED.name)
        if request.param not in names:
            pytest.skip(f"this processor has no {request.param}")
        loaded = load_kernel(request.param)
    except KernelBuildError as error:
        pytest.skip(f"no compiler for the kernel: {error}")
    assert loaded is not None
    return loaded
