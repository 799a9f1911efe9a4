"""Features of points on the three planes. Twin: `encodings.PlaneGrid`."""

from typing import NamedTuple

import numpy as np
import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from avatar_worker.render.encodings import N_LEVELS, dense_table, plane_levels
from avatar_worker.render.head import PLANE_FEATURES, HeadWeights
from avatar_worker.render.kernels.triton import EXACT

COLUMNS: tl.constexpr = tl.constexpr(64)
"""36 features and zeros up to the next power of two, as a matrix product wants them."""

_N_LEVELS: tl.constexpr = tl.constexpr(N_LEVELS)
_N_FEATURES: tl.constexpr = tl.constexpr(PLANE_FEATURES)
_BLOCK = 64


class PlaneTables(NamedTuple):
    """The planes xy, yz, xz after each other, without hashing.

    Attributes:
        values: at all lattice points of all levels of all planes. float32
        scales: lattice spacings over the unit interval, per column, 0 beyond the 36th. [64]
        places: points a side and first point, per column. int32 [2, 64]
    """

    values: Float[Tensor, "n_points"]
    scales: Float[Tensor, "64"]
    places: Int[Tensor, "2 64"]

    @classmethod
    def of(cls, head: HeadWeights, device: torch.device) -> "PlaneTables":
        """The tables of a head, on a device."""
        planes = [dense_table(t) for t in (head.encoder_xy, head.encoder_yz, head.encoder_xz)]
        levels = plane_levels() * 3
        sizes = [level.stride**2 for level in levels]
        scales = torch.zeros(COLUMNS.value)
        places = torch.zeros(2, COLUMNS.value, dtype=torch.int32)
        scales[:PLANE_FEATURES] = torch.tensor([level.scale for level in levels])
        places[0, :PLANE_FEATURES] = torch.tensor([level.stride for level in levels])
        places[1, :PLANE_FEATURES] = torch.from_numpy(np.cumsum([0, *sizes[:-1]]))
        return cls(torch.cat(planes).to(device), scales.to(device), places.to(device))


@triton.jit
def plane_features(
    x: tl.tensor, y: tl.tensor, z: tl.tensor, values: tl.tensor, scales: tl.tensor,
    places: tl.tensor,
) -> tl.tensor:  # fmt: skip
    """Features of points x, y, z [BLOCK], zeros beyond the 36th column. float32 [BLOCK, 64]"""
    column = tl.arange(0, COLUMNS)
    plane = (column // _N_LEVELS)[None, :]
    u = (tl.where(plane == 1, y[:, None], x[:, None]) + 1.0) * 0.5
    v = (tl.where(plane == 0, y[:, None], z[:, None]) + 1.0) * 0.5
    is_inside = (u >= 0.0) & (u <= 1.0) & (v >= 0.0) & (v <= 1.0) & (column < _N_FEATURES)[None, :]
    scale = tl.load(scales + column)[None, :]
    stride = tl.load(places + column)[None, :]
    start = tl.load(places + COLUMNS + column)[None, :]
    u = tl.minimum(tl.maximum(u, 0.0), 1.0) * scale + 0.5
    v = tl.minimum(tl.maximum(v, 0.0), 1.0) * scale + 0.5
    cell_u, cell_v = tl.floor(u), tl.floor(v)
    upper_u, upper_v = u - cell_u, v - cell_v
    lower_u, lower_v = 1.0 - upper_u, 1.0 - upper_v
    corner = values + (cell_u.to(tl.int32) + cell_v.to(tl.int32) * stride + start)
    above = corner + stride
    feature = lower_u * lower_v * tl.load(corner, mask=is_inside, other=0.0)
    feature += upper_u * lower_v * tl.load(corner + 1, mask=is_inside, other=0.0)
    feature += lower_u * upper_v * tl.load(above, mask=is_inside, other=0.0)
    feature += upper_u * upper_v * tl.load(above + 1, mask=is_inside, other=0.0)
    return feature


@triton.jit
def look_up_kernel(
    points: tl.tensor, features: tl.tensor, values: tl.tensor, scales: tl.tensor,
    places: tl.tensor, n: tl.tensor, BLOCK: tl.constexpr,
) -> None:  # fmt: skip
    point = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = point < n
    x = tl.load(points + point * 3, mask=there, other=0.0)
    y = tl.load(points + point * 3 + 1, mask=there, other=0.0)
    z = tl.load(points + point * 3 + 2, mask=there, other=0.0)
    column = tl.arange(0, COLUMNS)
    found = plane_features(x, y, z, values, scales, places)
    place = features + point[:, None] * _N_FEATURES + column[None, :]
    tl.store(place, found, mask=there[:, None] & (column < _N_FEATURES)[None, :])


def look_up(points: Float[Tensor, "n 3"], tables: PlaneTables) -> Float[Tensor, "n 36"]:
    """Plane features in the order xy, yz, xz; a plane that a point lies outside of gives zeros."""
    features = torch.empty(len(points), PLANE_FEATURES, device=points.device)
    if len(points):
        grid = (triton.cdiv(len(points), _BLOCK),)
        look_up_kernel[grid](points.contiguous(), features, *tables, len(points), _BLOCK, **EXACT)
    return features
