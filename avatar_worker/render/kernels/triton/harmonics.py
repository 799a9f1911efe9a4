"""Real spherical harmonics up to degree 3. Twin: `encodings.harmonics`."""

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from avatar_worker.render.kernels.triton import EXACT

N_HARMONICS: tl.constexpr = tl.constexpr(16)
_BLOCK = 128


@triton.jit
def harmonics_tile(x: tl.tensor, y: tl.tensor, z: tl.tensor) -> tl.tensor:
    """Harmonics of directions x, y, z [BLOCK]. float32 [BLOCK, 16]"""
    column = tl.arange(0, N_HARMONICS)[None, :]
    x, y, z = x[:, None], y[:, None], z[:, None]
    xx, yy, zz = x * x, y * y, z * z
    tile = tl.where(column == 0, 0.28209479177387814, -0.48860251190291987 * y)
    tile = tl.where(column == 2, 0.48860251190291987 * z, tile)
    tile = tl.where(column == 3, -0.48860251190291987 * x, tile)
    tile = tl.where(column == 4, 1.0925484305920792 * (x * y), tile)
    tile = tl.where(column == 5, -1.0925484305920792 * (y * z), tile)
    tile = tl.where(column == 6, 0.94617469575755997 * zz - 0.31539156525251999, tile)
    tile = tl.where(column == 7, -1.0925484305920792 * (x * z), tile)
    tile = tl.where(column == 8, 0.54627421529603959 * (xx - yy), tile)
    tile = tl.where(column == 9, 0.59004358992664352 * y * (yy - 3.0 * xx), tile)
    tile = tl.where(column == 10, 2.8906114426405538 * (x * y) * z, tile)
    tile = tl.where(column == 11, 0.45704579946446572 * y * (1.0 - 5.0 * zz), tile)
    tile = tl.where(column == 12, 0.3731763325901154 * z * (5.0 * zz - 3.0), tile)
    tile = tl.where(column == 13, 0.45704579946446572 * x * (1.0 - 5.0 * zz), tile)
    tile = tl.where(column == 14, 1.4453057213202769 * z * (xx - yy), tile)
    return tl.where(column == 15, 0.59004358992664352 * x * (3.0 * yy - xx), tile)


@triton.jit
def harmonics_kernel(
    directions: tl.tensor, found: tl.tensor, n: tl.tensor, BLOCK: tl.constexpr
) -> None:
    ray = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = ray < n
    x = tl.load(directions + ray * 3, mask=there, other=0.0)
    y = tl.load(directions + ray * 3 + 1, mask=there, other=0.0)
    z = tl.load(directions + ray * 3 + 2, mask=there, other=0.0)
    place = found + ray[:, None] * N_HARMONICS + tl.arange(0, N_HARMONICS)[None, :]
    tl.store(place, harmonics_tile(x, y, z), mask=there[:, None])


def harmonics(directions: Float[Tensor, "n 3"]) -> Float[Tensor, "n 16"]:
    """Harmonics of directions, which are used as they are."""
    found = torch.empty(len(directions), N_HARMONICS.value, device=directions.device)
    if len(directions):
        grid = (triton.cdiv(len(directions), _BLOCK),)
        harmonics_kernel[grid](directions.contiguous(), found, len(directions), _BLOCK, **EXACT)
    return found
