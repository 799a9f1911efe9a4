"""Every kernel this machine can run; the matrix unit's in an emulation where there is none."""

import pytest

from avatar_worker.render.kernels.build import KernelBuildError, build
from avatar_worker.render.kernels.cpu import HeadKernel, load_kernel
from avatar_worker.render.kernels.isa import available_isas, isa_named

EMULATED = "amx-emulated"
KERNELS = ("amx", "avx512fp16", "avx512bf16", "avx512", "avx2", EMULATED)


@pytest.fixture(scope="session", params=KERNELS)
def kernel(request: pytest.FixtureRequest) -> HeadKernel:
    names = {isa.name for isa in available_isas()}
    try:
        if request.param == EMULATED:
            if "avx512fp16" not in names:
                pytest.skip("the emulation needs AVX-512 FP16 for everything but the tiles")
            path = build(isa_named("amx"), extra_flags=("-DAVATAR_EMULATE_TILES",))
            return HeadKernel(path, EMULATED)
        if request.param not in names:
            pytest.skip(f"this processor has no {request.param}")
        loaded = load_kernel(request.param)
    except KernelBuildError as error:
        pytest.skip(f"no compiler for the kernel: {error}")
    assert loaded is not None
    return loaded
