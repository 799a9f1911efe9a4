"""Walks rays through the occupied cells. Twin: `render.march.occupied_points`, bit for bit."""

import numpy as np
import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from avatar_worker.render import march as twin
from avatar_worker.render.kernels.triton import EXACT
from avatar_worker.render.occupancy import GRID_SIZE, dense_cells

STEP: tl.constexpr = tl.constexpr(twin.STEP)
MAX_SAMPLES: tl.constexpr = tl.constexpr(twin.MAX_SAMPLES)
_SIZE: tl.constexpr = tl.constexpr(GRID_SIZE)
_BLOCK = 128


def pack_bits(bitfield: UInt8[Tensor, "n_bytes"], device: torch.device) -> Int[Tensor, "n_words"]:
    """Occupancy with one bit a cell, cell (x, y, z) at (x · 128 + y) · 128 + z. int32 [65536]"""
    cells = dense_cells(bitfield.cpu().numpy())
    words = np.packbits(cells.reshape(-1), bitorder="little").view(np.int32)
    return torch.from_numpy(words).to(device)


def in_rows(rays: twin.Rays) -> Float[Tensor, "5 n"]:
    """Direction x, y, z, near and far, one row each, as the kernels read them."""
    return torch.cat((rays.directions.T, rays.near[None], rays.far[None]))


@triton.jit
def clamped(value: tl.tensor, low: tl.constexpr, high: tl.constexpr) -> tl.tensor:
    """Held between two bounds."""
    return tl.minimum(tl.maximum(value, low), high)


@triton.jit
def cell_of(position: tl.tensor) -> tl.tensor:
    """Cell that a coordinate lies in, on its axis. int32"""
    return clamped(0.5 * (clamped(position, -1.0, 1.0) + 1.0) * _SIZE, 0.0, _SIZE - 1.0).to(
        tl.int32
    )


@triton.jit
def march_kernel(
    origins: tl.tensor, rays: tl.tensor, bits: tl.tensor, t: tl.tensor, n_points: tl.tensor,
    last_t: tl.tensor, n_rays: tl.tensor, BLOCK: tl.constexpr,
) -> None:  # fmt: skip
    """One ray a lane; axis 1 of the grid counts frames. Layouts: `composite.Frames`."""
    frame = tl.program_id(1)
    ray = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = ray < n_rays
    whole = frame.to(tl.int64) * n_rays + ray  # number of the ray among those of all frames
    x0 = tl.load(origins + frame * 3)
    y0 = tl.load(origins + frame * 3 + 1)
    z0 = tl.load(origins + frame * 3 + 2)
    way = rays + frame.to(tl.int64) * 5 * n_rays + ray
    dx = tl.load(way, mask=there, other=0.0)
    dy = tl.load(way + n_rays, mask=there, other=0.0)
    dz = tl.load(way + n_rays * 2, mask=there, other=0.0)
    here = tl.load(way + n_rays * 3, mask=there, other=0.0)
    end = tl.load(way + n_rays * 4, mask=there, other=0.0)
    kept = t + frame.to(tl.int64) * MAX_SAMPLES * n_rays + ray
    count = tl.zeros([BLOCK], tl.int32)
    last = tl.zeros([BLOCK], tl.float32)
    going = here < end
    while tl.max(going.to(tl.int32)) > 0:
        cell = cell_of(x0 + here * dx) * _SIZE + cell_of(y0 + here * dy)
        cell = cell * _SIZE + cell_of(z0 + here * dz)
        word = tl.load(bits + (cell >> 5), mask=going, other=0)
        is_hit = ((word >> (cell & 31)) & 1) == 1
        tl.store(kept + count.to(tl.int64) * n_rays, here, mask=is_hit & (count < MAX_SAMPLES))
        last = tl.where(is_hit, here, last)
        count += is_hit.to(tl.int32)
        here += STEP
        going = going & (here < end)
    tl.store(n_points + whole, count, mask=there)
    tl.store(last_t + whole, last, mask=there)


def march(
    origins: Float[Tensor, "F 3"],
    rays: Float[Tensor, "F 5 n"],
    bits: Int[Tensor, "n_words"],
    *,
    t: Float[Tensor, "F 23 n"],
    n_points: Int[Tensor, "F n"],
    last_t: Float[Tensor, "F n"],
) -> None:
    """Walk the rays of F frames; `t` is written as far as there are points. Counts are int32."""
    n_frames, _, n = rays.shape
    march_kernel[(triton.cdiv(n, _BLOCK), n_frames)](
        origins, rays, bits, t, n_points, last_t, n, _BLOCK,
        num_warps=1,  # a warp decides on its own when its rays have ended
        **EXACT,
    )  # fmt: skip


def occupied_points(rays: twin.Rays, bits: Int[Tensor, "n_words"]) -> twin.Lattice:
    """Walk the rays of one frame."""
    n, device = len(rays.near), rays.near.device
    t = torch.zeros(1, twin.MAX_SAMPLES, n, device=device)
    n_points = torch.zeros(1, n, dtype=torch.int32, device=device)
    last_t = torch.zeros(1, n, device=device)
    if n:
        origins, ways = rays.origin[None].contiguous(), in_rows(rays)[None]
        march(origins, ways, bits, t=t, n_points=n_points, last_t=last_t)
    return twin.Lattice(t[0].T, n_points[0].long(), last_t[0])
