"""Chooses what draws the head: the compiled kernel, Triton on a GPU, or PyTorch on either."""

import logging
import os
from collections.abc import Sequence
from functools import cache
from typing import Final
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from avatar_worker.render.errors import UnsupportedCharacterError
from avatar_worker.render.finer_grid import FinerGrid
from avatar_worker.render.head import HeadWeights
from avatar_worker.render.kernels import Camera, Counts, HeadKernel, load_kernel, order_pixels
from avatar_worker.render.kernels import triton as triton_kernels
from avatar_worker.render.renderer import HeadPainter, Precision
from avatar_worker.render.scene import Frame, Scene
from avatar_worker.render.twin import TorchPainter

DTYPES: Final = {
    "auto": torch.float32,
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}

log = logging.getLogger(__name__)


class KernelPainter:
    """Draws with the compiled kernel of this processor.

    Args:
        head: the character.
        kernel: the loaded library.
        threads: that draw one picture together.
        finer: which samples need not be evaluated; None: all are.
    """

    max_batch = 1
    """A picture takes all cores, so two in one call would only make the first wait."""

    def __init__(
        self,
        head: HeadWeights,
        kernel: HeadKernel,
        threads: int,
        finer: FinerGrid | None = None,
    ) -> None:
        self._packed = kernel.pack(head, finer)
        self._threads = threads
        self._orders: WeakKeyDictionary[Scene, Int[np.ndarray, n]] = WeakKeyDictionary()

    @property
    def n_eye(self) -> int:
        """Length of the eye vector."""
        return self._packed.n_eye

    def pictures(
        self, frames: Sequence[Frame], *, portrait: bool, cap: int | None
    ) -> list[UInt8[np.ndarray, "H W 3"]]:
        """See `renderer.HeadPainter`."""
        return [self.draw(*frame, portrait=portrait, cap=cap)[0] for frame in frames]

    def draw(
        self,
        scene: Scene,
        enc_a: Float[np.ndarray, "32"],
        eye: Float[np.ndarray, "n_eye"],
        *,
        portrait: bool,
        cap: int | None,
    ) -> tuple[UInt8[np.ndarray, "H W 3"], Counts]:
        """The picture, and what it cost."""
        background = scene.background_levels
        out = np.empty_like(background)
        counts = self._packed.paint(
            camera_of(scene),
            enc_a,
            eye,
            background=background,
            original=scene.original if portrait else None,
            mask=scene.mask if portrait else None,
            out=out,
            pixels=self._order(scene) if portrait and cap is not None else None,
            cap=cap,
            threads=self._threads,
        )
        return out, counts

    def layer(
        self, scene: Scene, enc_a: Float[np.ndarray, "32"], eye: Float[np.ndarray, "n_eye"]
    ) -> Float[np.ndarray, "H W 4"]:
        """See `renderer.HeadPainter`."""
        height, width = scene.background.shape[:2]
        pixels = order_pixels(height, width)
        sums = self._packed.sums(camera_of(scene), enc_a, eye, pixels=pixels, threads=self._threads)
        layer = np.empty((height * width, 4), np.float32)
        layer[pixels, :3], layer[pixels, 3] = sums.rgb, sums.weight
        return layer.reshape(height, width, 4)

    def warm(self, scene: Scene) -> None:
        """Find out beforehand what is found out once for every scene."""
        if scene.mask is not None:
            self._order(scene)

    def _order(self, scene: Scene) -> Int[np.ndarray, "n"]:
        """Pixels of the mask in drawing order; found once per scene."""
        if scene not in self._orders:
            height, width = scene.background.shape[:2]
            self._orders[scene] = order_pixels(height, width, scene.mask)
        return self._orders[scene]


def camera_of(scene: Scene) -> Camera:
    """A scene's camera as the kernel takes it."""
    height, width = scene.background.shape[:2]
    return Camera(np.ascontiguousarray(scene.pose, np.float32), scene.intrinsics, height, width)


@cache
def kernel() -> HeadKernel | None:
    """The kernel of this processor, loaded once."""
    return load_kernel()


def choose_device(device: str) -> torch.device:
    """`auto` is the first GPU where there is one, else the CPU.

    Raises:
        UnsupportedCharacterError: another device than these, or CUDA is asked for and absent.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.split(":")[0] not in ("cpu", "cuda"):
        raise UnsupportedCharacterError(f"device {device!r} is not known: auto, cpu or cuda")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UnsupportedCharacterError("device cuda is asked for, but torch sees no GPU")
    return torch.device(device)


def choose_painter(
    head: HeadWeights,
    *,
    device: str = "auto",
    precision: Precision = "auto",
    threads: int | None = None,
    finer: FinerGrid | None = None,
) -> HeadPainter:
    """The painter for a head on this machine; what was chosen is logged.

    Args:
        head: the character.
        device: `auto`, `cpu` or `cuda`.
        precision: `fp32` is always the exact twin. On a GPU `auto` is float16 in Triton where that
            can draw (`kernels.triton.draws_on`), else PyTorch draws.
        threads: for the compiled kernel; None for all cores.
        finer: for the compiled kernel: which samples need not be evaluated.
    """
    where = choose_device(device)
    compiled = kernel() if where.type == "cpu" and precision in ("auto", "bf16") else None
    if compiled is not None:
        n_threads = threads or len(os.sched_getaffinity(0))
        log.info("head drawn by the kernel for %s, %d threads", compiled.isa, n_threads)
        return KernelPainter(head, compiled, n_threads, finer)
    if precision != "fp32" and triton_kernels.draws_on(where):
        from avatar_worker.render.kernels.triton.painter import TritonPainter  # imports Triton

        dtype = torch.float16 if precision == "auto" else DTYPES[precision]
        log.info("head drawn by Triton on %s in %s", where, dtype)
        return TritonPainter(head, where, dtype)
    log.info("head drawn by PyTorch on %s in %s", where, DTYPES[precision])
    return TorchPainter(head, where, DTYPES[precision])
