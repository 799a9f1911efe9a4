"""Finding the instruction set and the compiler."""

from pathlib import Path

import numpy as np
import pytest

from avatar_worker.render.kernels import build as build_module
from avatar_worker.render.kernels import order_pixels
from avatar_worker.render.kernels.build import KernelBuildError, build, library_path
from avatar_worker.render.kernels.cpu import load_kernel
from avatar_worker.render.kernels.isa import ISAS, available_isas, isa_named, processor_flags

pytestmark = pytest.mark.unit

HASWELL = frozenset(["fpu", "sse2", "avx", "avx2", "fma", "f16c", "bmi2"])
SKYLAKE_X = HASWELL | frozenset(["avx512f", "avx512bw", "avx512dq", "avx512vl"])
ZEN_5 = SKYLAKE_X | frozenset(["avx512_vnni", "avx512_bf16", "avx_vnni"])
SAPPHIRE = ZEN_5 | frozenset(["avx512_fp16", "amx_tile", "amx_bf16", "amx_int8"])


def names(flags: frozenset[str]) -> list[str]:
    return [isa.name for isa in available_isas(flags)]


def test_processors_get_what_they_can_run_fastest_first():
    assert names(frozenset()) == []
    assert names(HASWELL) == ["avx2"]
    assert names(SKYLAKE_X) == ["avx512", "avx2"]
    assert names(ZEN_5) == ["avx512bf16", "avx512", "avx2"]
    assert names(SAPPHIRE) == ["amx", "avx512fp16", "avx512bf16", "avx512", "avx2"]
    # A hypervisor may hide the matrix unit.
    assert names(SAPPHIRE - {"amx_tile"}) == ["avx512fp16", "avx512bf16", "avx512", "avx2"]


def test_flags_are_read_from_linux_and_only_from_x86(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: avx2 fma f16c\nbugs\t\t: none\n")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert processor_flags(cpuinfo) == {"avx2", "fma", "f16c"}
    assert processor_flags(tmp_path / "absent") == frozenset()
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert processor_flags(cpuinfo) == frozenset()


def test_a_library_is_named_after_everything_that_goes_into_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AVATAR_CACHE_DIR", str(tmp_path))
    paths = {library_path(isa) for isa in ISAS}
    paths.add(library_path(ISAS[0], extra_flags=("-DX",)))
    assert len(paths) == len(ISAS) + 1
    assert all(path.is_relative_to(tmp_path) for path in paths)


def test_a_changed_header_makes_another_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = tmp_path / "kernel.cpp"
    source.write_text("int one() { return 1; }")
    before = library_path(ISAS[0], source)
    (tmp_path / "part.hpp").write_text("// new")
    assert library_path(ISAS[0], source) != before


def test_what_was_compiled_is_not_compiled_again_and_nothing_is_left_lying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if not build_module.find_compilers():
        pytest.skip("no C++ compiler here")
    monkeypatch.setenv("AVATAR_CACHE_DIR", str(tmp_path / "cache"))
    source = tmp_path / "kernel.cpp"
    source.write_text('extern "C" int one() { return 1; }')
    library = build(isa_named("avx2"), source)
    assert [path.name for path in library.parent.iterdir()] == [library.name]
    monkeypatch.setattr(build_module, "find_compilers", lambda: pytest.fail("compiles again"))
    assert build(isa_named("avx2"), source) == library


def test_a_compiler_that_refuses_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if not build_module.find_compilers():
        pytest.skip("no C++ compiler here")
    compilers = build_module.find_compilers()[:1]
    monkeypatch.setattr(build_module, "find_compilers", lambda: compilers)
    monkeypatch.setenv("AVATAR_CACHE_DIR", str(tmp_path / "cache"))
    source = tmp_path / "kernel.cpp"
    source.write_text("int one() { return nonsense; }")
    with pytest.raises(KernelBuildError, match="nonsense"):
        build(isa_named("avx2"), source)
    assert list((tmp_path / "cache" / "kernels").iterdir()) == []


def test_without_a_compiler_the_twin_has_to_draw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("AVATAR_CPU_ISA", raising=False)
    monkeypatch.setenv("AVATAR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(build_module, "find_compilers", list)
    assert load_kernel() is None


def test_none_can_be_chosen(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AVATAR_CPU_ISA", "none")
    assert load_kernel() is None


def test_an_unknown_instruction_set_is_named_with_those_there_are():
    with pytest.raises(ValueError, match=r"sse9.*amx, avx512fp16, avx512bf16, avx512, avx2"):
        load_kernel("sse9")


def test_pixels_are_ordered_in_blocks_of_patches_and_none_is_lost():
    order = order_pixels(20, 37)
    assert np.array_equal(np.sort(order), np.arange(20 * 37))
    assert order.dtype == np.int32
    # The first patch: 4 rows of 4 in a picture 37 wide.
    assert order[:6].tolist() == [0, 1, 2, 3, 37, 38]
    # The second lies right of it, and after 16 patches the next block begins at column 16.
    assert order[16] == 4
    assert order[256] == 16


def test_a_mask_leaves_its_pixels_only():
    mask = np.zeros((20, 37), np.uint8)
    mask[3, 5], mask[19, 36] = 1, 255
    assert order_pixels(20, 37, mask).tolist() == [3 * 37 + 5, 19 * 37 + 36]
    with pytest.raises(ValueError, match="mask"):
        order_pixels(37, 20, mask)
