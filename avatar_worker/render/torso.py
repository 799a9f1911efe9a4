"""The neural torso: neck and shoulders as a picture that follows the head's pose.

It is two-dimensional and knows nothing of what is said: a small field over the picture's plane,
told where three learned anchors of the head appear, says how a point moves and what is there.
What it draws lies over the still background, and the head is composited on both.

    pixel (row, column) ─► 0.8 · (X, Y) ─┬─► octaves ──┐
    pose ─► anchors in the picture ──────┴─► octaves ──┼─► deformation ─► tiled grid ─► colour, α
    code of row 0 ─────────────────────────────────────┘
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample, linear

from avatar_worker.render.encodings import TiledGrid, octaves

SHRINK: Final = 0.8
ANCHOR_OCTAVES: Final = 3
POINT_OCTAVES: Final = 8
OCCUPANCY_SIZE: Final = 128
OCCUPANCY_THRESHOLD: Final = 0.01
PIXELS_AT_ONCE: Final = 16_384


@dataclass(frozen=True, slots=True)
class TorsoWeights:
    """Everything a torso needs to be drawn; float32.

    Attributes:
        anchors: points of the head, homogeneous. [3, 4]
        code: latent code of row 0, the only one used when drawing. [8]
        table: rows of the tiled grid's sixteen levels. [555520, 2]
        deform: layers of the network that moves a point. [32, 84], [32, 32], [2, 32]
        paint: layers of the network that gives opacity and colour. [32, 116], [32, 32], [4, 32]
        occupancy: where there may be a torso; rows are Y, columns X. [128, 128]
        threshold: what counts as occupied.
    """

    anchors: Float[Tensor, "3 4"]
    code: Float[Tensor, "8"]
    table: Float[Tensor, "n 2"]
    deform: tuple[Tensor, ...]
    paint: tuple[Tensor, ...]
    occupancy: Float[Tensor, "128 128"]
    threshold: float

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], mean_density: float) -> "TorsoWeights":
        """Take the torso out of a checked state dict.

        Args:
            state: of a checkpoint whose flavour has a torso.
            mean_density: `mean_density_torso` of the checkpoint.
        """
        return cls(
            anchors=state["anchor_points"],
            code=state["individual_codes_torso"][0],
            table=state["torso_encoder.embeddings"],
            deform=tuple(state[f"torso_deform_net.net.{i}.weight"] for i in range(3)),
            paint=tuple(state[f"torso_net.net.{i}.weight"] for i in range(3)),
            occupancy=state["density_grid_torso"].reshape(OCCUPANCY_SIZE, OCCUPANCY_SIZE),
            threshold=min(OCCUPANCY_THRESHOLD, mean_density),
        )


class TorsoField:
    """Draws the torso of one character; float32 on the CPU, exact."""

    def __init__(self, weights: TorsoWeights) -> None:
        self._weights = weights
        self._grid = TiledGrid(weights.table)

    @torch.inference_mode()
    def over(
        self, pose: Float[np.ndarray, "4 4"], still: Float[np.ndarray, "H W 3"]
    ) -> Float[np.ndarray, "H W 3"]:
        """The torso at a pose over a still picture, both in [0, 1].

        Args:
            pose: camera to world in the field's axes.
            still: RGB; its size is that of the result.
        """
        height, width = still.shape[:2]
        alpha, color = self.picture(pose, height, width)
        share = alpha.numpy().reshape(height, width, 1)
        painted = color.numpy().reshape(height, width, 3) * share
        return np.asarray(painted + still * (1.0 - share), dtype=np.float32)

    def layer(self, pose: Float[np.ndarray, "4 4"], height: int, width: int) -> np.ndarray:
        """The torso at a pose by itself: colour · opacity, opacity, in [0, 1]. [H, W, 4]"""
        alpha, color = self.picture(pose, height, width)
        share = alpha.numpy().reshape(height, width, 1)
        painted = color.numpy().reshape(height, width, 3) * share
        return np.concatenate((painted, share), axis=2).clip(0.0, 1.0)

    @torch.inference_mode()
    def picture(
        self, pose: Float[np.ndarray, "4 4"], height: int, width: int
    ) -> tuple[Float[Tensor, "n"], Float[Tensor, "n 3"]]:
        """Opacity and colour of all pixels, row by row; 0 where there is no torso. n = H · W."""
        points = picture_plane(height, width)
        alpha, color = torch.zeros(len(points)), torch.zeros(len(points), 3)
        occupied = torch.nonzero(self._occupancy(points) > self._weights.threshold).reshape(-1)
        projected = self.project(torch.from_numpy(np.ascontiguousarray(pose, np.float32)))
        for chosen in torch.split(occupied, PIXELS_AT_ONCE):
            alpha[chosen], color[chosen], _ = self(points[chosen], projected)
        return alpha, color

    def project(self, pose: Float[Tensor, "4 4"]) -> Float[Tensor, "6"]:
        """Where the anchors appear: x and y of each, over the depth before the division by w."""
        seen: Tensor = self._weights.anchors @ torch.linalg.inv(pose.T)
        return (seen[:, :2] / seen[:, 3:] / seen[:, 2:3]).reshape(-1)

    def __call__(
        self, points: Float[Tensor, "n 2"], projected: Float[Tensor, "6"] | Float[Tensor, "n 6"]
    ) -> tuple[Float[Tensor, "n"], Float[Tensor, "n 3"], Float[Tensor, "n 2"]]:
        """Opacity, colour and shift of points of the picture's plane, at one pose or at theirs."""
        shrunk = points * SHRINK
        anchors = octaves(projected.view(-1, 6), ANCHOR_OCTAVES).expand(len(points), -1)
        code = self._weights.code.expand(len(points), -1)
        known = torch.cat((octaves(shrunk, POINT_OCTAVES), anchors, code), dim=1)  # [n, 84]
        shift = _run(self._weights.deform, known)
        features = self._grid((shrunk + shift).nan_to_num().clamp(-1.0, 1.0))
        painted = _run(self._weights.paint, torch.cat((features, known), dim=1))
        levels = torch.sigmoid(painted.nan_to_num()) * 1.002 - 0.001
        return levels[:, 0], levels[:, 1:], shift

    def _occupancy(self, points: Float[Tensor, "n 2"]) -> Float[Tensor, "n"]:
        grid = self._weights.occupancy[None, None]
        sampled = grid_sample(grid, points[None, None], align_corners=True, padding_mode="zeros")
        return sampled.reshape(-1)


def picture_plane(height: int, width: int) -> Float[Tensor, "n 2"]:
    """(X, Y) of every pixel, row by row: X from the row, Y from the column, both in [−1, 1]."""
    rows = torch.arange(height, dtype=torch.float32) / max(1, height - 1) * 2.0 - 1.0
    columns = torch.arange(width, dtype=torch.float32) / max(1, width - 1) * 2.0 - 1.0
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1).reshape(-1, 2)


def _run(layers: tuple[Tensor, ...], inputs: Float[Tensor, "n i"]) -> Float[Tensor, "n o"]:
    hidden = inputs
    for weight in layers[:-1]:
        hidden = torch.relu(linear(hidden, weight))
    return linear(hidden, layers[-1])
