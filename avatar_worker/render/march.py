"""Walks the rays through the occupied cells and sums what the field says.

Every ray visits the lattice t₀ = near, tₖ₊₁ = tₖ + dt (float32, by repeated addition) while
tₖ < far, and has a sample wherever the cell is occupied. The step is one cell diagonal.

The number of samples a ray may have is decided by the whole picture: samples are offered in
rounds, more per round as fewer rays are alive, until at least 16 were offered. `next_round` is
that rule; a fixed cap stands in for it where only part of the picture is drawn.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from avatar_worker.render.field import SAMPLES_PER_TILE, FieldSamples, HeadField
from avatar_worker.render.occupancy import OccupancyGrid
from avatar_worker.render.tiles import each_tile

STEP: Final = float(np.float32(2.0 * np.sqrt(3.0) / 128.0))
"""Distance between lattice points: the diagonal of a cell, 2√3/128."""

OFFERED_SAMPLES: Final = 16
"""Rounds go on until this many samples were offered."""

MAX_SAMPLES: Final = 23
"""The most a ray can be offered: 15 and then a round of 8."""

ROUND_SAMPLES: Final = 8
TRANSMITTANCE_FLOOR: Final = 1e-4
RAYS_PER_TILE: Final = 4096


class Rays(NamedTuple):
    """n rays with one origin, and the part of them inside the box."""

    origin: Float[Tensor, "3"]
    directions: Float[Tensor, "n 3"]
    near: Float[Tensor, "n"]
    far: Float[Tensor, "n"]


class Lattice(NamedTuple):
    """Occupied lattice points of n rays.

    Attributes:
        t: parameters of the first `MAX_SAMPLES` occupied points, in order, 0 where fewer. [n, 23]
        n_points: occupied points on the whole ray, also those beyond the first 23. int64 [n]
        last_t: parameter of the last occupied point, 0 where there is none. [n]
    """

    t: Float[Tensor, "n 23"]
    n_points: Int[Tensor, "n"]
    last_t: Float[Tensor, "n"]


@dataclass(slots=True)
class Sums:
    """What was composited along n rays; float32.

    Attributes:
        weight: accumulated weight W. [n]
        rgb: accumulated colour, background not yet added. [n, 3]
        depth: Σ w · (t + dt). [n]
        count: samples composited. int64 [n]
        audio_norm: Σ ‖audio attention‖, unweighted. [n]
        eye_norm: Σ ‖eye attention‖, unweighted. [n]
        rounds: (rays alive, samples offered to each) of every round.
    """

    weight: Float[Tensor, "n"]
    rgb: Float[Tensor, "n 3"]
    depth: Float[Tensor, "n"]
    count: Int[Tensor, "n"]
    audio_norm: Float[Tensor, "n"]
    eye_norm: Float[Tensor, "n"]
    rounds: list[tuple[int, int]] = field(default_factory=list)

    @classmethod
    def zeros(cls, n: int, device: torch.device) -> "Sums":
        """Sums before the first sample."""
        scalars = torch.zeros(4, n, device=device)
        count = torch.zeros(n, dtype=torch.int64, device=device)
        rgb = torch.zeros(n, 3, device=device)
        return cls(scalars[0], rgb, scalars[1], count, scalars[2], scalars[3])

    def add(
        self, ray: Int[Tensor, "m"], t_end: Float[Tensor, "m"], sample: FieldSamples
    ) -> Bool[Tensor, "m"]:
        """Add one sample to each of m rays; says which rays end with it."""
        alpha = 1.0 - torch.exp(-sample.sigma * STEP)
        weight_before = self.weight[ray]
        transmittance = 1.0 - weight_before
        weight = alpha * transmittance
        self.weight[ray] = weight_before + weight
        self.rgb[ray] += weight[:, None] * sample.rgb
        self.depth[ray] += weight * t_end
        self.audio_norm[ray] += torch.linalg.vector_norm(sample.audio_attention, dim=1)
        self.eye_norm[ray] += torch.linalg.vector_norm(sample.eye_attention, dim=1)
        self.count[ray] += 1
        return transmittance < TRANSMITTANCE_FLOOR


def next_round(offered: int, n_alive: int, n_rays: int, cap: int | None) -> int:
    """How many further samples every living ray is offered; 0 ends the picture.

    Args:
        offered: samples offered to each ray so far.
        n_alive: rays that can still take one.
        n_rays: rays of the whole picture, those that miss the box included.
        cap: None for the rule of the whole picture, else the number of samples after which to
            stop whatever is alive.
    """
    if n_alive == 0:
        return 0
    if cap is not None:
        return min(ROUND_SAMPLES, cap - offered)
    if offered >= OFFERED_SAMPLES:
        return 0
    return max(1, min(ROUND_SAMPLES, n_rays // n_alive))


def occupied_points(rays: Rays, occupancy: OccupancyGrid) -> Lattice:
    """Walk every ray to the end of the box and note the occupied lattice points."""
    found = Lattice(
        torch.zeros(len(rays.near), MAX_SAMPLES, device=rays.near.device),
        torch.zeros(len(rays.near), dtype=torch.int64, device=rays.near.device),
        torch.zeros(len(rays.near), device=rays.near.device),
    )

    def walk(ray: Tensor) -> None:
        part = Rays(rays.origin, rays.directions[ray], rays.near[ray], rays.far[ray])
        for whole, tile in zip(found, _walk(part, occupancy), strict=True):
            whole[ray] = tile

    each_tile(walk, torch.arange(len(rays.near), device=rays.near.device), RAYS_PER_TILE)
    return found


def _walk(rays: Rays, occupancy: OccupancyGrid) -> Lattice:
    n, device = len(rays.near), rays.near.device
    kept = torch.zeros(n, MAX_SAMPLES + 1, device=device)  # the last column takes the overflow
    count = torch.zeros(n, dtype=torch.int64, device=device)
    last_t = torch.zeros(n, device=device)
    ray = torch.nonzero(rays.near < rays.far)[:, 0]
    t, far, directions = rays.near[ray], rays.far[ray], rays.directions[ray]
    while len(ray) > 0:
        is_occupied = occupancy(rays.origin + t[:, None] * directions)
        hit = ray[is_occupied]
        kept[hit, count[hit].clamp_max(MAX_SAMPLES)] = t[is_occupied]
        last_t[hit] = t[is_occupied]
        count[hit] += 1
        t = t + STEP
        is_inside = t < far
        if not bool(is_inside.all()):
            ray, t, far, directions = (part[is_inside] for part in (ray, t, far, directions))
    return Lattice(kept[:, :MAX_SAMPLES], count, last_t)


def composite(
    rays: Rays,
    lattice: Lattice,
    head: HeadField,
    audio: Float[Tensor, "32"],
    eye: Float[Tensor, "n_eye"],
    *,
    cap: int | None = None,
) -> Sums:
    """Blend the samples of every ray, front to back.

    α = 1 − exp(−σ·dt), T = 1 − W, w = α·T. A ray ends with the sample *before* which its
    transmittance T had fallen below 1e-4, that sample included.

    Args:
        rays: all rays of the picture, or some of them if `cap` is given.
        lattice: their occupied points.
        head: the field to ask.
        audio: what is said.
        eye: how brows and eyes are held.
        cap: see `next_round`; at most `MAX_SAMPLES`.

    Source: volume rendering after Max 1995, eq. 3, with the transmittance taken from the sum of
    weights.
    """
    n = len(rays.near)
    sums = Sums.zeros(n, rays.near.device)
    is_ended = torch.zeros(n, dtype=torch.bool, device=rays.near.device)
    alive = torch.arange(n, device=rays.near.device)
    offered = 0
    while n_step := next_round(offered, len(alive), n, cap):
        sums.rounds.append((len(alive), n_step))
        for column in range(offered, offered + n_step):

            def add(ray: Tensor, column: int = column) -> None:
                t, directions = lattice.t[ray, column], rays.directions[ray]
                points = (rays.origin + t[:, None] * directions).clamp(-1.0, 1.0)
                is_ended[ray] = sums.add(ray, t + STEP, head(points, directions, audio, eye))

            going = alive[(lattice.n_points[alive] > column) & ~is_ended[alive]]
            each_tile(add, going, SAMPLES_PER_TILE)
        offered += n_step
        alive = alive[(lattice.n_points[alive] >= offered) & ~is_ended[alive]]
    return sums
