"""What a GPU keeps of a scene: its rays, and the pictures around the head."""

from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from avatar_worker.render.kernels.triton.march import in_rows
from avatar_worker.render.march import Rays
from avatar_worker.render.scene import Scene

OPAQUE: Final = 255.0


class PlacedScene(NamedTuple):
    """A scene on a device, as n of its pixels are drawn; 52 bytes for each, and the picture.

    Attributes:
        rays: see `composite.Frames`. [5, n]
        origin: where they begin. [3]
        around: see `finish.Canvas`. [7, n]
        pixels: likewise. int32 [n]
        picture: what lies on the canvas before: all that is not drawn. uint8 [H · W · 3]
    """

    rays: Float[Tensor, "5 n"]
    origin: Float[Tensor, "3"]
    around: Float[Tensor, "7 n"]
    pixels: Int[Tensor, "n"]
    picture: UInt8[Tensor, "b"]

    @classmethod
    def of(
        cls, scene: Scene, rays: Rays, pixels: Int[np.ndarray, "n"] | None, *, portrait: bool
    ) -> "PlacedScene":
        """Bring a scene to the device of its rays.

        Args:
            scene: camera and pictures.
            rays: through `pixels`.
            pixels: those to be drawn; None for all.
            portrait: blend into the original with the mask.
        """
        device = rays.near.device
        behind = _unit(scene.background)
        if portrait and scene.original is not None and scene.mask is not None:
            original, mask = _unit(scene.original), scene.mask.reshape(1, -1).astype(np.float32)
            below = scene.original
        else:
            original, mask = behind, np.full((1, behind.shape[1]), OPAQUE, np.float32)
            below = scene.background_levels
        around = np.concatenate((behind, original, mask))  # [7, H · W]
        if pixels is None:
            pixels = np.arange(around.shape[1])
        return cls(
            in_rows(rays).contiguous(),
            rays.origin,
            torch.from_numpy(np.ascontiguousarray(around[:, pixels])).to(device),
            torch.from_numpy(pixels.astype(np.int32)).to(device),
            torch.from_numpy(below.reshape(-1)).to(device),
        )


def _unit(
    picture: UInt8[np.ndarray, "H W 3"] | Float[np.ndarray, "H W 3"],
) -> Float[np.ndarray, "3 n"]:
    """Colours in [0, 1], one row each."""
    values = picture.reshape(-1, 3).T.astype(np.float32)
    return values / np.float32(255.0) if picture.dtype == np.uint8 else values
