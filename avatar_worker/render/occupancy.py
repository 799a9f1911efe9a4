"""Which cells of the 128³ grid hold anything: one bit a cell, stored in Morton order."""

from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

GRID_SIZE: Final = 128


def morton_index(cells: Int[np.ndarray, "n 3"]) -> Int[np.ndarray, "n"]:
    """Interleave the bits of x, y, z: bit b of x goes to 3b, of y to 3b + 1, of z to 3b + 2."""
    index = np.zeros(len(cells), dtype=np.int64)
    for bit in range(7):
        for axis in range(3):
            index |= ((cells[:, axis].astype(np.int64) >> bit) & 1) << (3 * bit + axis)
    return index


class OccupancyGrid:
    """Answers whether points lie in occupied cells of the cube [−1, 1]³."""

    def __init__(self, bitfield: UInt8[Tensor, "n_bytes"], device: torch.device) -> None:
        self._cells = dense_cells(bitfield.cpu().numpy())
        self._flat = torch.from_numpy(self._cells.reshape(-1)).to(device)

    def __call__(self, points: Float[Tensor, "n 3"]) -> Bool[Tensor, "n"]:
        """Points outside the cube take the nearest cell."""
        cell = (0.5 * (points.clamp(-1.0, 1.0) + 1.0) * GRID_SIZE).clamp(0, GRID_SIZE - 1)
        x, y, z = cell.to(torch.int32).unbind(dim=1)
        return self._flat.index_select(0, (x * GRID_SIZE + y) * GRID_SIZE + z)


def dense_cells(bitfield: UInt8[np.ndarray, "n_bytes"]) -> Bool[np.ndarray, "128 128 128"]:
    """Unpack the stored bits to one truth value a cell, indexed [x, y, z]."""
    bits = np.unpackbits(bitfield, bitorder="little").astype(bool)
    grid = np.indices((GRID_SIZE,) * 3).reshape(3, -1).T  # [n_cells, 3]
    return np.asarray(bits[morton_index(grid)].reshape((GRID_SIZE,) * 3))


def pack_cells(cells: Bool[np.ndarray, "128 128 128"]) -> UInt8[np.ndarray, "262144"]:
    """The inverse of `dense_cells`."""
    grid = np.indices((GRID_SIZE,) * 3).reshape(3, -1).T
    bits = np.zeros(GRID_SIZE**3, dtype=bool)
    bits[morton_index(grid)] = cells.reshape(-1)
    return np.packbits(bits, bitorder="little")
