"""From a camera to rays, and from rays to the part of them inside the box.

The data folder stores cameras in the OpenGL manner (looking along −z, y up). The field lives in
axes of its own: x up, y towards the camera, z to the right of the picture.
"""

from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

MISS: Final = float(np.finfo(np.float32).max)
"""Near and far of a ray that does not meet the box."""

MIN_NEAR: Final = 0.05


class Intrinsics(NamedTuple):
    """Focal lengths and principal point, in pixels."""

    fx: float
    fy: float
    cx: float
    cy: float

    def scaled(self, x: float, y: float) -> "Intrinsics":
        """The same camera with pictures `x` times as wide and `y` times as high."""
        return Intrinsics(self.fx * x, self.fy * y, self.cx * x, self.cy * y)


def convert_pose(
    camera_to_world: Float[np.ndarray, "4 4"],
    *,
    scale: float = 4.0,
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Float[np.ndarray, "4 4"]:
    """Bring a stored camera into the field's axes: rows permuted, camera y and z negated."""
    stored = np.asarray(camera_to_world, dtype=np.float32)
    pose = np.eye(4, dtype=np.float32)
    pose[:3] = stored[[1, 2, 0]]
    pose[:3, 1:3] *= np.float32(-1)
    pose[:3, 3] = pose[:3, 3] * np.float32(scale) + np.asarray(offset, dtype=np.float32)
    return pose


def ray_directions(
    pose: Float[Tensor, "4 4"],
    intrinsics: Intrinsics,
    *,
    width: int,
    pixels: Int[Tensor, "n"],
) -> Float[Tensor, "n 3"]:
    """Unit directions through the centres of pixels, given as row · width + column (int64)."""
    column = (pixels % width).to(torch.float32)
    row = torch.div(pixels, width, rounding_mode="floor").to(torch.float32)
    x = (column + 0.5 - intrinsics.cx) / intrinsics.fx
    y = (row + 0.5 - intrinsics.cy) / intrinsics.fy
    local = torch.stack((x, y, torch.ones_like(x)), dim=1)  # [n, 3]
    local = local / torch.linalg.vector_norm(local, dim=1, keepdim=True)
    # A matrix product rounds differently on different processors, and one unit in the last place
    # decides which cell a lattice point falls into. These are fused multiply-adds, as in the
    # original where its pictures were recorded: float64 holds a product of two float32 exactly.
    directions: Tensor = local[:, :1] * pose[:3, 0]  # [n, 3]
    for axis in (1, 2):
        product = local[:, axis : axis + 1].double() * pose[:3, axis].double()
        directions = (directions.double() + product).to(torch.float32)
    return directions


def box_interval(
    origins: Float[Tensor, "*n 3"],
    directions: Float[Tensor, "n 3"],
    aabb: Float[Tensor, "6"],
    *,
    min_near: float = MIN_NEAR,
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n"]]:
    """Where rays enter and leave the box; both `MISS` for a ray that does not meet it.

    Far may be smaller than near for a box behind or closer than `min_near`: such a ray has no
    samples. Division by zero follows IEEE rules on purpose.
    """
    reciprocal = 1.0 / directions
    first = (aabb[:3] - origins) * reciprocal  # [n, 3]
    second = (aabb[3:] - origins) * reciprocal
    near_of, far_of = torch.minimum(first, second), torch.maximum(first, second)
    near, far = near_of[:, 0], far_of[:, 0]
    is_miss = torch.zeros_like(near, dtype=torch.bool)
    for axis in (1, 2):
        is_miss |= (near > far_of[:, axis]) | (near_of[:, axis] > far)
        near = torch.maximum(near, near_of[:, axis])
        far = torch.minimum(far, far_of[:, axis])
    near = near.clamp_min(min_near)
    return near.masked_fill(is_miss, MISS), far.masked_fill(is_miss, MISS)
