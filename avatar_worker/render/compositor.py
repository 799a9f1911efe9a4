"""Puts the head over its background and, in portrait mode, into the original picture."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def over_background(
    rgb: Float[Tensor, "n 3"], weight: Float[Tensor, "n"], background: Float[Tensor, "n 3"]
) -> Float[Tensor, "n 3"]:
    """What the head lets through shows the background; the result is held in [0, 1]."""
    return (rgb + (1.0 - weight)[:, None] * background).clamp(0.0, 1.0)


def blend_into(
    image: Float[Tensor, "n 3"], original: Float[Tensor, "n 3"], mask: UInt8[Tensor, "n"]
) -> Float[Tensor, "n 3"]:
    """Soft blend in float64: 255 in the mask takes the image, 0 keeps the original.

    Keeps it exactly: v / 255 is a repeating pattern of eight bits that begins with a one, so
    float32 always rounds it up, and truncation gives v back.
    """
    share = (mask.to(torch.float64) / 255.0)[:, None]
    return image.to(torch.float64) * share + original.to(torch.float64) * (1.0 - share)


def quantise(image: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """[0, 1] → 0 … 255, truncated."""
    return (image * 255.0).to(torch.uint8)
