"""Positions and directions as numbers a small network can use: hash grid, harmonics.

A grid level is a square lattice over the unit square. The table of a level may have fewer rows
than the lattice has points; then several points share a row (hashing). `PlaneGrid` undoes that
once, when the character is loaded, so that a look-up needs no hashing.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

HASH_PRIME: Final = 2_654_435_761
"""Multiplies the second coordinate in the hash (Müller et al. 2022, instant neural graphics)."""

N_LEVELS: Final = 12
BASE_RESOLUTION: Final = 64
FINEST_RESOLUTION: Final = 512
LOG2_TABLE_ROWS: Final = 14


@dataclass(frozen=True, slots=True)
class GridLevel:
    """One level of a two-dimensional grid.

    Attributes:
        scale: lattice spacings over the unit interval, in float32 as the lookup uses it.
        stride: lattice points a side.
        n_rows: rows of this level's table.
        offset: first row of this level in the table of all levels.
        is_hashed: lattice points share rows by hash.
    """

    scale: float
    stride: int
    n_rows: int
    offset: int
    is_hashed: bool


def plane_levels() -> tuple[GridLevel, ...]:
    """The twelve levels of a head plane: 64 … 512 cells, at most 2¹⁴ rows each."""
    return _levels(N_LEVELS, BASE_RESOLUTION, FINEST_RESOLUTION, LOG2_TABLE_ROWS, is_hashed=True)


def torso_levels() -> tuple[GridLevel, ...]:
    """The sixteen levels of the torso's grid: 16 … 2048 cells, at most 2¹⁶ rows each."""
    return _levels(16, 16, 2048, 16, is_hashed=False)


def _levels(
    n_levels: int, base: int, finest: int, log2_rows: int, *, is_hashed: bool
) -> tuple[GridLevel, ...]:
    growth_log2 = math.log2(finest / base) / (n_levels - 1)
    step = np.float32(growth_log2)
    levels, offset = [], 0
    for level in range(n_levels):
        cells = math.ceil(base * 2.0 ** (growth_log2 * level))
        n_rows = math.ceil(min(2**log2_rows, (cells + 1) ** 2) / 8) * 8
        growth = np.float32(2.0 ** float(np.float32(level) * step))  # rounded once, not twice
        scale = growth * np.float32(base) - np.float32(1)
        stride = math.ceil(scale) + 2
        hashed = is_hashed and stride**2 > n_rows
        levels.append(GridLevel(float(scale), stride, n_rows, offset, hashed))
        offset += n_rows
    return tuple(levels)


def level_offsets(levels: tuple[GridLevel, ...]) -> list[int]:
    """First row of every level and, last, the number of all rows; what a checkpoint stores."""
    return [level.offset for level in levels] + [levels[-1].offset + levels[-1].n_rows]


def table_rows(level: GridLevel) -> Float[np.ndarray, "stride*stride"]:
    """The table row of every lattice point of a level, second coordinate slowest. int64."""
    q0 = np.arange(level.stride, dtype=np.uint64)[None, :]
    q1 = np.arange(level.stride, dtype=np.uint64)[:, None]
    if level.is_hashed:
        rows = q0 ^ ((q1 * np.uint64(HASH_PRIME)) & np.uint64(0xFFFFFFFF))
    else:
        rows = q0 + q1 * np.uint64(level.stride)
    return (rows % np.uint64(level.n_rows)).astype(np.int64).reshape(-1) + level.offset


def dense_table(table: Float[Tensor, "n_rows"]) -> Float[Tensor, "n_points"]:
    """Values at the lattice points of all levels of a plane, one level after the other."""
    rows = np.concatenate([table_rows(level) for level in plane_levels()])
    return table[torch.from_numpy(rows)]


class PlaneGrid:
    """Twelve-level features over one plane, tables laid out densely.

    Twin of the look-up in the compiled kernel; float32, multiply and add rounded separately.
    """

    def __init__(self, table: Float[Tensor, "n_rows"], device: torch.device) -> None:
        levels = plane_levels()
        self._table = dense_table(table).to(device)
        starts = np.cumsum([0] + [level.stride**2 for level in levels[:-1]])
        self._start = torch.tensor(starts, dtype=torch.int32, device=device)
        self._scale = torch.tensor([lv.scale for lv in levels], device=device)
        self._stride = torch.tensor([lv.stride for lv in levels], dtype=torch.int32, device=device)

    def __call__(self, points: Float[Tensor, "n 2"]) -> Float[Tensor, "n 12"]:
        """Interpolate bilinearly on every level; points outside [−1, 1]² give zeros."""
        unit = (points + 1.0) / 2.0
        is_inside = ((unit >= 0.0) & (unit <= 1.0)).all(dim=1, keepdim=True)  # [n, 1]
        position = unit.clamp(0.0, 1.0)[:, :, None] * self._scale + 0.5  # [n, 2, 12]
        cell = position.floor()
        upper = position - cell
        lower = 1.0 - upper
        index = cell.to(torch.int32)
        corner = index[:, 0] + index[:, 1] * self._stride + self._start  # [n, 12]
        above = corner + self._stride
        feature = (lower[:, 0] * lower[:, 1]) * self._rows(corner)
        feature += (upper[:, 0] * lower[:, 1]) * self._rows(corner + 1)
        feature += (lower[:, 0] * upper[:, 1]) * self._rows(above)
        feature += (upper[:, 0] * upper[:, 1]) * self._rows(above + 1)
        return feature * is_inside

    def _rows(self, index: Int[Tensor, "n 12"]) -> Float[Tensor, "n 12"]:
        """Values at lattice points; five times as fast as indexing with the tensor."""
        return self._table.index_select(0, index.view(-1)).view(index.shape)


class TiledGrid:
    """Sixteen levels of two features over the picture's plane.

    Where a level's table has fewer rows than its lattice has points, rows are counted through
    and begin anew.
    """

    def __init__(self, table: Float[Tensor, "n_rows 2"]) -> None:
        levels = torso_levels()
        self._table = table
        device = table.device
        self._scale = torch.tensor([level.scale for level in levels], device=device)
        self._stride = torch.tensor([level.stride for level in levels], device=device)
        self._n_rows = torch.tensor([level.n_rows for level in levels], device=device)
        self._offset = torch.tensor([level.offset for level in levels], device=device)

    def __call__(self, points: Float[Tensor, "n 2"]) -> Float[Tensor, "n 32"]:
        """Interpolate bilinearly on every level; points outside [−1, 1]² give zeros."""
        unit = (points + 1.0) / 2.0
        is_inside = ((unit >= 0.0) & (unit <= 1.0)).all(dim=1, keepdim=True)  # [n, 1]
        position = unit.clamp(0.0, 1.0)[:, :, None] * self._scale + 0.5  # [n, 2, 16]
        cell = position.floor()
        upper = position - cell
        lower = 1.0 - upper
        corner = cell[:, 0].long() + cell[:, 1].long() * self._stride  # [n, 16]
        above = corner + self._stride
        # One look-up for all corners: its way back in training fills the table's gradient once.
        rows = self._rows(torch.stack((corner, corner + 1, above, above + 1)))  # [4, n, 16, 2]
        feature = (lower[:, 0] * lower[:, 1])[..., None] * rows[0]
        feature += (upper[:, 0] * lower[:, 1])[..., None] * rows[1]
        feature += (lower[:, 0] * upper[:, 1])[..., None] * rows[2]
        feature += (upper[:, 0] * upper[:, 1])[..., None] * rows[3]
        return feature.flatten(1) * is_inside

    def _rows(self, index: Int[Tensor, "4 n 16"]) -> Float[Tensor, "4 n 16 2"]:
        rows = index % self._n_rows + self._offset
        return self._table.index_select(0, rows.view(-1)).view(*rows.shape, 2)


def octaves(values: Float[Tensor, "n d"], n_octaves: int) -> Float[Tensor, "n d*(1+2*n_octaves)"]:
    """The values, then sines and cosines of them times 1, 2, 4 …, without a factor π."""
    columns = [values]
    for octave in range(n_octaves):
        phase = values * 2.0**octave
        columns += [torch.sin(phase), torch.sin(phase + math.pi / 2)]
    return torch.cat(columns, dim=1)


def harmonics(directions: Float[Tensor, "n 3"]) -> Float[Tensor, "n 16"]:
    """Real spherical harmonics up to degree 3, of directions that are used as they are.

    The order and signs are those of the usual real basis with the Condon–Shortley phase.
    """
    x, y, z = directions.unbind(dim=1)
    xx, yy, zz = x * x, y * y, z * z
    columns = (
        torch.full_like(x, 0.28209479177387814),
        -0.48860251190291987 * y,
        0.48860251190291987 * z,
        -0.48860251190291987 * x,
        1.0925484305920792 * (x * y),
        -1.0925484305920792 * (y * z),
        0.94617469575755997 * zz - 0.31539156525251999,
        -1.0925484305920792 * (x * z),
        0.54627421529603959 * (xx - yy),
        0.59004358992664352 * y * (yy - 3.0 * xx),
        2.8906114426405538 * (x * y) * z,
        0.45704579946446572 * y * (1.0 - 5.0 * zz),
        0.3731763325901154 * z * (5.0 * zz - 3.0),
        0.45704579946446572 * x * (1.0 - 5.0 * zz),
        1.4453057213202769 * z * (xx - yy),
        0.59004358992664352 * x * (3.0 * yy - xx),
    )
    return torch.stack(columns, dim=1)
