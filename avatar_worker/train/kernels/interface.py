"""What a training step takes and gives, whatever computes it."""

from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from avatar_worker.render.encodings import level_offsets, plane_levels
from avatar_worker.render.rays import Intrinsics
from avatar_worker.train.merging import Merged

MAX_CAP: Final = 32
N_TABLE_ROWS: Final = 3 * level_offsets(plane_levels())[-1]


class Rays(NamedTuple):
    """Rays of one step, those of a frame after each other.

    Attributes:
        pixel: row · W + column. int32 [n]
        jitter: start of the lattice, in steps. [n]
        target: colour wanted, in [0, 1]. [n, 3]
        background: colour behind the head, in [0, 1]. [n, 3]
        counts: rays of each frame.
    """

    pixel: Int[Tensor, "n"]
    jitter: Float[Tensor, "n"]
    target: Float[Tensor, "n 3"]
    background: Float[Tensor, "n 3"]
    counts: tuple[int, ...]

    def to(self, device: torch.device) -> "Rays":
        """The same rays on a device."""
        return Rays(
            self.pixel.to(device), self.jitter.to(device), self.target.to(device),
            self.background.to(device), self.counts,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class StepCounts:
    """What a step found.

    Attributes:
        color_loss: mean |Ĉ − C| over rays.
        entropy: mean of H₂(W), in bits.
        distortion: mean of the spread of weights along rays.
        opaque: share of rays with W > 0.99.
        evaluated: samples put through the networks.
        used: samples composited.
        trained: samples that carried weight.
    """

    color_loss: float
    entropy: float
    distortion: float
    opaque: float
    evaluated: int
    used: int
    trained: int


class Trained(NamedTuple):
    """Samples that a step trained: columns for which `is_kept` is true.

    Attributes:
        position: where they are. [3, n_slots]
        ray: which ray of the step they lie on. int32 [n_slots]
        is_kept: false for unused columns. bool [n_slots]
    """

    position: Float[Tensor, "3 n_slots"]
    ray: Int[Tensor, "n_slots"]
    is_kept: Tensor


class StepKernel(Protocol):
    """Computes steps on one device: compiled (`cpu.py`), or in PyTorch (`twin.py`).

    All tensors are float32 on its device and contiguous. Arguments and raised errors are those
    of `cpu.TrainerKernel`, which says more.
    """

    @property
    def name(self) -> str:
        """What computes, for the log."""

    @property
    def device(self) -> torch.device:
        """Where."""

    def step(
        self, rays: Rays, *, merged: Merged, tables: Float[Tensor, "n_rows"], grad_merged: Merged,
        grad_tables: Float[Tensor, "n_rows"], occupancy: UInt8[Tensor, "262144"],
        poses: Float[Tensor, "f 4 4"], intrinsics: Intrinsics, size: tuple[int, int],
        aabb: tuple[float, ...], cap: int, entropy: float, distortion: float, keep: float = 1e-4,
        further: Float[Tensor, "n 3"] | None = None, drawn: Float[Tensor, "n 3"] | None = None,
    ) -> tuple[StepCounts, Trained]:  # fmt: skip
        """Forward and backward of one batch; adds to the gradients."""

    def colors(
        self, rays: Rays, *, merged: Merged, tables: Float[Tensor, "n_rows"],
        occupancy: UInt8[Tensor, "262144"], poses: Float[Tensor, "f 4 4"], intrinsics: Intrinsics,
        size: tuple[int, int], aabb: tuple[float, ...], cap: int,
    ) -> Float[Tensor, "n 3"]:  # fmt: skip
        """The rays' colours, as `step` draws them."""

    def density(
        self, points: Float[Tensor, "3 n"], merged: Merged, tables: Float[Tensor, "n_rows"]
    ) -> Float[Tensor, "n"]:
        """Logarithm of the density at points, for the first frame."""

    def features(
        self, points: Float[Tensor, "3 n"], tables: Float[Tensor, "n_rows"]
    ) -> Float[Tensor, "36 n"]:
        """Plane features at points."""

    def scatter(
        self, points: Float[Tensor, "3 n"], gradient: Float[Tensor, "36 n"],
        grad_tables: Float[Tensor, "n_rows"],
    ) -> None:  # fmt: skip
        """Add the gradients of `features` to those of the tables."""

    def adam(
        self, values: Tensor, gradients: Tensor, squares: Tensor, *,
        rate: float, decay: float, beta: float, n_steps: int,
    ) -> None:  # fmt: skip
        """One step of AdamW without first moment, in place; the gradients are 0 afterwards."""


def check_step(
    rays: Rays, merged: Merged, grad_merged: Merged, tables: Tensor, grad_tables: Tensor,
    occupancy: Tensor, poses: Tensor, cap: int,
) -> None:  # fmt: skip
    """Refuse what is no step.

    Raises:
        ValueError: names the argument, what was expected and what was found.
    """
    n, n_frames = len(rays.pixel), len(rays.counts)
    if sum(rays.counts) != n or n == 0:
        raise ValueError(f"{n} rays, of which frames have {rays.counts}")
    if not 1 <= cap <= MAX_CAP:
        raise ValueError(f"cap is {cap}; expected 1 … {MAX_CAP}")
    for name, tensor, shape, dtype in (
        ("pixel", rays.pixel, (n,), torch.int32),
        ("jitter", rays.jitter, (n,), torch.float32),
        ("target", rays.target, (n, 3), torch.float32),
        ("background", rays.background, (n, 3), torch.float32),
        ("tables", tables, (N_TABLE_ROWS,), torch.float32),
        ("grad_tables", grad_tables, (N_TABLE_ROWS,), torch.float32),
        ("occupancy", occupancy, (128**3 // 8,), torch.uint8),
        ("poses", poses, (n_frames, 4, 4), torch.float32),
        *[(key, value, shape, torch.float32)
          for part in (merged, grad_merged)
          for (key, value), shape in zip(
              part._asdict().items(), Merged.shapes(n_frames), strict=True)],
    ):  # fmt: skip
        if tuple(tensor.shape) != shape or tensor.dtype != dtype or not tensor.is_contiguous():
            raise ValueError(
                f"{name} is {tensor.dtype} {tuple(tensor.shape)}; expected {dtype} {shape}, "
                "contiguous"
            )


def check_colours(name: str, colours: Tensor, n: int) -> None:
    """Refuse what is not a colour for each of n rays.

    Raises:
        ValueError: names it.
    """
    if (
        tuple(colours.shape) != (n, 3)
        or colours.dtype != torch.float32
        or not colours.is_contiguous()
    ):
        raise ValueError(f"{name} is {colours.dtype} {tuple(colours.shape)}; expected ({n}, 3)")
