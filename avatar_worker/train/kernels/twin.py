"""The training step in PyTorch, for devices without a compiled one: the same losses and gradients.

Merged networks and lattice as in `native/head_trainer.cpp`; the way back is autograd's. Samples of
all rays are evaluated in one batch and laid into rows of `cap` columns to be composited.
"""

from typing import Final, NamedTuple

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from avatar_worker.render.encodings import HASH_PRIME, harmonics, level_offsets, plane_levels
from avatar_worker.render.march import STEP
from avatar_worker.render.occupancy import GRID_SIZE
from avatar_worker.render.rays import Intrinsics, box_interval, ray_directions
from avatar_worker.train.kernels.interface import (
    Rays,
    StepCounts,
    Trained,
    check_colours,
    check_step,
)
from avatar_worker.train.merging import HIDDEN, Merged

LATTICE: Final = 128
END_TRANSMITTANCE: Final = 1e-4
OPAQUE: Final = 0.99
EDGE: Final = 1e-5
PLANE_AXES: Final = ((0, 1), (1, 2), (0, 2))


class _Samples(NamedTuple):
    """Occupied lattice points of a step, those of a ray after each other.

    Attributes:
        ray: which ray each lies on, rising. [n]
        column: how many of its ray come before it. [n]
        t: where on the ray. [n]
        position: where in the cube. [n, 3]
        direction: of its ray. [n, 3]
        per_frame: samples of each frame.
    """

    ray: Int[Tensor, "n"]
    column: Int[Tensor, "n"]
    t: Float[Tensor, "n"]
    position: Float[Tensor, "n 3"]
    direction: Float[Tensor, "n 3"]
    per_frame: tuple[int, ...]


class TwinKernel:
    """A `StepKernel` for any device of PyTorch."""

    def __init__(self, device: str | torch.device) -> None:
        self.device: Final = torch.device(device)
        self.name: Final = f"PyTorch on {self.device}"
        self._planes = _Planes(self.device)

    def step(
        self, rays: Rays, *, merged: Merged, tables: Float[Tensor, "n_rows"], grad_merged: Merged,
        grad_tables: Float[Tensor, "n_rows"], occupancy: UInt8[Tensor, "262144"],
        poses: Float[Tensor, "f 4 4"], intrinsics: Intrinsics, size: tuple[int, int],
        aabb: tuple[float, ...], cap: int, entropy: float, distortion: float, keep: float = 1e-4,
        further: Float[Tensor, "n 3"] | None = None, drawn: Float[Tensor, "n 3"] | None = None,
    ) -> tuple[StepCounts, Trained]:  # fmt: skip
        """Forward and backward of one batch; adds to the gradients."""
        check_step(rays, merged, grad_merged, tables, grad_tables, occupancy, poses, cap)
        for name, optional in (("further", further), ("drawn", drawn)):
            if optional is not None:
                check_colours(name, optional, len(rays.pixel))
        samples = self._march(rays, occupancy, poses, intrinsics, size, aabb, cap)
        with torch.enable_grad():
            leaves = [tensor.detach().requires_grad_() for tensor in (tables, *merged)]
            logits = self._logits(samples, leaves[0], Merged(*leaves[1:]))
            n, n_rays = len(samples.ray), len(rays.pixel)
            with torch.no_grad():
                light = _Light(samples, logits, n_rays, cap)
                weight = torch.where(light.is_used, light.weight, -torch.inf)
                is_kept = weight[samples.ray, samples.column] > keep
            # What carries no weight is not trained; it still takes its part of the light.
            trained = torch.where(is_kept[:, None], logits, logits.detach())
            light = _Light(samples, trained, n_rays, cap)
            color = light.color + light.rest[:, None] * rays.background  # [n_rays, 3]
            color_loss = (color - rays.target).abs().mean()
            opacity = (1.0 - light.rest).clamp(EDGE, 1.0 - EDGE)
            unsure = -opacity * opacity.log2() - (1.0 - opacity) * (1.0 - opacity).log2()
            spread = light.spread()
            loss = color_loss + entropy * unsure.mean() + distortion * spread.mean()
            if further is not None:
                loss = loss + (color * further).sum()
            grads = torch.autograd.grad(loss, leaves, allow_unused=True)
        for into, grad in zip((grad_tables, *grad_merged), grads, strict=True):
            if grad is not None:
                into += grad
        if drawn is not None:
            drawn.copy_(color.detach())
        counts = StepCounts(
            color_loss.item(), unsure.mean().item(), spread.mean().item(),
            (light.rest < 1.0 - OPAQUE).float().mean().item(), n, int(light.is_used.sum()),
            int(is_kept.sum()),
        )  # fmt: skip
        return counts, Trained(samples.position.T.contiguous(), samples.ray, is_kept)

    def colors(
        self, rays: Rays, *, merged: Merged, tables: Float[Tensor, "n_rows"],
        occupancy: UInt8[Tensor, "262144"], poses: Float[Tensor, "f 4 4"], intrinsics: Intrinsics,
        size: tuple[int, int], aabb: tuple[float, ...], cap: int,
    ) -> Float[Tensor, "n 3"]:  # fmt: skip
        """The rays' colours, as `step` draws them."""
        with torch.no_grad():
            samples = self._march(rays, occupancy, poses, intrinsics, size, aabb, cap)
            logits = self._logits(samples, tables, merged)
            light = _Light(samples, logits, len(rays.pixel), cap)
            return light.color + light.rest[:, None] * rays.background

    @torch.no_grad()
    def density(
        self, points: Float[Tensor, "3 n"], merged: Merged, tables: Float[Tensor, "n_rows"]
    ) -> Float[Tensor, "n"]:
        """Logarithm of the density at points, for the first frame."""
        features = self._planes(points.T, tables)
        return _density_hidden(features, merged, 0) @ merged.sigma

    @torch.no_grad()
    def features(
        self, points: Float[Tensor, "3 n"], tables: Float[Tensor, "n_rows"]
    ) -> Float[Tensor, "36 n"]:
        """Plane features at points."""
        return self._planes(points.T, tables).T.contiguous()

    def scatter(
        self, points: Float[Tensor, "3 n"], gradient: Float[Tensor, "36 n"],
        grad_tables: Float[Tensor, "n_rows"],
    ) -> None:  # fmt: skip
        """Add the gradients of `features` to those of the tables."""
        with torch.enable_grad():
            tables = torch.zeros_like(grad_tables, requires_grad=True)
            features = self._planes(points.T, tables)
            (found,) = torch.autograd.grad(features, tables, gradient.T)
        grad_tables += found

    @torch.no_grad()
    def adam(
        self, values: Tensor, gradients: Tensor, squares: Tensor, *,
        rate: float, decay: float, beta: float, n_steps: int,
    ) -> None:  # fmt: skip
        """One step of AdamW without first moment, in place; the gradients are 0 afterwards."""
        squares.mul_(beta).addcmul_(gradients, gradients, value=1.0 - beta)
        correction = (1.0 - beta**n_steps) ** -0.5
        values.mul_(1.0 - rate * decay)
        values.addcdiv_(gradients, squares.sqrt().mul_(correction).add_(1e-8), value=-rate)
        gradients.zero_()

    def _march(
        self, rays: Rays, occupancy: UInt8[Tensor, "262144"], poses: Float[Tensor, "f 4 4"],
        intrinsics: Intrinsics, size: tuple[int, int], aabb: tuple[float, ...], cap: int,
    ) -> _Samples:  # fmt: skip
        """The first `cap` occupied lattice points of every ray."""
        box = torch.tensor(aabb, device=self.device)
        lattice = STEP * torch.arange(LATTICE, device=self.device)
        is_occupied = _unpacked(occupancy)
        parts, start = [], 0
        for pose, count in zip(poses, rays.counts, strict=True):
            rows = slice(start, start + count)
            directions = ray_directions(
                pose, intrinsics, width=size[0], pixels=rays.pixel[rows].long()
            )
            near, far = box_interval(pose[:3, 3], directions, box)
            t = (near + STEP * rays.jitter[rows])[:, None] + lattice  # [count, 128]
            point = pose[:3, 3] + t[..., None] * directions[:, None]  # [count, 128, 3]
            is_met = (t < far[:, None]) & is_occupied[_cells(point)]
            number = is_met.long().cumsum(1) - 1
            met, at = torch.nonzero(is_met & (number < cap), as_tuple=True)
            inside = point[met, at].clamp(-1.0, 1.0)
            parts.append((met + start, number[met, at], t[met, at], inside, directions[met]))
            start += count
        ray, column, t, position, direction = (
            torch.cat(columns) for columns in zip(*parts, strict=True)
        )
        per_frame = tuple(len(part[0]) for part in parts)
        return _Samples(ray, column, t, position, direction, per_frame)

    def _logits(
        self, samples: _Samples, tables: Float[Tensor, "n_rows"], merged: Merged
    ) -> Float[Tensor, "n 4"]:
        """Log density and colour before its sigmoid, of every sample."""
        features = self._planes(samples.position, tables)
        hidden = torch.cat([
            _density_hidden(part, merged, frame)
            for frame, part in enumerate(torch.split(features, list(samples.per_frame)))
        ])  # fmt: skip
        shape = harmonics(samples.direction)
        shape = torch.cat((torch.ones_like(shape[:, :1]), shape[:, 1:]), dim=1)
        looks = torch.relu(
            hidden @ merged.color_0[:, :HIDDEN].T + shape @ merged.color_0[:, HIDDEN:].T
        )
        return torch.cat(((hidden @ merged.sigma)[:, None], looks @ merged.color_1.T), dim=1)


class _Light:
    """How the samples of each ray add up; rows are rays, columns their samples.

    Attributes:
        weight: share of each sample. [n_rays, cap]
        is_used: composited before the ray was over. [n_rays, cap]
        rest: share of the background. [n_rays]
        color: sum of the samples' colours. [n_rays, 3]
    """

    def __init__(
        self, samples: _Samples, logits: Float[Tensor, "n 4"], n_rays: int, cap: int
    ) -> None:
        place = (samples.ray, samples.column)
        sigma = torch.exp(logits[:, 0].clamp(-20.0, 12.0))
        rgb = torch.sigmoid(logits[:, 1:].clamp(-15.0, 15.0)) * 1.002 - 0.001
        alpha = logits.new_zeros(n_rays, cap).index_put(place, 1.0 - torch.exp(-sigma * STEP))
        after = torch.cumprod(1.0 - alpha, dim=1)
        before = torch.cat((torch.ones_like(after[:, :1]), after[:, :-1]), dim=1)
        is_there = torch.zeros_like(alpha, dtype=torch.bool).index_put(
            place, torch.ones_like(samples.ray, dtype=torch.bool)
        )
        self.is_used = is_there & (before.detach() >= END_TRANSMITTANCE)
        self.weight = alpha * before * self.is_used
        self.rest = torch.where(self.is_used, 1.0 - alpha, 1.0).prod(dim=1)
        shown = logits.new_zeros(n_rays, cap, 3).index_put(place, rgb)
        self.color = (self.weight[..., None] * shown).sum(dim=1)
        self._t = logits.new_zeros(n_rays, cap).index_put(place, samples.t)

    def spread(self) -> Float[Tensor, "n_rays"]:
        """How far the weights of each ray lie apart."""
        distance = (self._t[:, :, None] - self._t[:, None, :]).abs()
        pairs = (self.weight[:, :, None] * self.weight[:, None, :] * distance).sum(dim=(1, 2))
        return pairs + (self.weight**2).sum(dim=1) * (STEP / 3.0)


class _Planes:
    """The three planes' features, from tables as a checkpoint stores them."""

    def __init__(self, device: torch.device) -> None:
        levels = plane_levels()
        self._plane_rows = level_offsets(levels)[-1]
        self._scale = torch.tensor([level.scale for level in levels], device=device)
        self._stride, self._offset, self._mask = (
            torch.tensor(values, device=device)
            for values in (
                [level.stride for level in levels],
                [level.offset for level in levels],
                [level.n_rows - 1 if level.is_hashed else 0 for level in levels],
            )
        )

    def __call__(
        self, points: Float[Tensor, "n 3"], tables: Float[Tensor, "n_rows"]
    ) -> Float[Tensor, "n 36"]:
        """Interpolate bilinearly on every level of every plane."""
        unit = (points + 1.0) / 2.0
        plane = torch.stack([unit[:, axes] for axes in PLANE_AXES], dim=1)  # [n, 3, 2]
        at = plane[..., None] * self._scale + 0.5  # [n, 3, 2, 12]
        cell = at.floor()
        first, second = (at - cell).unbind(dim=2)  # [n, 3, 12]
        q0, q1 = cell.long().unbind(dim=2)
        rows = torch.stack([self._rows(q0 + i, q1 + j) for j in (0, 1) for i in (0, 1)])
        value = _taken(tables, rows.view(-1)).view(rows.shape)  # [4, n, 3, 12]
        low = torch.lerp(value[0], value[1], first)
        high = torch.lerp(value[2], value[3], first)
        return torch.lerp(low, high, second).flatten(1)

    def _rows(self, q0: Int[Tensor, "n 3 12"], q1: Int[Tensor, "n 3 12"]) -> Int[Tensor, "n 3 12"]:
        hashed = (q0 ^ (q1 * HASH_PRIME)) & self._mask  # the mask leaves the low bits only
        row = torch.where(self._mask > 0, hashed, q0 + q1 * self._stride) + self._offset
        plane = torch.arange(3, device=row.device) * self._plane_rows
        return row + plane[:, None]


def _taken(tables: Float[Tensor, "n_rows"], rows: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
    """Values whose gradients are added up in the same order every time: which of the two forms
    does that depends on the device."""
    return tables.index_select(0, rows) if tables.device.type == "cpu" else tables[rows]


def _density_hidden(
    features: Float[Tensor, "n 36"], merged: Merged, frame: int
) -> Float[Tensor, "n 64"]:
    attended = torch.relu(features @ merged.attention.T)
    first = torch.relu(attended @ merged.hidden[frame].T + features @ merged.features.T)
    return torch.relu(first @ merged.density_1.T)


def _unpacked(bits: UInt8[Tensor, "262144"]) -> Bool[Tensor, "n_cells"]:
    shifts = torch.arange(8, dtype=torch.uint8, device=bits.device)
    return ((bits[:, None] >> shifts) & 1).bool().reshape(-1)


def _cells(points: Float[Tensor, "*n 3"]) -> Int[Tensor, "*n"]:
    """Numbers of the cells that points lie in."""
    at = 0.5 * (points.clamp(-1.0, 1.0) + 1.0) * GRID_SIZE
    x, y, z = at.clamp(0, GRID_SIZE - 1).long().unbind(dim=-1)
    return (x * GRID_SIZE + y) * GRID_SIZE + z
