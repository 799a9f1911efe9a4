"""Sums over their background and into the original, as bytes. Twin: `render.compositor`."""

from dataclasses import dataclass
from typing import Final

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from avatar_worker.render.kernels.triton import EXACT
from avatar_worker.render.kernels.triton.composite import N_SUMS

N_AROUND: Final = 7
NOWHERE: Final = -1
"""Pixel of a ray that is there to fill up the n."""

_N_SUMS: tl.constexpr = tl.constexpr(N_SUMS)
_N_AROUND: tl.constexpr = tl.constexpr(N_AROUND)
_BLOCK = 128


@dataclass(frozen=True, slots=True)
class Canvas:
    """Where F frames of n rays are drawn onto.

    Attributes:
        around: background red, green, blue, original red, green, blue, all in [0, 1], and the
            mask's level, 0 … 255; of the pixel of each ray. [F, 7, n]
        pixels: its number, row · width + column, or `NOWHERE`. int32 [F, n]
        pictures: finished pictures, one after the other in memory as [height, width, 3], each
            from the beginning of its row. uint8 [F, b]
    """

    around: Float[Tensor, "F 7 n"]
    pixels: Int[Tensor, "F n"]
    pictures: UInt8[Tensor, "F b"]

    @classmethod
    def empty(cls, n_frames: int, n: int, n_bytes: int, device: torch.device) -> "Canvas":
        """Room for F frames of n rays and b bytes each."""
        return cls(
            torch.zeros(n_frames, N_AROUND, n, device=device),
            torch.full((n_frames, n), NOWHERE, dtype=torch.int32, device=device),
            torch.zeros(n_frames, n_bytes, dtype=torch.uint8, device=device),
        )


@triton.jit
def finish_kernel(
    sums: tl.tensor, around: tl.tensor, pixels: tl.tensor, pictures: tl.tensor, n_rays: tl.tensor,
    n_bytes: tl.tensor, BLOCK: tl.constexpr,
) -> None:  # fmt: skip
    """One ray a lane; axis 1 of the grid counts frames. Blends in float64, like the twin."""
    frame = tl.program_id(1).to(tl.int64)
    ray = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = ray < n_rays
    pixel = tl.load(pixels + frame * n_rays + ray, mask=there, other=-1)
    there = pixel >= 0
    sums += frame * _N_SUMS * n_rays + ray
    around += frame * _N_AROUND * n_rays + ray
    pictures += frame * n_bytes + pixel * 3
    through = 1.0 - tl.load(sums + n_rays * 3, mask=there, other=0.0)
    share = tl.load(around + n_rays * 6, mask=there, other=0.0).to(tl.float64) / 255.0
    for channel in tl.static_range(3):
        colour = tl.load(sums + n_rays * channel, mask=there, other=0.0)
        behind = tl.load(around + n_rays * channel, mask=there, other=0.0)
        colour = tl.minimum(tl.maximum(colour + through * behind, 0.0), 1.0).to(tl.float64)
        original = tl.load(around + n_rays * (3 + channel), mask=there, other=0.0).to(tl.float64)
        blended = (colour * share + original * (1.0 - share)) * 255.0
        tl.store(pictures + channel, blended.to(tl.uint8), mask=there)


def finish(sums: Float[Tensor, "F 7 n"], canvas: Canvas) -> None:
    """Draw what the rays collected (see `composite.Frames`) over what lies on the canvas."""
    n_frames, _, n = sums.shape
    finish_kernel[(triton.cdiv(n, _BLOCK), n_frames)](
        sums, canvas.around, canvas.pixels, canvas.pictures, n, canvas.pictures.shape[1], _BLOCK,
        **EXACT,
    )  # fmt: skip
