"""How long a head takes, by instruction set and number of threads, and against the float32 twin.

    python -m tests.bench.head_kernel [--size 512] [--frame 0] [--repeats 9] [--isa NAME …] [--twin]

Draws the recorded character with its camera scaled to the size: the whole head under the exact
rule, and the portrait area with the live cap. Wall time is what a viewer waits, CPU time what a
busy machine still tells truthfully. `--library FILE` times another library of the same interface.
Last come pictures of another sound with and without a finer grid, drawn in turn.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from avatar_worker.render.data_folder import FootageScenes, read_split
from avatar_worker.render.finer_grid import choose_moments, find_empty
from avatar_worker.render.head import HeadWeights
from avatar_worker.render.kernels import Camera, load_kernel
from avatar_worker.render.kernels.cpu import HeadKernel, PackedHead
from avatar_worker.render.kernels.isa import available_isas
from avatar_worker.render.renderer import PORTRAIT_CAP
from avatar_worker.render.scene import Scene
from avatar_worker.render.twin import TorchPainter
from tests.bench.finer import drawing
from tests.bench.finer import report as report_grid
from tests.unit.avatar_worker.kernels.characters import (
    camera_of,
    fixture_folder,
    golden,
    psnr,
    recorded_head,
)


def milliseconds(call: Callable[[], object], repeats: int) -> tuple[float, float, float]:
    """Best and median wall time, and best CPU time of all threads, in ms."""
    wall, busy = [], []
    for _ in range(repeats):
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        call()
        wall.append((time.perf_counter() - start_s) * 1e3)
        busy.append((time.process_time() - start_cpu_s) * 1e3)
    return min(wall), sorted(wall)[repeats // 2], min(busy)


def report(name: str, packed: PackedHead, scene: Scene, enc_a: np.ndarray, repeats: int) -> None:
    """Print the rows of one kernel."""
    camera: Camera = camera_of(scene)
    out = np.empty_like(scene.background)
    portrait = {"original": scene.original, "mask": scene.mask, "cap": PORTRAIT_CAP}
    ways: tuple[tuple[str, dict[str, Any]], ...] = (("head", {}), ("portrait", portrait))
    for what, options in ways:
        for threads in (1, 2):

            def draw(options: dict[str, Any] = options, threads: int = threads) -> None:
                packed.paint(
                    camera, enc_a, scene.eye, background=scene.background, out=out,
                    threads=threads, **options,
                )  # fmt: skip

            draw()
            best, median, busy = milliseconds(draw, repeats)
            print(f"{name:12} {what:9} {threads:7} {best:9.1f} {median:9.1f} {busy:9.1f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--frame", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--isa", nargs="*", default=[isa.name for isa in available_isas()])
    parser.add_argument("--library", type=Path)
    parser.add_argument("--twin", action="store_true", help="also draw with PyTorch (seconds)")
    options = parser.parse_args()

    head, frames = recorded_head(), golden("frames_head")
    footage = read_split(fixture_folder() / "data" / "mini", "val", "upper")
    scenes = FootageScenes(footage, portrait=True, width=options.size, height=options.size)
    scene, enc_a = scenes.scene(options.frame), frames["enc_a"][options.frame]
    kernels: list[tuple[str, HeadKernel | None]] = [
        (name, load_kernel(name)) for name in options.isa
    ]
    if options.library:
        kernels.append((options.library.stem, HeadKernel(options.library, "other")))
    packs = [(name, kernel.pack(head)) for name, kernel in kernels if kernel is not None]

    pixels = np.arange(options.size**2, dtype=np.int32)
    print(f"{options.size} × {options.size}, frame {options.frame}")
    expected = None
    if options.twin:
        painter = TorchPainter(head)
        start_s = time.perf_counter()
        expected = painter.sums(scene, enc_a, scene.eye)
        print(f"twin, all threads: {(time.perf_counter() - start_s) * 1e3:.0f} ms")
    print("kernel       what      threads   best ms median ms    cpu ms")
    for name, packed in packs:
        report(name, packed, scene, enc_a, options.repeats)
    for name, packed in packs:
        sums = packed.sums(camera_of(scene), enc_a, scene.eye, pixels=pixels)
        counts = sums.counts
        line = f"{name}: {counts.used} used of {counts.evaluated} samples, cap {counts.cap}"
        if expected is not None:
            behind = scene.background.reshape(-1, 3) / 255.0
            drawn = np.clip(sums.rgb + (1 - sums.weight[:, None]) * behind, 0, 1)
            weight = expected.weight.numpy()[:, None]
            exact = np.clip(expected.rgb.numpy() + (1 - weight) * behind, 0, 1)
            hit = expected.count.numpy() > 0
            line += f", {psnr(drawn, exact):.1f} dB, on the head {psnr(drawn[hit], exact[hit]):.1f}"
        print(line)
    for name, kernel in kernels:
        if kernel is not None:
            compare_grids(name, kernel, head, scenes)
    return 0


def compare_grids(name: str, kernel: HeadKernel, head: HeadWeights, scenes: FootageScenes) -> None:
    """Whole heads and portraits of a sound that the grid is not made from."""
    plain, own, cross = kernel.pack(head), golden("frames_train"), golden("cross")
    grid = find_empty(head, plain, choose_moments(own["enc_a"], own["eye"]))
    packed = kernel.pack(head, grid)
    for portrait in (False, True):
        drawings = []
        for i in range(0, len(cross["enc_a"]), 7):
            scene = scenes.scene(int(cross["pose_index"][i]))
            drawings.append(drawing(scene, cross["enc_a"][i], scene.eye, portrait=portrait))
        what = "portraits" if portrait else "heads"
        report_grid(f"finer grid, {name}, {what}, {grid.filled_share:.3f} of it filled", plain,
                    packed, drawings, repeats=1)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
