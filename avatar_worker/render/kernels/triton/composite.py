"""Sums along rays and lists what is due next. Twin: `march.Sums.add`, `march.composite`.

Samples are evaluated in stages of a few lattice points a ray (`STAGES`). One launch adds the
answers of a stage to the sums of its rays, decides which rays end, and writes the samples of the
next stage close together. How many there are is known on the device only: nothing waits for it,
and all shapes are fixed.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from avatar_worker.render import march as twin
from avatar_worker.render.kernels.triton import EXACT
from avatar_worker.render.kernels.triton.march import MAX_SAMPLES, STEP, clamped

STAGES: Final = (0, 3, 5, 8, 12, 16, 20, 23)
"""Lattice points offered before and after each stage. Wider stages are fewer launches, and more
samples behind the point where a ray ends; to be measured on a GPU. Holds
`march.OFFERED_SAMPLES`, where the rule of the whole picture is applied."""

STAGE_SAMPLES: Final = max(last - first for first, last in pairwise(STAGES))
N_SUMS: Final = 7
_FLOOR: tl.constexpr = tl.constexpr(twin.TRANSMITTANCE_FLOOR)
_N_SUMS: tl.constexpr = tl.constexpr(N_SUMS)
_BLOCK = 128


@dataclass(frozen=True, slots=True)
class Frames:
    """Buffers of F frames of n rays and m = n · `STAGE_SAMPLES` sample slots each.

    Attributes:
        origins: where the rays begin. [F, 3]
        rays: unit direction x, y, z, then where the ray enters the box and where it leaves it;
            the one not before the other for a ray that is there to fill up the n. [F, 5, n]
        t: parameters of the occupied lattice points. [F, 23, n]
        n_points: how many there are, those beyond the 23rd included. int32 [F, n]
        last_t: parameter of the last. [F, n]
        limit: samples a ray may have. int32 [F]
        said: see `network.TritonField.merged`. [F, 2, 64, 64]
        sums: red, green, blue, weight, depth, audio norm, eye norm. [F, 7, n]
        count: samples added. int32 [F, n]
        is_ended: 1 where a ray has ended. int32 [F, n]
        due: samples of a ray in the stage. int32 [F, n]
        offset: slot of the first of them. int32 [F, n]
        samples: point and direction. [F, 6, m]
        n_samples: slots in use in each stage. int32 [7, F]
        answers: red, green, blue, density. [F, m, 4]
        norms: of audio and eye attention; None where nobody asks. [F, m, 2]
        alive: rays that can take a sample after 0 … 23 were offered. int64 [F, 24]
    """

    origins: Float[Tensor, "F 3"]
    rays: Float[Tensor, "F 5 n"]
    t: Float[Tensor, "F 23 n"]
    n_points: Int[Tensor, "F n"]
    last_t: Float[Tensor, "F n"]
    limit: Int[Tensor, "F"]
    said: Float[Tensor, "F 2 64 64"]
    sums: Float[Tensor, "F 7 n"]
    count: Int[Tensor, "F n"]
    is_ended: Int[Tensor, "F n"]
    due: Int[Tensor, "F n"]
    offset: Int[Tensor, "F n"]
    samples: Float[Tensor, "F 6 m"]
    n_samples: Int[Tensor, "7 F"]
    answers: Float[Tensor, "F m 4"]
    norms: Float[Tensor, "F m 2"] | None
    alive: Int[Tensor, "F 24"]

    @classmethod
    def empty(
        cls, n_frames: int, n: int, device: torch.device, dtype: torch.dtype, *, norms: bool
    ) -> "Frames":
        """Room for F frames of n rays, `said` in the dtype of the networks."""

        def reals(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(n_frames, *shape, dtype=dtype, device=device)

        def numbers(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.int32, device=device)

        m = n * STAGE_SAMPLES
        per_ray = (n_frames, n)
        return cls(
            origins=reals(3), rays=reals(5, n), t=reals(twin.MAX_SAMPLES, n),
            n_points=numbers(*per_ray), last_t=reals(n), limit=numbers(n_frames),
            said=reals(2, 64, 64, dtype=dtype), sums=reals(N_SUMS, n), count=numbers(*per_ray),
            is_ended=numbers(*per_ray), due=numbers(*per_ray), offset=numbers(*per_ray),
            samples=reals(6, m),
            n_samples=numbers(len(STAGES) - 1, n_frames), answers=reals(m, 4),
            norms=reals(m, 2) if norms else None,
            alive=reals(twin.MAX_SAMPLES + 1, dtype=torch.int64),
        )  # fmt: skip

    def begin(self) -> None:
        """Nothing is summed yet."""
        for buffer in (self.sums, self.count, self.is_ended, self.n_samples):
            buffer.zero_()

    def count_alive(self) -> None:
        """Fill `alive` from what was summed: as far as samples were offered, it is right."""
        life = torch.where(self.is_ended == 1, self.count - 1, self.n_points)
        offered = torch.arange(twin.MAX_SAMPLES + 1, device=life.device)[None, :, None]
        self.alive.copy_((life[:, None, :] >= offered).sum(dim=2))


@triton.jit(
    do_not_specialize=["first", "last", "beyond"],  # compiled once for all stages
    do_not_specialize_on_alignment=["n_samples"],
)
def advance_kernel(
    t: tl.tensor, n_points: tl.tensor, origins: tl.tensor, rays: tl.tensor, limit: tl.tensor,
    sums: tl.tensor, count: tl.tensor, is_ended: tl.tensor, due: tl.tensor, offset: tl.tensor,
    samples: tl.tensor, answers: tl.tensor, norms: tl.tensor, n_samples: tl.tensor,
    n_rays: tl.tensor, n_slots: tl.tensor, first: tl.tensor, last: tl.tensor, beyond: tl.tensor,
    NORMS: tl.constexpr, BLOCK: tl.constexpr,
) -> None:  # fmt: skip
    """Adds samples first … last − 1, lists last … beyond − 1. Axis 1 of the grid: frames."""
    frame = tl.program_id(1).to(tl.int64)
    ray = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = ray < n_rays
    whole = frame * n_rays + ray  # number of the ray among those of all frames
    points = t + frame * MAX_SAMPLES * n_rays + ray
    ended = tl.load(is_ended + whole, mask=there, other=1)
    if last > first:
        place = sums + frame * _N_SUMS * n_rays + ray
        red = tl.load(place, mask=there, other=0.0)
        green = tl.load(place + n_rays, mask=there, other=0.0)
        blue = tl.load(place + n_rays * 2, mask=there, other=0.0)
        total = tl.load(place + n_rays * 3, mask=there, other=0.0)
        depth = tl.load(place + n_rays * 4, mask=there, other=0.0)
        audio = tl.load(place + n_rays * 5, mask=there, other=0.0)
        eye = tl.load(place + n_rays * 6, mask=there, other=0.0)
        taken = tl.load(count + whole, mask=there, other=0)
        n_due = tl.load(due + whole, mask=there, other=0)
        slot = frame * n_slots + tl.load(offset + whole, mask=there, other=0)
        for number in range(last - first):
            adds = (number < n_due) & (ended == 0)
            answer = answers + (slot + number) * 4
            sigma = tl.load(answer + 3, mask=adds, other=0.0)
            here = tl.load(points + (first + number) * n_rays, mask=adds, other=0.0)
            transmittance = 1.0 - total
            weight = (1.0 - tl.exp(-sigma * STEP)) * transmittance  # 0 where nothing is added
            total += weight
            red += weight * tl.load(answer, mask=adds, other=0.0)
            green += weight * tl.load(answer + 1, mask=adds, other=0.0)
            blue += weight * tl.load(answer + 2, mask=adds, other=0.0)
            depth += weight * (here + STEP)
            if NORMS:
                audio += tl.load(norms + (slot + number) * 2, mask=adds, other=0.0)
                eye += tl.load(norms + (slot + number) * 2 + 1, mask=adds, other=0.0)
            taken += adds.to(tl.int32)
            ended = tl.where(adds & (transmittance < _FLOOR), 1, ended)
        tl.store(place, red, mask=there)
        tl.store(place + n_rays, green, mask=there)
        tl.store(place + n_rays * 2, blue, mask=there)
        tl.store(place + n_rays * 3, total, mask=there)
        tl.store(place + n_rays * 4, depth, mask=there)
        tl.store(place + n_rays * 5, audio, mask=there)
        tl.store(place + n_rays * 6, eye, mask=there)
        tl.store(count + whole, taken, mask=there)
        tl.store(is_ended + whole, ended, mask=there)
    if beyond > last:
        until = tl.minimum(tl.load(limit + frame), beyond)
        until = tl.minimum(tl.load(n_points + whole, mask=there, other=0), until)
        n_due = tl.where(ended == 0, tl.maximum(until - last, 0), 0)
        listed = tl.cumsum(n_due, 0)
        slot = tl.atomic_add(n_samples + frame, tl.sum(n_due, 0)) + listed - n_due
        tl.store(due + whole, n_due, mask=there)
        tl.store(offset + whole, slot, mask=there)
        way = rays + frame * 5 * n_rays + ray
        dx = tl.load(way, mask=there, other=0.0)
        dy = tl.load(way + n_rays, mask=there, other=0.0)
        dz = tl.load(way + n_rays * 2, mask=there, other=0.0)
        x0 = tl.load(origins + frame * 3)
        y0 = tl.load(origins + frame * 3 + 1)
        z0 = tl.load(origins + frame * 3 + 2)
        place = samples + frame * 6 * n_slots + slot
        for number in range(beyond - last):
            lists = number < n_due
            here = tl.load(points + (last + number) * n_rays, mask=lists, other=0.0)
            tl.store(place, clamped(x0 + here * dx, -1.0, 1.0), mask=lists)
            tl.store(place + n_slots, clamped(y0 + here * dy, -1.0, 1.0), mask=lists)
            tl.store(place + n_slots * 2, clamped(z0 + here * dz, -1.0, 1.0), mask=lists)
            tl.store(place + n_slots * 3, dx, mask=lists)
            tl.store(place + n_slots * 4, dy, mask=lists)
            tl.store(place + n_slots * 5, dz, mask=lists)
            place += 1


def advance(
    frames: Frames, first: int, last: int, beyond: int, n_samples: Int[Tensor, "F"]
) -> None:
    """Add the answers of one stage and list the samples of the next.

    Args:
        frames: buffers; `answers` belong to the samples listed by the call before.
        first: samples offered before the stage that is added.
        last: samples offered after it; nothing is added where it equals `first`.
        beyond: samples offered after the next stage; nothing is listed where it equals `last`.
        n_samples: grows by the number of samples listed. int32
    """
    n_frames, _, n = frames.rays.shape
    norms = frames.answers if frames.norms is None else frames.norms
    advance_kernel[(triton.cdiv(n, _BLOCK), n_frames)](
        frames.t, frames.n_points, frames.origins, frames.rays, frames.limit, frames.sums,
        frames.count, frames.is_ended, frames.due, frames.offset, frames.samples, frames.answers,
        norms, n_samples, n, frames.samples.shape[2], first, last, beyond,
        NORMS=frames.norms is not None, BLOCK=_BLOCK,
        # One warp: more would each hold all the rays, and one could read what another has
        # already replaced.
        num_warps=1, **EXACT,
    )  # fmt: skip
