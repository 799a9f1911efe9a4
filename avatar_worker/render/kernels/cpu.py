"""The compiled head: loads the library of this processor and calls it through ctypes.

    kernel = load_kernel()                     # None: use the PyTorch twin
    head = kernel.pack(weights)                # once per character, shared by all sessions
    counts = head.paint(camera, enc_a, eye, out=picture, background=…, threads=2)

Twin: `render.twin.TorchPainter`. What is drawn is the same to at least 60 dB.
"""

import ctypes
import logging
import os
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from avatar_worker.render.finer_grid import FinerGrid
from avatar_worker.render.head import AUDIO_DIM, HeadWeights
from avatar_worker.render.kernels.build import KernelBuildError, build
from avatar_worker.render.kernels.isa import ISA_NAMES, Isa, available_isas, isa_named
from avatar_worker.render.kernels.packing import HeadSource, head_source
from avatar_worker.render.kernels.pixels import order_pixels
from avatar_worker.render.rays import Intrinsics

ABI: Final = 3
MAX_THREADS: Final = 64
MAX_PIXELS: Final = 2**22
"""Pixel numbers are split into row and column with floats."""

MAX_CAP: Final = 128
N_LENGTHS: Final = 25
STAGES: Final = ("rays", "lists", "look-ups", "networks", "outputs", "sums")
"""Parts of the work of a thread, in the order of native/stages.hpp."""

log = logging.getLogger(__name__)


class Camera(NamedTuple):
    """Where a picture is taken from.

    Attributes:
        pose: camera to world in the field's axes. float32 [4, 4]
        intrinsics: in pixels of this picture.
        height: of the picture, in pixels.
        width: likewise.
    """

    pose: Float[np.ndarray, "4 4"]
    intrinsics: Intrinsics
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Counts:
    """What a picture cost.

    Attributes:
        evaluated: samples put through the networks, padding included.
        used: samples composited, with those that the finer grid knows to be empty.
        cap: samples a ray could have; under the rule of the whole picture, what it came to.
        lengths: rays by the number of samples they could take, the last entry for 24 and more.
        stages: clock ticks of all threads by `STAGES`; zeros from a library that does not count.
    """

    evaluated: int
    used: int
    cap: int
    lengths: tuple[int, ...]
    stages: tuple[int, ...]


class Sums(NamedTuple):
    """What rays collected, in the order of the pixels asked for.

    Attributes:
        rgb: colour before the background. float32 [n, 3]
        weight: accumulated weight. float32 [n]
        samples: samples composited. uint8 [n]
        counts: of the whole call.
    """

    rgb: Float[np.ndarray, "n 3"]
    weight: Float[np.ndarray, "n"]
    samples: UInt8[np.ndarray, "n"]
    counts: Counts


class _Job(ctypes.Structure):
    """Twin of `Job` in native/painter.hpp."""

    _fields_ = [
        ("pose", ctypes.c_float * 16),
        *[(name, ctypes.c_float) for name in ("fx", "fy", "cx", "cy")],
        ("height", ctypes.c_int32),
        ("width", ctypes.c_int32),
        *[(name, ctypes.c_void_p) for name in ("audio", "eye", "pixels")],
        ("n_pixels", ctypes.c_int64),
        ("cap", ctypes.c_int32),
        ("threads", ctypes.c_int32),
        *[(name, ctypes.c_void_p) for name in (
            "background", "original", "mask", "picture", "rgb", "weight", "samples")],
        *[(name, ctypes.c_int64) for name in ("listed", "evaluated", "used")],
        ("cap_used", ctypes.c_int32),
        ("lengths", ctypes.c_int64 * N_LENGTHS),
        ("stages", ctypes.c_int64 * len(STAGES)),
    ]  # fmt: skip


class HeadKernel:
    """The library of one instruction set.

    Args:
        path: the library.
        isa: what it was built for; named in logs.

    Raises:
        OSError: it cannot be loaded, is another version, or its instructions are not allowed here.
    """

    def __init__(self, path: Path, isa: str) -> None:
        library = ctypes.CDLL(str(path))
        if library.avatar_abi() != ABI:
            raise OSError(f"{path} has interface {library.avatar_abi()}; expected {ABI}")
        if library.avatar_prepare() != 0:
            raise OSError(f"the operating system does not give out {isa}")
        library.avatar_peak.argtypes = [ctypes.c_int64]
        library.avatar_peak.restype = ctypes.c_int64
        library.avatar_head_create.argtypes = [ctypes.POINTER(HeadSource)]
        library.avatar_head_create.restype = ctypes.c_void_p
        library.avatar_head_destroy.argtypes = [ctypes.c_void_p]
        library.avatar_head_destroy.restype = None
        library.avatar_head_render.argtypes = [ctypes.c_void_p, ctypes.POINTER(_Job)]
        library.avatar_head_opacities.argtypes = [
            *(ctypes.c_void_p,) * 4, ctypes.c_int64, ctypes.c_void_p,
        ]  # fmt: skip
        self.library: Final = library
        self.isa: Final = isa

    def multiply_adds(self, rounds: int) -> int:
        """Let one thread multiply and add from registers; returns how many of both it did."""
        return int(self.library.avatar_peak(rounds))

    def pack(self, head: HeadWeights, finer: FinerGrid | None = None) -> "PackedHead":
        """Lay a character out for drawing: 10 MB, 0.1 s.

        Args:
            head: the character.
            finer: which samples need not be evaluated, 2 MB more; None: all are.

        Raises:
            UnsupportedCharacterError: tensors have sizes or values that this kernel cannot draw.
            FinerGridError: the finer grid was made for another head.
        """
        return PackedHead(self.library, head, finer)


class PackedHead:
    """A character in the kernel's memory; any number of threads may draw it at once."""

    def __init__(self, library: Any, head: HeadWeights, finer: FinerGrid | None = None) -> None:
        self._library = library
        self.n_eye: Final = head.n_eye
        source, kept = head_source(head, finer)
        handle = library.avatar_head_create(ctypes.byref(source))
        del kept  # the library has its own copy now
        if not handle:
            raise MemoryError("no memory for the packed head")
        self._handle = handle
        weakref.finalize(self, library.avatar_head_destroy, handle)

    def paint(
        self,
        camera: Camera,
        enc_a: Float[np.ndarray, "32"],
        eye: Float[np.ndarray, "n_eye"],
        *,
        background: UInt8[np.ndarray, "H W 3"],
        original: UInt8[np.ndarray, "H W 3"] | None = None,
        mask: UInt8[np.ndarray, "H W"] | None = None,
        out: UInt8[np.ndarray, "H W 3"],
        pixels: Int[np.ndarray, "n"] | None = None,
        cap: int | None = None,
        threads: int = 2,
    ) -> Counts:
        """Draw a finished picture: over the background, and into the original if there is one.

        Args:
            camera: where from.
            enc_a: what is said.
            eye: brows and blinks.
            background: what shows behind the head.
            original: portrait: what shows where the mask is 0.
            mask: portrait: share of the drawn head, 255 = all.
            out: receives the picture; may not overlap the others.
            pixels: those to draw (int32, see `order_pixels`); the rest shows background or
                original. None for all, in a portrait for those of the mask.
            cap: samples a ray may have; None for the rule of the whole picture, for which
                `pixels` must hold every pixel whose ray meets anything.
            threads: how many draw.

        Raises:
            ValueError: an array has another shape, type or layout than it must have.
        """
        shape = (camera.height, camera.width, 3)
        if (original is None) != (mask is None):
            raise ValueError("original and mask come together")
        if original is not None and mask is not None:
            _check("original", original, np.uint8, shape)
            _check("mask", mask, np.uint8, shape[:2])
        _check("background", background, np.uint8, shape)
        _check("out", out, np.uint8, shape)
        if not out.flags.writeable:
            raise ValueError("out is read-only")
        if pixels is None:
            pixels = order_pixels(camera.height, camera.width, None if cap is None else mask)
        job = self._job(camera, enc_a, eye, pixels, cap, threads)
        job.background, job.picture = background.ctypes.data, out.ctypes.data
        if original is not None and mask is not None:
            job.original, job.mask = original.ctypes.data, mask.ctypes.data
        return self._run(job)

    def sums(
        self,
        camera: Camera,
        enc_a: Float[np.ndarray, "32"],
        eye: Float[np.ndarray, "n_eye"],
        *,
        pixels: Int[np.ndarray, "n"],
        cap: int | None = None,
        threads: int = 2,
    ) -> Sums:
        """What the rays of some pixels collect, without background; arguments as in `paint`."""
        job = self._job(camera, enc_a, eye, pixels, cap, threads)
        n = len(pixels)
        rgb, weight = np.zeros((n, 3), np.float32), np.zeros(n, np.float32)
        samples = np.zeros(n, np.uint8)
        job.rgb, job.weight, job.samples = (a.ctypes.data for a in (rgb, weight, samples))
        return Sums(rgb, weight, samples, self._run(job))

    def opacities(
        self,
        points: Float[np.ndarray, "n 3"],
        enc_a: Float[np.ndarray, "32"],
        eye: Float[np.ndarray, "n_eye"],
    ) -> Float[np.ndarray, "n"]:
        """Opacity of one step at any points of the cube [−1, 1]³, in [0, 1]; one thread.

        Raises:
            ValueError: an array has another shape, type or layout than it must have.
        """
        _check("points", points, np.float32, (len(points), 3))
        self._check_moment(enc_a, eye)
        opacities = np.empty(len(points), np.float32)
        inputs = (array.ctypes.data for array in (enc_a, eye, points))
        if self._library.avatar_head_opacities(
            self._handle, *inputs, len(points), opacities.ctypes.data
        ):
            raise MemoryError("no memory to evaluate points with")
        return opacities

    def _job(
        self,
        camera: Camera,
        enc_a: Float[np.ndarray, "32"],
        eye: Float[np.ndarray, "n_eye"],
        pixels: Int[np.ndarray, "n"],
        cap: int | None,
        threads: int,
    ) -> _Job:
        n_pixels = camera.height * camera.width
        if not 0 < n_pixels <= MAX_PIXELS or min(camera.height, camera.width) < 1:
            raise ValueError(
                f"picture of {camera.width} × {camera.height}; up to {MAX_PIXELS} pixels"
            )
        if cap is not None and not 1 <= cap <= MAX_CAP:
            raise ValueError(f"cap is {cap}; expected 1 … {MAX_CAP}")
        if not 1 <= threads <= MAX_THREADS:
            raise ValueError(f"threads is {threads}; expected 1 … {MAX_THREADS}")
        self._check_moment(enc_a, eye)
        _check("pose", camera.pose, np.float32, (4, 4))
        _check_finite("pose", camera.pose)
        _check("pixels", pixels, np.int32, (len(pixels),))
        if len(pixels) and not (pixels.min() >= 0 and pixels.max() < n_pixels):
            raise ValueError(f"pixels holds numbers outside 0 … {n_pixels - 1}")
        job = _Job(
            (ctypes.c_float * 16)(*camera.pose.reshape(-1).tolist()),
            *camera.intrinsics,
            height=camera.height,
            width=camera.width,
        )
        job.audio, job.eye, job.pixels = enc_a.ctypes.data, eye.ctypes.data, pixels.ctypes.data
        job.n_pixels, job.cap, job.threads = len(pixels), cap or 0, threads
        # Addresses keep nothing alive: the arrays travel with the job.
        job.kept = (enc_a, eye, pixels)
        return job

    def _check_moment(
        self, enc_a: Float[np.ndarray, "32"], eye: Float[np.ndarray, "n_eye"]
    ) -> None:
        _check("enc_a", enc_a, np.float32, (AUDIO_DIM,))
        _check("eye", eye, np.float32, (self.n_eye,))
        _check_finite("enc_a", enc_a)
        _check_finite("eye", eye)

    def _run(self, job: _Job) -> Counts:
        if self._library.avatar_head_render(self._handle, ctypes.byref(job)) != 0:
            raise MemoryError("no memory or no thread to draw with")
        return Counts(job.evaluated, job.used, job.cap_used, tuple(job.lengths), tuple(job.stages))


def load_kernel(isa: str | None = None) -> HeadKernel | None:
    """The fastest kernel that works here; None: use the PyTorch twin.

    Compiles it if that was not done before (4 s with g++). What was chosen is logged.

    Args:
        isa: one of `ISA_NAMES` to insist on it, `none` for no kernel, None for the environment's
            `AVATAR_CPU_ISA` or else the best there is.

    Raises:
        ValueError: there is no instruction set of that name.
        KernelBuildError: the one that was insisted on cannot be compiled.
        OSError: or not be used here.
    """
    wanted = isa or os.environ.get("AVATAR_CPU_ISA") or "auto"
    if wanted == "none":
        return None
    if wanted != "auto":
        chosen = isa_named(wanted)
        if chosen not in available_isas():
            raise OSError(f"this processor has no {wanted}")
        return _open(chosen)
    for candidate in available_isas():
        try:
            kernel = _open(candidate)
        except (KernelBuildError, OSError) as error:
            log.warning("no head kernel for %s: %s", candidate.name, error)
            continue
        log.info("head kernel: %s", candidate.name)
        return kernel
    log.info("no head kernel for this machine (there are %s)", ", ".join(ISA_NAMES))
    return None


def _open(isa: Isa) -> HeadKernel:
    return HeadKernel(build(isa), isa.name)


def _check(name: str, array: np.ndarray, dtype: Any, shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(
            f"{name} is {array.dtype} {array.shape}; expected {np.dtype(dtype)} {shape}"
        )
    if not array.flags.c_contiguous:
        raise ValueError(f"{name} is not contiguous")


def _check_finite(name: str, values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds values that are not finite")
