"""Samples a second through one training step, against the same step in plain PyTorch.

    python -m tests.bench.head_trainer [--rays 16384] [--repeats 5] [--threads 2] [--isa avx2]

Both do forward, compositing, backward and the tables' optimiser on a translucent made-up head. The
PyTorch side is autograd through table gathers in tiles of 8,192 samples (its fastest form), and
is spared marching and drawing of rays. CPU time is shown as well: it survives a busy machine.
"""

import argparse
import sys
import time
from collections.abc import Callable

import torch

from avatar_worker.render.field import HeadField
from avatar_worker.render.march import STEP
from avatar_worker.render.occupancy import pack_cells
from avatar_worker.train.kernels import load_trainer
from tests.unit.avatar_worker.train.test_gradients import (
    AABB,
    INTRINSICS,
    SIZE,
    ball,
    dense_bits,
    poses,
    seen_head,
    some_rays,
)
from tests.unit.avatar_worker.train.twin import head_weights

TILE = 8192
SAMPLES_PER_RAY = 8


def best(call: Callable[[], int], repeats: int) -> tuple[float, float, int]:
    """Least wall and CPU seconds of a call, and the samples it reports."""
    results = []
    for _ in range(repeats):
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        n = call()
        results.append((time.perf_counter() - start_s, time.process_time() - start_cpu_s, n))
    return min(r[0] for r in results), min(r[1] for r in results), results[0][2]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rays", type=int, default=16_384)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--isa", help="amx, avx512bf16, avx512 or avx2; default: the fastest here")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    kernel = load_trainer(options.threads, options.isa)
    head = seen_head()
    windows, eyes = torch.ones(1, 8, 512), torch.ones(1, 7)
    rays = some_rays((options.rays,))
    occupancy, cameras = dense_bits(ball()), poses()[:1]
    grad_tables, squares = torch.zeros_like(head.tables), torch.zeros_like(head.tables)
    values = head.tables.clone()

    def compiled() -> int:
        merged = head.merged(head.audio_vectors(windows), eyes)
        plain = merged.plain()
        grads = plain.zeros()
        counts, _ = kernel.step(
            rays, merged=plain, tables=head.tables, grad_merged=grads, grad_tables=grad_tables,
            occupancy=occupancy, poses=cameras, intrinsics=INTRINSICS, size=(SIZE, SIZE),
            aabb=AABB, cap=SAMPLES_PER_RAY, entropy=1e-3, distortion=0.1, keep=-1.0,
        )  # fmt: skip
        torch.autograd.backward(list(merged), list(grads))
        kernel.adam(values, grad_tables, squares, rate=1e-3, decay=0, beta=0.99, n_steps=1)
        return counts.evaluated

    wall_s, cpu_s, n = best(compiled, options.repeats)
    print(f"compiled ({kernel.isa}): {wall_s * 1e3:.1f} ms, {n / wall_s / 1e6:.2f} M samples/s, "
          f"{cpu_s / n * 1e9:.0f} ns of CPU a sample")  # fmt: skip

    n_rays = n // SAMPLES_PER_RAY
    tables = head.tables.clone().requires_grad_()
    optimiser = torch.optim.AdamW([tables], lr=1e-3, betas=(0.0, 0.99))
    points = torch.rand(n_rays, SAMPLES_PER_RAY, 3) - 0.5
    target = torch.rand(n_rays, 3)
    bits = torch.from_numpy(pack_cells(ball()))

    def plain_torch() -> int:
        optimiser.zero_grad(set_to_none=True)
        # Hashing is undone once a step, which tiles could not do.
        weights = head_weights(head, tables, bits, torch.tensor(AABB))
        field = HeadField(weights, torch.device("cpu"))
        audio, rays_per_tile = head.audio_vectors(windows)[0], TILE // SAMPLES_PER_RAY
        loss = torch.zeros(())
        for part, wanted in zip(
            points.split(rays_per_tile), target.split(rays_per_tile), strict=True
        ):
            flat = part.reshape(-1, 3)
            sample = field(flat, flat, audio, eyes[0])
            alpha = 1 - torch.exp(-sample.sigma.view(-1, SAMPLES_PER_RAY) * STEP)
            through = torch.cumprod(1 - alpha, 1)
            weight = alpha * torch.cat((torch.ones(len(part), 1), through[:, :-1]), 1)
            rgb = (weight[..., None] * sample.rgb.view(-1, SAMPLES_PER_RAY, 3)).sum(1)
            loss = loss + (rgb - wanted).abs().mean()
        loss.backward()
        optimiser.step()
        return n_rays * SAMPLES_PER_RAY

    torch_wall_s, torch_cpu_s, n_torch = best(plain_torch, min(options.repeats, 3))
    print(f"PyTorch: {torch_wall_s * 1e3:.0f} ms, {n_torch / torch_wall_s / 1e6:.3f} M samples/s, "
          f"{torch_cpu_s / n_torch * 1e9:.0f} ns of CPU a sample")  # fmt: skip
    print(f"ratio: {torch_wall_s / n_torch * n / wall_s:.1f} by wall, "
          f"{torch_cpu_s / n_torch * n / cpu_s:.1f} by CPU time")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
