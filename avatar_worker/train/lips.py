"""Patches of the lips, and what they should look like: the last part of a run.

Scattered rays teach every pixel its colour by itself, and where the sound does not say exactly how
the mouth stands, the mean of all answers is the best one: soft lips. A patch has edges. In lip
steps the patch's structure is compared with the footage's at three scales:

    s = mean over windows of 1 − (2 σ_xy + c) / (σ_x² + σ_y² + c)
    g = mean |∇x − ∇y|
    loss = weight · Σ_scales (s + g)

Source: the contrast-structure part of MS-SSIM, Wang, Simoncelli & Bovik 2003, eq. 2 and 3, on
brightness. The original uses LPIPS there, whose networks are downloads that this project neither
ships nor makes; this term needs none.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d

from avatar_worker.train.footage import FramePixels
from avatar_worker.train.kernels import Rays
from avatar_worker.train.schedule import LIPS_SIDE_PX, LIPS_WEIGHT

SCALES: Final = 3
WINDOW_PX: Final = 7
WINDOW_SIGMA_PX: Final = 1.5
CONTRAST_FLOOR: Final = 0.03**2
"""Contrasts well below 3 % of full brightness count as flat; MS-SSIM's second constant."""

LUMA: Final = (0.299, 0.587, 0.114)
MIN_SIDE_PX: Final = WINDOW_PX * 2 ** (SCALES - 1)


class LipPatches(NamedTuple):
    """Rays that lie side by side, a patch for each frame of the step.

    Attributes:
        rays: of all patches, those of the frame's head only, row by row.
        is_lower: which of them lie in the lower face. [n]
        sides: height and width of each patch in pixels.
        covered: for each patch, pixels that have a ray. [height · width]
    """

    rays: Rays
    is_lower: Bool[Tensor, "n"]
    sides: tuple[tuple[int, int], ...]
    covered: tuple[Bool[Tensor, "p"], ...]

    def gradient(self, colors: Float[Tensor, "n 3"]) -> tuple[float, Float[Tensor, "n 3"]]:
        """The patches' loss, and its gradient with respect to the rays' colours."""
        with torch.enable_grad():
            drawn = colors.detach().requires_grad_()
            starts = torch.tensor(self.rays.counts).cumsum(0).tolist()
            losses = []
            for (height, width), has_ray, count, end in zip(
                self.sides, self.covered, self.rays.counts, starts, strict=True
            ):
                part = slice(end - count, end)
                pictures = []
                for values in (drawn[part], self.rays.target[part]):
                    flat = values.new_zeros(height * width, 3)
                    flat = flat.index_put((torch.nonzero(has_ray)[:, 0],), values)
                    pictures.append(flat.T.reshape(1, 3, height, width))
                losses.append(structure_loss(*pictures))
            loss = torch.stack(losses).mean() * LIPS_WEIGHT
            (gradient,) = torch.autograd.grad(loss, drawn)
        return loss.item(), gradient.contiguous()


def draw_patches(
    frames: Sequence[FramePixels], width: int, random: torch.Generator
) -> LipPatches | None:
    """A patch within each frame's lips square; None where lips are too small to have structure,
    or turned away.

    Behind the head is what was behind it in the footage, and all rays of a patch start at the same
    part of a step: what differs from pixel to pixel is the head.

    Args:
        frames: of the step.
        width: of the pictures, in pixels.
        random: source of places and starts.
    """
    parts, sides, covered = [], [], []
    for frame in frames:
        lips = frame.lips
        side = min(LIPS_SIDE_PX, lips.bottom - lips.top, lips.right - lips.left)
        if side < MIN_SIDE_PX:
            return None
        top = lips.top + _below(lips.bottom - lips.top - side + 1, random)
        left = lips.left + _below(lips.right - lips.left - side + 1, random)
        rows, columns = torch.arange(top, top + side), torch.arange(left, left + side)
        wanted = (rows[:, None] * width + columns).reshape(-1).to(frame.pixel.dtype)
        place = torch.searchsorted(frame.pixel, wanted).clamp(max=len(frame.pixel) - 1)
        has_ray = frame.pixel[place] == wanted
        at = place[has_ray]
        if len(at) == 0:
            return None
        jitter = torch.rand((), generator=random).expand(len(at))
        parts.append((frame.pixel[at], jitter, frame.target[at], frame.background[at],
                      frame.is_lower_face[at]))  # fmt: skip
        sides.append((side, side))
        covered.append(has_ray)
    pixel, jitter, target, background, is_lower = (
        torch.cat(column) for column in zip(*parts, strict=True)
    )
    rays = Rays(pixel, jitter, target.float() / 255.0, background.float() / 255.0,
                tuple(len(part[0]) for part in parts))  # fmt: skip
    return LipPatches(rays, is_lower, tuple(sides), tuple(covered))


def structure_loss(drawn: Float[Tensor, "1 3 h w"], true: Float[Tensor, "1 3 h w"]) -> Tensor:
    """How much edges and contrasts of two pictures differ; 0 for equal ones."""
    weights = drawn.new_tensor(LUMA).view(1, 3, 1, 1)
    x, y = (drawn * weights).sum(1, keepdim=True), (true * weights).sum(1, keepdim=True)
    x, y = x - x.mean(), y - y.mean()  # variances lose fewer digits
    window = _window(drawn)
    loss = drawn.new_zeros(())
    for scale in range(SCALES):
        if scale > 0:
            x, y = avg_pool2d(x, 2), avg_pool2d(y, 2)
        mean_x, mean_y = conv2d(x, window), conv2d(y, window)
        variance_x = conv2d(x * x, window) - mean_x**2
        variance_y = conv2d(y * y, window) - mean_y**2
        covariance = conv2d(x * y, window) - mean_x * mean_y
        alike = (2 * covariance + CONTRAST_FLOOR) / (variance_x + variance_y + CONTRAST_FLOOR)
        loss = loss + (1.0 - alike).mean()
        for axis in (2, 3):
            loss = loss + (x.diff(dim=axis) - y.diff(dim=axis)).abs().mean()
    return loss


def _window(like: Tensor) -> Float[Tensor, "1 1 k k"]:
    at = torch.arange(WINDOW_PX, dtype=like.dtype, device=like.device) - WINDOW_PX // 2
    row = torch.exp(-(at**2) / (2 * WINDOW_SIGMA_PX**2))
    square = torch.outer(row, row)
    return (square / square.sum()).view(1, 1, WINDOW_PX, WINDOW_PX)


def _below(n: int, random: torch.Generator) -> int:
    return int(torch.randint(n, (), generator=random))
