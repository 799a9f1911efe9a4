"""Which rays a step looks at: a few frames, and in each more rays where people look."""

from collections.abc import Sequence
from typing import Final

import torch
from jaxtyping import Bool
from torch import Tensor

from avatar_worker.train.footage import REGIONS, FramePixels
from avatar_worker.train.kernels import Rays

SHARES: Final = {"face": 0.25, "mouth": 0.15, "eyes": 0.15}
"""Of a frame's rays; the others lie anywhere in the head. Measured: mouth 22.8 → 26.8 dB together
with several frames a step."""


def draw_rays(
    frames: Sequence[FramePixels], n_rays: int, random: torch.Generator
) -> tuple[Rays, Bool[Tensor, "n"]]:
    """Rays of some frames, `n_rays` of each, and which of them lie in the lower face.

    In the core of the head the background is a random colour: what shines through cannot be
    learned there, so the head becomes opaque.
    """
    parts = [_of_frame(frame, n_rays, random) for frame in frames]
    pixel, target, background, is_core, is_lower = (torch.cat(c) for c in zip(*parts, strict=True))
    random_colour = torch.rand(background.shape, generator=random)
    rays = Rays(
        pixel=pixel,
        jitter=torch.rand(len(pixel), generator=random),
        target=target.float() / 255.0,
        background=torch.where(is_core[:, None], random_colour, background.float() / 255.0),
        counts=(n_rays,) * len(frames),
    )
    return rays, is_lower


def _of_frame(frame: FramePixels, n_rays: int, random: torch.Generator) -> tuple[Tensor, ...]:
    chosen = []
    left = n_rays
    for name in reversed(REGIONS):
        n = round(SHARES[name] * n_rays)
        left -= n
        region = frame.regions[name]
        chosen.append(region[torch.randint(len(region), (n,), generator=random)])
    chosen.append(torch.randint(len(frame.pixel), (left,), generator=random))
    # Neighbours together: their look-ups meet in the cache.
    at = torch.cat(chosen).sort().values
    return (
        frame.pixel[at], frame.target[at], frame.background[at], frame.is_core[at],
        frame.is_lower_face[at],
    )  # fmt: skip
