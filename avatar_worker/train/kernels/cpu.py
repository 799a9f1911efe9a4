"""The compiled training step behind ctypes. All tensors are float32 on the CPU and contiguous."""

import ctypes
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from avatar_worker.render.encodings import level_offsets, plane_levels
from avatar_worker.render.kernels.build import KernelBuildError, build
from avatar_worker.render.kernels.isa import Isa, isa_named, processor_flags
from avatar_worker.render.rays import Intrinsics
from avatar_worker.train.errors import TrainingError
from avatar_worker.train.kernels.interface import (
    Rays,
    StepCounts,
    Trained,
    check_colours,
    check_step,
)
from avatar_worker.train.merging import Merged

SOURCE: Final = Path(__file__).parent / "native" / "head_trainer.cpp"
ABI: Final = 2
RAYS_PER_TILE: Final = 256
N_LEVELS: Final = 12
NOTHING: Final = 2.0
"""No sample weighs so much: with this for `keep` a step trains none."""

TILES: Final = Isa(
    "amx", isa_named("amx").cpu_flags, ("-march=sapphirerapids", "-DAVATAR_TRAIN_TILES")
)
"""Like `PAIRS`, on the matrix unit."""

PAIRS: Final = Isa(
    "avx512bf16",
    isa_named("avx512").cpu_flags | {"avx512_bf16"},
    ("-march=cooperlake", "-DAVATAR_TRAIN_PAIRS"),
)
"""Products in bfloat16 with float32 sums; everything else in float32."""

ISAS: Final = (TILES, PAIRS, isa_named("avx512"), isa_named("avx2"))
"""What a step is compiled for, fastest first."""


class _Levels(ctypes.Structure):
    """Twin of `HashLevels`."""

    _fields_ = [
        ("stride", ctypes.c_int32 * N_LEVELS),
        ("offset", ctypes.c_int32 * N_LEVELS),
        ("mask", ctypes.c_int32 * N_LEVELS),
        ("scale", ctypes.c_float * N_LEVELS),
        ("plane_rows", ctypes.c_int32),
    ]


class _Networks(ctypes.Structure):
    """Twin of `NetworkSource`."""

    _fields_ = [
        *[(name, ctypes.c_void_p) for name in Merged._fields],
        ("n_frames", ctypes.c_int32),
    ]


class _Step(ctypes.Structure):
    """Twin of `Step` in native/head_trainer.cpp."""

    _fields_ = [
        ("levels", _Levels),
        ("networks", _Networks),
        *[(name, ctypes.c_void_p) for name in ("tables", "occupancy", "poses")],
        *[(name, ctypes.c_float) for name in ("fx", "fy", "cx", "cy")],
        ("height", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("aabb", ctypes.c_float * 6),
        *[(name, ctypes.c_void_p) for name in (
            "pixel", "jitter", "target", "background", "further", "drawn",
            "tile_first", "tile_rays", "tile_frame")],
        *[(name, ctypes.c_int32) for name in ("n_rays", "n_tiles", "cap", "threads")],
        *[(name, ctypes.c_float) for name in ("entropy", "distortion", "scale", "keep")],
        *[(name, ctypes.c_void_p) for name in ("position", "feature_gradient", "ray", "kept")],
        ("slots", ctypes.c_int32),
        ("grad_tables", ctypes.c_void_p),
        *[(f"grad_{name}", ctypes.c_void_p) for name in Merged._fields],
        *[(f"sum_{name}", ctypes.c_double) for name in (
            "color_loss", "entropy", "distortion", "opaque")],
        ("evaluated", ctypes.c_int64),
        ("used", ctypes.c_int64),
    ]  # fmt: skip


class TrainerKernel:
    """The library, and the arrays that steps reuse; for one thread at a time.

    Args:
        library: loaded and of the right version.
        isa: what it was built for.
        threads: how many compute. Results depend on it in the last bits, on nothing else.
    """

    def __init__(self, library: Any, isa: str, threads: int) -> None:
        self._library = library
        self.name: Final = f"{isa}, {threads} threads"
        self.device: Final = torch.device("cpu")
        self.isa: Final = isa
        self.threads: Final = threads
        self._levels = _hash_levels()
        self._arrays: dict[str, Tensor] = {}

    def step(
        self,
        rays: Rays,
        *,
        merged: Merged,
        tables: Float[Tensor, "n_rows"],
        grad_merged: Merged,
        grad_tables: Float[Tensor, "n_rows"],
        occupancy: UInt8[Tensor, "262144"],
        poses: Float[Tensor, "f 4 4"],
        intrinsics: Intrinsics,
        size: tuple[int, int],
        aabb: tuple[float, ...],
        cap: int,
        entropy: float,
        distortion: float,
        keep: float = 1e-4,
        further: Float[Tensor, "n 3"] | None = None,
        drawn: Float[Tensor, "n 3"] | None = None,
    ) -> tuple[StepCounts, Trained]:
        """Forward and backward of one batch; adds to the gradients.

        Args:
            rays: see there.
            merged: the networks (see `merging`).
            tables: the three planes after each other.
            grad_merged: receives the gradients of `merged`.
            grad_tables: receives those of `tables`.
            occupancy: bit z % 8 of byte ((x · 128) + y) · 16 + z / 8.
            poses: cameras of the frames.
            intrinsics: of all of them.
            size: width and height in pixels.
            aabb: box of the head.
            cap: samples a ray may have, at most 32.
            entropy: weight of the opacity entropy.
            distortion: weight of the spread of a ray's weights.
            keep: samples of less weight are not trained.
            further: gradient with respect to the rays' colours of what else the loss has, for
                terms that look at several rays at once.
            drawn: receives the rays' colours.

        Raises:
            ValueError: a tensor is not what is described here.
        """
        n = len(rays.pixel)
        check_step(rays, merged, grad_merged, tables, grad_tables, occupancy, poses, cap)
        tiles = _tiles(rays.counts)
        n_slots = RAYS_PER_TILE * cap
        position = self._array("position", (3, len(tiles) * n_slots))
        features = self._array("features", (36, len(tiles) * n_slots))
        ray = self._array("ray", (len(tiles) * n_slots,), torch.int32)
        kept = self._array("kept", (len(tiles),), torch.int32)
        columns = [torch.tensor(column, dtype=torch.int32) for column in zip(*tiles, strict=True)]
        step = _Step(levels=self._levels, networks=_networks(merged))
        for name, tensor in (
            ("tables", tables), ("occupancy", occupancy), ("poses", poses),
            ("pixel", rays.pixel), ("jitter", rays.jitter), ("target", rays.target),
            ("background", rays.background), ("tile_first", columns[0]),
            ("tile_rays", columns[1]), ("tile_frame", columns[2]), ("position", position),
            ("feature_gradient", features), ("ray", ray), ("kept", kept),
            ("grad_tables", grad_tables),
            *[(f"grad_{name}", getattr(grad_merged, name)) for name in Merged._fields],
        ):  # fmt: skip
            setattr(step, name, tensor.data_ptr())
        for name, optional in (("further", further), ("drawn", drawn)):
            if optional is not None:
                check_colours(name, optional, n)
                setattr(step, name, optional.data_ptr())
        step.fx, step.fy, step.cx, step.cy = intrinsics
        step.width, step.height = size
        step.aabb = (ctypes.c_float * 6)(*aabb)
        step.n_rays, step.n_tiles, step.slots = n, len(tiles), n_slots
        step.cap, step.threads = cap, self.threads
        step.entropy, step.distortion, step.scale, step.keep = entropy, distortion, 1.0 / n, keep
        self._call("avatar_train_step", ctypes.byref(step))
        is_kept = torch.arange(n_slots)[None] < kept[:, None]  # [n_tiles, n_slots]
        counts = StepCounts(
            step.sum_color_loss / n, step.sum_entropy / n, step.sum_distortion / n,
            step.sum_opaque / n, step.evaluated, step.used, int(kept.sum()),
        )  # fmt: skip
        return counts, Trained(position, ray, is_kept.reshape(-1))

    def colors(
        self, rays: Rays, *, merged: Merged, tables: Float[Tensor, "n_rows"],
        occupancy: UInt8[Tensor, "262144"], poses: Float[Tensor, "f 4 4"], intrinsics: Intrinsics,
        size: tuple[int, int], aabb: tuple[float, ...], cap: int,
    ) -> Float[Tensor, "n 3"]:  # fmt: skip
        """The rays' colours; arguments as in `step`, which draws the same to the last bit."""
        drawn = torch.empty(len(rays.pixel), 3)
        self.step(
            rays, merged=merged, tables=tables, grad_merged=merged.zeros(),
            grad_tables=self._array("no_gradients", tuple(tables.shape)), occupancy=occupancy,
            poses=poses, intrinsics=intrinsics, size=size, aabb=aabb, cap=cap, entropy=0.0,
            distortion=0.0, keep=NOTHING, drawn=drawn,
        )  # fmt: skip
        return drawn

    def density(
        self, points: Float[Tensor, "3 n"], merged: Merged, tables: Float[Tensor, "n_rows"]
    ) -> Float[Tensor, "n"]:
        """Logarithm of the density at n points, a multiple of 64, for the first frame."""
        n = points.shape[1]
        if n % 64 != 0:
            raise ValueError(f"{n} points; expected a multiple of 64")
        points = points.contiguous()
        out = torch.empty(n)
        self._call(
            "avatar_train_density", ctypes.byref(self._levels), ctypes.byref(_networks(merged)),
            _at(tables), _at(points), ctypes.c_int64(n), _at(out), ctypes.c_int32(self.threads),
        )  # fmt: skip
        return out

    def features(
        self, points: Float[Tensor, "3 n"], tables: Float[Tensor, "n_rows"]
    ) -> Float[Tensor, "36 n"]:
        """Plane features at n points, a multiple of 16."""
        n = _multiple_of_16(points)
        out = torch.empty(36, n)
        self._library.avatar_train_features(
            ctypes.byref(self._levels), _at(tables), _at(points), ctypes.c_int64(n), _at(out)
        )
        return out

    def scatter(
        self, points: Float[Tensor, "3 n"], gradient: Float[Tensor, "36 n"],
        grad_tables: Float[Tensor, "n_rows"],
    ) -> None:  # fmt: skip
        """Add the gradients of `features` at the same points to those of the tables."""
        n = _multiple_of_16(points)
        self._library.avatar_train_scatter(
            ctypes.byref(self._levels), _at(points), _at(gradient.contiguous()),
            ctypes.c_int64(n), _at(grad_tables), ctypes.c_int32(self.threads),
        )  # fmt: skip

    def adam(
        self, values: Tensor, gradients: Tensor, squares: Tensor, *,
        rate: float, decay: float, beta: float, n_steps: int,
    ) -> None:  # fmt: skip
        """One step of AdamW without first moment, in place; the gradients are 0 afterwards."""
        numbers = [rate, decay, beta, (1.0 - beta**n_steps) ** -0.5]
        self._library.avatar_train_adam(
            _at(values), _at(gradients), _at(squares), ctypes.c_int64(values.numel()),
            *[ctypes.c_float(number) for number in numbers],
        )  # fmt: skip

    def _call(self, name: str, *arguments: Any) -> None:
        if getattr(self._library, name)(*arguments) != 0:
            raise MemoryError(f"no memory for {name}")

    def _array(
        self, name: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """An array that keeps its memory from step to step."""
        found = self._arrays.get(name)
        size = int(torch.Size(shape).numel())
        if found is None or found.numel() < size:
            found = self._arrays[name] = torch.zeros(size, dtype=dtype)
        return found[:size].view(shape)


def load_trainer(threads: int, isa: str | None = None) -> TrainerKernel:
    """The fastest training kernel of this processor, compiled if need be.

    Args:
        threads: see `TrainerKernel`.
        isa: name of one of `ISAS` to insist on it.

    Raises:
        TrainingError: there is no compiler, or no vector unit that it is written for.
    """
    refusals = []
    flags = processor_flags()
    for candidate in ISAS:
        if not candidate.cpu_flags <= flags or isa not in (None, candidate.name):
            continue
        try:
            library = ctypes.CDLL(str(build(candidate, SOURCE)))
        except (KernelBuildError, OSError) as error:
            refusals.append(f"{candidate.name}: {error}")
            continue
        if library.avatar_trainer_abi() != ABI:
            raise TrainingError(f"the training kernel is another version than {ABI}")
        if library.avatar_trainer_prepare() != 0:
            refusals.append(f"{candidate.name}: the system does not hand it out")
            continue
        return TrainerKernel(library, candidate.name, threads)
    lacking = f"the processor has no {isa}" if isa else "the processor has neither AVX-512 nor AVX2"
    reason = "; ".join(refusals) or lacking
    raise TrainingError(f"training needs its compiled kernel: {reason}")


def _tiles(counts: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """First ray, number of rays and frame of every tile."""
    tiles: list[tuple[int, int, int]] = []
    first = 0
    for frame, count in enumerate(counts):
        tiles += [
            (first + start, min(RAYS_PER_TILE, count - start), frame)
            for start in range(0, count, RAYS_PER_TILE)
        ]
        first += count
    return tiles


def _networks(merged: Merged) -> _Networks:
    return _Networks(*[tensor.data_ptr() for tensor in merged], n_frames=len(merged.hidden))


def _hash_levels() -> _Levels:
    levels = plane_levels()
    integers, floats = ctypes.c_int32 * N_LEVELS, ctypes.c_float * N_LEVELS
    return _Levels(
        integers(*[level.stride for level in levels]),
        integers(*[level.offset for level in levels]),
        integers(*[level.n_rows - 1 if level.is_hashed else 0 for level in levels]),
        floats(*[level.scale for level in levels]),
        level_offsets(levels)[-1],
    )


def _at(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


def _multiple_of_16(points: Float[Tensor, "3 n"]) -> int:
    n = points.shape[1]
    if n % 16 != 0 or not points.is_contiguous():
        raise ValueError(f"{n} points; expected a multiple of 16, contiguous")
    return n
