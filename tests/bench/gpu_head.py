"""How long a head takes on a GPU, in PyTorch and in Triton, one picture and several together.

    python -m tests.bench.gpu_head [--size 512] [--repeats 20] [--batches 1 2 4 8 16]

Draws the recorded character with its camera scaled to the size. Times are wall times until the
finished pictures lie in the host's memory, median of the repeats, per picture.
"""

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from avatar_worker.render.data_folder import FootageScenes, read_split
from avatar_worker.render.kernels import triton as triton_kernels
from avatar_worker.render.renderer import PORTRAIT_CAP
from avatar_worker.render.scene import Frame
from avatar_worker.render.twin import TorchPainter
from tests.unit.avatar_worker.kernels.characters import (
    fixture_folder,
    golden,
    psnr,
    recorded_head,
)

WARM_UP = 3
"""Pictures drawn before: the first compiles, the second captures a graph."""


def milliseconds(draw: Callable[[], object], repeats: int) -> float:
    """Median wall time of a call that was warmed up, in ms."""
    times = []
    for number in range(WARM_UP + repeats):
        torch.cuda.synchronize()
        start_s = time.perf_counter()
        draw()
        torch.cuda.synchronize()
        if number >= WARM_UP:
            times.append((time.perf_counter() - start_s) * 1e3)
    return float(np.median(times))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 2, 4, 8, 16])
    options = parser.parse_args()
    if not torch.cuda.is_available() or not triton_kernels.draws_on(torch.device("cuda")):
        print("no GPU here: torch sees no CUDA device, or Triton cannot draw on it")
        return 0
    from avatar_worker.render.kernels.triton.painter import TritonPainter

    head, recorded = recorded_head(), golden("frames_head")
    footage = read_split(fixture_folder() / "data" / "mini", "val", "upper")
    scenes = FootageScenes(footage, portrait=True, width=options.size, height=options.size)
    n_scenes = len(recorded["enc_a"])
    frames = [
        Frame(
            scenes.scene(i % n_scenes),
            recorded["enc_a"][i % n_scenes],
            recorded["eye"][i % n_scenes],
        )
        for i in range(max(options.batches, default=1))
    ]
    size = f"{options.size} × {options.size}"
    print(f"{torch.cuda.get_device_name()}, {size}, ms a picture, median of {options.repeats}")
    print("painter          what      together   ms each  dB to PyTorch float32")
    exact = TorchPainter(head, "cuda")
    for what, portrait, cap in (("head", False, None), ("portrait", True, PORTRAIT_CAP)):
        expected = exact.picture(*frames[0], portrait=portrait, cap=cap) / 255.0
        for dtype in (torch.float32, torch.float16):
            painter = TorchPainter(head, "cuda", dtype)
            name = f"PyTorch {str(dtype)[6:]}"

            def draw_alone(painter=painter, portrait=portrait, cap=cap):
                return painter.picture(*frames[0], portrait=portrait, cap=cap)

            likeness = psnr(draw_alone() / 255.0, expected)
            ms = milliseconds(draw_alone, options.repeats)
            print(f"{name:16} {what:9} {1:8} {ms:9.2f} {likeness:10.1f}", flush=True)
        for dtype in (torch.float16, torch.bfloat16):
            together = TritonPainter(head, "cuda", dtype)
            name = f"Triton {str(dtype)[6:]}"
            for n in options.batches:

                def draw(together=together, n=n, portrait=portrait, cap=cap):
                    return together.pictures(frames[:n], portrait=portrait, cap=cap)

                likeness = psnr(draw()[0] / 255.0, expected)
                ms = milliseconds(draw, options.repeats) / n
                print(f"{name:16} {what:9} {n:8} {ms:9.2f} {likeness:10.1f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
