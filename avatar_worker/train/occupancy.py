"""Which cells a head in training may occupy, and which it does.

A cell that any frame sees beside the dilated head can hold nothing: the visual hull of all masks is
a few per cent of the grid, and it removes floaters before they arise. Within it densities are
sampled now and then, fade slowly, and decide which cells are marched through.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn.functional import max_pool3d

from avatar_worker.render.occupancy import GRID_SIZE, morton_index, pack_cells
from avatar_worker.render.rays import Intrinsics

CELLS_PER_UPDATE: Final = 32_768
THRESHOLD_FACTOR: Final = 3.0
"""Times the mean density of the grid: the hull is a small part of it, so the mean is low."""

MAX_THRESHOLD: Final = 10.0
MAX_LOG_DENSITY: Final = 12.0

N_CELLS: Final = GRID_SIZE**3


class HullBuilder:
    """Carves the cells that cannot be part of the head, one frame at a time."""

    def __init__(self, aabb: tuple[float, ...], intrinsics: Intrinsics) -> None:
        axis = (2 * np.arange(GRID_SIZE, dtype=np.float32) + 1) / GRID_SIZE - 1
        self._centres = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
        low, high = np.array(aabb[:3]), np.array(aabb[3:])
        half = 1.0 / GRID_SIZE
        in_box = ((self._centres >= low - half) & (self._centres <= high + half)).all(axis=1)
        self._kept = np.flatnonzero(in_box)
        self._is_seen = np.zeros(N_CELLS, dtype=bool)
        self._intrinsics = intrinsics

    def carve(self, pose: Float[np.ndarray, "4 4"], mask: Bool[np.ndarray, "H W"]) -> None:
        """Drop the cells whose centre this camera sees outside the (dilated) head."""
        height, width = mask.shape
        fx, fy, cx, cy = self._intrinsics
        local = (self._centres[self._kept] - pose[:3, 3]) @ pose[:3, :3]  # [n, 3]
        depth = np.maximum(local[:, 2], 1e-6)
        column = np.floor(fx * local[:, 0] / depth + cx)
        row = np.floor(fy * local[:, 1] / depth + cy)
        is_seen = (local[:, 2] > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
        pixel = (row[is_seen] * width + column[is_seen]).astype(np.int64)
        stays = np.ones(len(self._kept), dtype=bool)
        stays[is_seen] = mask.reshape(-1)[pixel]
        self._is_seen[self._kept[is_seen]] = True
        self._kept = self._kept[stays]

    def cells(self) -> Bool[np.ndarray, "n_cells"]:
        """Cells that some camera sees and none sees outside the head."""
        hull = np.zeros(N_CELLS, dtype=bool)
        hull[self._kept] = True
        return hull & self._is_seen


class TrainedOccupancy:
    """Densities of the hull's cells and the bits that training marches through.

    Args:
        hull: from `HullBuilder`.
        fading: what an unvisited density is multiplied by at each visit of its cell.
        device: where densities and bits lie.
    """

    def __init__(
        self, hull: Bool[np.ndarray, "n_cells"], fading: float, device: torch.device
    ) -> None:
        self._device = device
        self._hull = torch.from_numpy(hull).to(device)
        self._cells = torch.nonzero(self._hull)[:, 0]
        self._fading = fading
        self.density = torch.zeros(N_CELLS, device=device)
        self.is_occupied = self._hull.clone()
        self.bits = self._packed()

    @property
    def n_occupied(self) -> int:
        """Cells that are marched through."""
        return int(self.is_occupied.sum())

    def draw(self, random: torch.Generator) -> tuple[Tensor, Float[Tensor, "3 n"]]:
        """Cells to look at next, and a random point in each."""
        chosen = torch.randint(len(self._cells), (CELLS_PER_UPDATE,), generator=random)
        cell = self._cells[chosen.to(self._device)]
        x = torch.div(cell, GRID_SIZE**2, rounding_mode="floor")
        y = torch.div(cell, GRID_SIZE, rounding_mode="floor") % GRID_SIZE
        corner = torch.stack((x, y, cell % GRID_SIZE)).float()
        inside = torch.rand(corner.shape, generator=random).to(self._device)
        return cell, (2 * (corner + inside) / GRID_SIZE - 1).contiguous()

    def note(self, cell: Tensor, log_density: Float[Tensor, "n"]) -> None:
        """Remember the densities found at the points of `draw`."""
        found = torch.exp(log_density.clamp(max=MAX_LOG_DENSITY))
        # A cell drawn twice keeps the larger value, whatever the order.
        faded = self.density.clone()
        faded[cell] *= self._fading
        self.density = faded.scatter_reduce(0, cell, found, "amax")

    def refresh(self) -> None:
        """Decide anew which cells are occupied: dense ones and their six neighbours."""
        grid = self.density.view(1, 1, GRID_SIZE, GRID_SIZE, GRID_SIZE)
        around = torch.stack([
            max_pool3d(grid, size, 1, padding)
            for size, padding in (((3, 1, 1), (1, 0, 0)), ((1, 3, 1), (0, 1, 0)),
                                  ((1, 1, 3), (0, 0, 1)))
        ]).amax(0).view(-1)  # fmt: skip
        threshold = min(THRESHOLD_FACTOR * float(around.mean()), MAX_THRESHOLD)
        self.is_occupied = (around > threshold) & self._hull
        self.bits = self._packed()

    def stored(self) -> tuple[Float[Tensor, "n_cells"], UInt8[Tensor, "262144"], float]:
        """Density grid and bit field in Morton order, and the mean density, for a checkpoint."""
        cells = np.indices((GRID_SIZE,) * 3).reshape(3, -1).T
        grid = torch.full((N_CELLS,), -1.0)
        order = torch.from_numpy(morton_index(cells))
        grid[order] = torch.where(self._hull, self.density, -1.0).cpu()
        bits = pack_cells(self.is_occupied.cpu().numpy().reshape((GRID_SIZE,) * 3))
        return grid, torch.from_numpy(bits), float(grid.clamp_min(0).mean())

    def _packed(self) -> UInt8[Tensor, "262144"]:
        packed = np.packbits(self.is_occupied.cpu().numpy(), bitorder="little")
        return torch.from_numpy(packed).to(self._device)

    def state(self) -> dict[str, Tensor]:
        """What a resumed training needs."""
        return {"density": self.density, "is_occupied": self.is_occupied}

    def restore(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state`."""
        self.density = state["density"].clone().to(self._device)
        self.is_occupied = state["is_occupied"].clone().to(self._device)
        self.bits = self._packed()


def hull_of(
    poses: Iterable[Float[np.ndarray, "4 4"]],
    masks: Iterable[Bool[np.ndarray, "H W"]],
    aabb: tuple[float, ...],
    intrinsics: Intrinsics,
) -> Bool[np.ndarray, "n_cells"]:
    """Carve with every frame given."""
    builder = HullBuilder(aabb, intrinsics)
    for pose, mask in zip(poses, masks, strict=True):
        builder.carve(pose, mask)
    return builder.cells()
