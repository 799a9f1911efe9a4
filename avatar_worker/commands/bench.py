"""`python -m avatar_worker bench`: what a picture of a character costs on this machine.

    python -m avatar_worker bench [--character WHO] [--frames 50] [--threads 1 2] [--isa NAME …]

Whole pictures as shown live. Wall time is what a viewer waits, processor time what other sessions
lose; streams per core follow from the latter. The share of the peak counts the multiply-adds of
the networks as they are trained, against what the same threads manage from registers alone.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from avatar_worker.audio.window import FRAME_RATE_HZ
from avatar_worker.character import Character, load_bundle
from avatar_worker.commands.refusal import UsageError, run_refusing
from avatar_worker.commands.render import find_bundle
from avatar_worker.render.head import HeadWeights
from avatar_worker.render.kernels import HeadKernel, load_kernel
from avatar_worker.render.kernels.build import build
from avatar_worker.render.kernels.cpu import STAGES
from avatar_worker.render.kernels.isa import ISA_NAMES, available_isas, isa_named
from avatar_worker.render.painters import KernelPainter
from avatar_worker.render.renderer import PORTRAIT_CAP
from avatar_worker.slots import SHIPPED_CHARACTER

WARM_UP_FRAMES = 3
PEAK_S = 0.3


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians over the frames of one run."""

    wall_ms: float
    late_ms: float
    busy_ms: float
    used: float
    evaluated: float
    stages: tuple[float, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; returns 0, or 2 with one sentence on standard error."""
    parsed = build_parser().parse_args(arguments)
    return run_refusing(lambda: bench(parsed))


def build_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m avatar_worker bench", description=__doc__)
    parser.add_argument("--character", type=find_bundle, default=SHIPPED_CHARACTER,
                        metavar="NAME|BUNDLE", help="a shipped name, folder or zip "
                        f"(default: {SHIPPED_CHARACTER.name})")  # fmt: skip
    parser.add_argument("--frames", type=int, default=50, metavar="N",
                        help="pictures that are timed in each row (default: 50)")  # fmt: skip
    parser.add_argument("--threads", type=int, nargs="+", default=[1, len(os.sched_getaffinity(0))],
                        metavar="N", help="a row for each (default: 1 and all)")  # fmt: skip
    parser.add_argument("--isa", nargs="+", choices=ISA_NAMES,
                        default=[isa.name for isa in available_isas()],
                        help="instruction sets (default: all of this processor)")  # fmt: skip
    return parser


def bench(options: argparse.Namespace) -> None:
    """Measure every kernel of this processor, and the stages of the first."""
    if options.frames < 1 or min(options.threads) < 1:
        raise UsageError("--frames and --threads must be 1 or more")
    character = load_bundle(options.character)
    if character.head is None or character.scenes is None or character.audio is None:
        raise UsageError(f"character {character.name} has no head to draw")
    kernels = [kernel for name in options.isa if (kernel := load_kernel(name)) is not None]
    if not kernels:
        raise UsageError("no kernel for this processor: heads are drawn by PyTorch here")
    what = "portrait" if character.portrait else "head"
    print(f"{character.name}, {character.width} × {character.height}, {what}")
    print(f"{'kernel':12} {'threads':>7} {'ms':>7} {'p95':>7} {'cpu ms':>7} {'samples/s':>10}"
          f" {'of peak':>8} {'streams/core':>13}")  # fmt: skip
    macs = multiply_adds_per_sample(character.head)
    for kernel in kernels:
        for threads in sorted(set(options.threads)):
            found = measure(character, kernel, threads, options.frames)
            per_s = found.used / found.wall_ms * 1e3
            share = 2 * macs * per_s / peak_flops(kernel, threads)
            streams = 1e3 / FRAME_RATE_HZ / found.busy_ms
            print(f"{kernel.isa:12} {threads:7} {found.wall_ms:7.1f} {found.late_ms:7.1f}"
                  f" {found.busy_ms:7.1f} {per_s / 1e6:8.1f} M {100 * share:7.0f}%"
                  f" {streams:13.1f}")  # fmt: skip
    print_stages(character, kernels[0], options.frames)


def print_stages(character: Character, kernel: HeadKernel, frames: int) -> None:
    """Where one thread's time goes, from a library that counts it."""
    counting = build(isa_named(kernel.isa), extra_flags=("-DAVATAR_STAGES",))
    found = measure(character, HeadKernel(counting, kernel.isa), 1, frames)
    total = sum(found.stages)
    print(f"\n{kernel.isa}, 1 thread: {found.used / 1e3:.0f} thousand samples used of "
          f"{found.evaluated / 1e3:.0f} thousand evaluated")  # fmt: skip
    for stage, ticks in zip(STAGES, found.stages, strict=True):
        print(f"{stage:12} {found.wall_ms * ticks / total:7.2f} ms {100 * ticks / total:5.1f}%")


def measure(character: Character, kernel: HeadKernel, threads: int, frames: int) -> Figures:
    """Draw pictures along the character's own poses, the mouth at rest."""
    assert character.head is not None
    assert character.scenes is not None
    assert character.audio is not None
    painter = KernelPainter(character.head, kernel, threads, character.finer)
    enc_a, rows = character.audio.silence(), []
    cap = PORTRAIT_CAP if character.portrait else None
    for index in range(WARM_UP_FRAMES + frames):
        scene = character.scenes.scene(index % min(frames, character.scenes.n_scenes))
        painter.warm(scene)
        began_s, used_s = time.perf_counter(), time.process_time()
        _, counts = painter.draw(scene, enc_a, scene.eye, portrait=character.portrait, cap=cap)
        wall_ms = 1e3 * (time.perf_counter() - began_s)
        busy_ms = 1e3 * (time.process_time() - used_s)
        rows.append((wall_ms, busy_ms, counts.used, counts.evaluated, *counts.stages))
    columns = np.array(rows[WARM_UP_FRAMES:], dtype=np.float64)
    wall_ms, busy_ms, used, evaluated, *stages = np.median(columns, axis=0).tolist()
    late_ms = float(np.percentile(columns[:, 0], 95))
    return Figures(wall_ms, late_ms, busy_ms, used, evaluated, tuple(stages))


def multiply_adds_per_sample(head: HeadWeights) -> int:
    """Of the networks as they are trained: what the work is worth, however it is done."""
    matrices = (
        head.audio_attention_0, head.audio_attention_1, head.eye_attention_0, head.eye_attention_1,
        head.sigma_0, head.sigma_1, head.sigma_2, head.color_0, head.color_1,
    )  # fmt: skip
    return sum(matrix.numel() for matrix in matrices)


def peak_flops(kernel: HeadKernel, threads: int) -> float:
    """Operations a second that the threads manage together when nothing but registers counts."""
    rounds = 1000
    while True:
        began_s = time.perf_counter()
        with ThreadPoolExecutor(threads) as pool:
            done = sum(pool.map(kernel.multiply_adds, [rounds] * threads))
        took_s = time.perf_counter() - began_s
        if took_s >= PEAK_S:
            return 2 * done / took_s
        rounds *= 4


if __name__ == "__main__":
    sys.exit(main())
