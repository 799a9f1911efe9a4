"""Draws heads with the Triton kernels; several frames of one head in the same launches.

March, then per stage one launch that adds and lists (`composite.py`) and one that evaluates
(`network.py`), and one that finishes the pictures (`finish.py`): 14 launches up to the sixteenth
sample of every ray, whatever the number of frames. There the rule of the whole picture is applied
on the host, which needs 24 numbers a frame; the rest, where there is one, is 5 launches more. With
a cap nothing is asked in between. Shapes depend on the number of frames, the number of rays and
the cap only, so that every part is replayed as a CUDA graph from the second time on.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import pairwise
from threading import Lock
from typing import Final, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from avatar_worker.render.head import HeadWeights
from avatar_worker.render.kernels.triton.composite import STAGES, Frames, advance
from avatar_worker.render.kernels.triton.finish import NOWHERE, Canvas, finish
from avatar_worker.render.kernels.triton.march import in_rows, march, pack_bits
from avatar_worker.render.kernels.triton.network import TritonField
from avatar_worker.render.kernels.triton.placed import PlacedScene
from avatar_worker.render.march import MAX_SAMPLES, OFFERED_SAMPLES, Sums, next_round
from avatar_worker.render.rays import MISS
from avatar_worker.render.scene import Frame, Scene
from avatar_worker.render.twin import TorchPainter

RAYS_MULTIPLE: Final = 1024
"""Numbers of rays are rounded up to this."""

MAX_FRAMES: Final = 16
"""Frames drawn together, at most. Fewer are filled up to a power of two: graphs are captured for
a few numbers only."""

MAX_LAYOUTS: Final = 6
"""Sets of buffers kept: one for each power of two and one to spare. A ray takes 400 bytes."""

log = logging.getLogger(__name__)


class Layout(NamedTuple):
    """What fixes the shapes of all launches; `n_bytes` of a picture, 0 where none is finished."""

    n_frames: int
    n_rays: int
    n_bytes: int
    cap: int | None


class TritonPainter(TorchPainter):
    """Draws heads on a GPU, or on the CPU under Triton's interpreter.

    Args:
        head: the character's tensors.
        device: `cuda`; `cpu` for tests.
        dtype: of the small networks; everything around them is float32.

    Raises:
        UnsupportedCharacterError: see `twin.TorchPainter` and `network.TritonField`.
    """

    max_batch = MAX_FRAMES

    def __init__(
        self,
        head: HeadWeights,
        device: torch.device | str = "cuda",
        dtype: torch.dtype = torch.float16,
    ) -> None:
        super().__init__(head, device, dtype)
        self._kernel = TritonField(head, self._device, dtype)
        self._bits = pack_bits(head.density_bitfield, self._device)
        self._dtype = dtype
        self._lock = Lock()
        self._stages: OrderedDict[Layout, _Stages] = OrderedDict()
        self._most_rays: dict[int | None, int] = {}
        self._placed: WeakKeyDictionary[Scene, tuple[bool, bool, PlacedScene]] = WeakKeyDictionary()

    def pictures(
        self, frames: Sequence[Frame], *, portrait: bool, cap: int | None
    ) -> list[UInt8[np.ndarray, "H W 3"]]:
        """Finished pictures, drawn together; sizes may differ. See `renderer.HeadPainter`."""
        drawn: list[UInt8[np.ndarray, "H W 3"]] = []
        for first in range(0, len(frames), MAX_FRAMES):
            drawn += self._together(frames[first : first + MAX_FRAMES], portrait, cap)
        return drawn

    @torch.inference_mode()
    def sums(
        self,
        scene: Scene,
        enc_a: Float[np.ndarray, "32"],
        eye: Float[np.ndarray, "n_eye"],
        *,
        pixels: Int[np.ndarray, "n"] | None = None,
        cap: int | None = None,
    ) -> Sums:
        """Everything that is accumulated along the rays; see `twin.TorchPainter.sums`."""
        if cap is None and pixels is not None:
            raise ValueError("the rule of the whole picture needs all pixels: give a cap")
        rays = self.rays(scene, pixels)
        with self._lock, self._on_device():
            stages = self._layout(1, len(rays.near), 0, cap)
            self._fill(stages.frames, [Frame(scene, enc_a, eye)], [(rays.origin, in_rows(rays))])
            (rounds,) = stages.sum_up([len(rays.near)])
            return _sums_of(stages.frames, 0, len(rays.near), rounds)

    @torch.inference_mode()
    def _together(
        self, frames: Sequence[Frame], portrait: bool, cap: int | None
    ) -> list[UInt8[np.ndarray, "H W 3"]]:
        with self._lock, self._on_device():
            placed = [self._place(frame.scene, portrait=portrait, cap=cap) for frame in frames]
            stages = self._layout(
                1 << (len(frames) - 1).bit_length(),
                max(len(scene.pixels) for scene in placed),
                max(len(scene.picture) for scene in placed),
                cap,
            )
            self._fill(stages.frames, frames, [(scene.origin, scene.rays) for scene in placed])
            stages.canvas.pixels.fill_(NOWHERE)
            for number, scene in enumerate(placed):
                n = len(scene.pixels)
                stages.canvas.around[number, :, :n] = scene.around
                stages.canvas.pixels[number, :n] = scene.pixels
                stages.canvas.pictures[number, : len(scene.picture)] = scene.picture
            stages.draw([len(scene.pixels) for scene in placed])
            return stages.fetch([frame.scene.background.shape for frame in frames])

    def _fill(
        self, buffers: Frames, frames: Sequence[Frame], rays: Sequence[tuple[Tensor, Tensor]]
    ) -> None:
        """Rays (origin, and rows of `Frames.rays`) and what is said, of as many frames as given."""
        audio = torch.from_numpy(np.stack([f.enc_a for f in frames])).to(self._device)
        eye = torch.from_numpy(np.stack([f.eye for f in frames])).to(self._device)
        buffers.said[: len(frames)] = self._kernel.merged(audio, eye)
        buffers.rays[:, 3:].fill_(MISS)
        for number, (origin, rows) in enumerate(rays):
            buffers.origins[number] = origin
            buffers.rays[number, :, : rows.shape[1]] = rows

    def _place(self, scene: Scene, *, portrait: bool, cap: int | None) -> PlacedScene:
        """The scene on the device; kept there as long as somebody keeps the scene."""
        how = (portrait, cap is None)
        if scene not in self._placed or self._placed[scene][:2] != how:
            pixels = self.drawn_pixels(scene, portrait=portrait, cap=cap)
            placed = PlacedScene.of(scene, self.rays(scene, pixels), pixels, portrait=portrait)
            self._placed[scene] = (*how, placed)
        return self._placed[scene][2]

    def _layout(self, n_frames: int, n_rays: int, n_bytes: int, cap: int | None) -> "_Stages":
        """Buffers for so many rays or more: masks differ a little from scene to scene."""
        cap = cap if cap is None else min(cap, MAX_SAMPLES)
        n_rays = -(-max(1, n_rays) // RAYS_MULTIPLE) * RAYS_MULTIPLE
        if n_rays > self._most_rays.get(cap, 0):
            self._most_rays[cap] = n_rays
            for smaller in [layout for layout in self._stages if layout.cap == cap]:
                del self._stages[smaller]
        layout = Layout(n_frames, self._most_rays[cap], n_bytes, cap)
        if layout not in self._stages:
            self._stages[layout] = _Stages(layout, self._kernel, self._bits, self._dtype)
        self._stages.move_to_end(layout)
        while len(self._stages) > MAX_LAYOUTS:
            self._stages.popitem(last=False)
        return self._stages[layout]

    def _on_device(self) -> torch.cuda.device_of:
        """Triton launches on the current GPU."""
        return torch.cuda.device_of(self._bits)  # type: ignore[no-untyped-call]  # torch's


def _sums_of(buffers: Frames, number: int, n: int, rounds: list[tuple[int, int]]) -> Sums:
    """A copy of what was summed for the first n rays of a frame."""
    red, green, blue, *others = buffers.sums[number, :, :n].clone()
    weight, depth, audio_norm, eye_norm = others
    rgb = torch.stack((red, green, blue), dim=1)
    count = buffers.count[number, :n].long()
    return Sums(weight, rgb, depth, count, audio_norm, eye_norm, rounds)


class _Stages:
    """The launches of one layout: up to the rule or the cap, after the rule, and the finish.

    The caller fills `frames` with rays and `said`, and `canvas`. Norms of the attentions are
    summed only where no picture is finished: a tenth of the cost, and no picture shows them.

    Args:
        layout: shapes.
        field: evaluates samples.
        bits: occupancy.
        dtype: of the networks.
    """

    def __init__(
        self, layout: Layout, field: TritonField, bits: Tensor, dtype: torch.dtype
    ) -> None:
        n_frames, n_rays, n_bytes, cap = layout
        device = bits.device
        self.frames = Frames.empty(n_frames, n_rays, device, dtype, norms=n_bytes == 0)
        self.canvas = Canvas.empty(n_frames, n_rays if n_bytes else 0, n_bytes, device)
        self._fetched = torch.empty(
            n_frames, n_bytes, dtype=torch.uint8, pin_memory=device.type == "cuda"
        )
        self._field = field
        self._bits = bits
        self._cap = cap
        until = OFFERED_SAMPLES if cap is None else cap
        first = (*(edge for edge in STAGES if edge < until), until)
        rest = tuple(edge for edge in STAGES if edge >= OFFERED_SAMPLES)
        self._offered = first[-1]
        self._first = _Replayed(lambda: self._launch(first), device)
        self._rest = _Replayed(lambda: self._launch(rest), device)
        self._finish = _Replayed(lambda: finish(self.frames.sums, self.canvas), device)

    def draw(self, n_rays: Sequence[int]) -> None:
        """Sum all rays of all frames and draw them onto the canvas."""
        if self._cap is None:
            self.sum_up(n_rays)
        else:
            self.frames.limit.fill_(self._offered)
            self._first()
        self._finish()

    def fetch(self, shapes: Sequence[tuple[int, ...]]) -> list[UInt8[np.ndarray, "H W 3"]]:
        """The first pictures of the canvas, in memory of their own."""
        n = len(shapes)
        self._fetched[:n].copy_(self.canvas.pictures[:n], non_blocking=True)
        if self.canvas.pictures.is_cuda:
            torch.cuda.current_stream().synchronize()
        rows = self._fetched.numpy()
        return [
            row[: int(np.prod(shape))].reshape(shape).copy()
            for row, shape in zip(rows, shapes, strict=False)
        ]

    def sum_up(self, n_rays: Sequence[int]) -> list[list[tuple[int, int]]]:
        """Sum the rays of the first frames; returns the rounds of each (see `march.Sums`)."""
        self.frames.limit.fill_(self._offered)
        self._first()
        alive = self.frames.alive[: len(n_rays)].tolist()
        rounds = [
            _rounds([n, *counts[1:]], n, self._cap) for n, counts in zip(n_rays, alive, strict=True)
        ]
        offered = [sum(n_step for _, n_step in part) for part in rounds]
        if self._cap is None and max(offered) > OFFERED_SAMPLES:
            self.frames.limit[: len(offered)] = torch.tensor(offered, dtype=torch.int32)
            self._rest()
        return rounds

    def _launch(self, edges: tuple[int, ...]) -> None:
        frames = self.frames
        if edges[0] == 0:
            frames.begin()
            march(
                frames.origins, frames.rays, self._bits,
                t=frames.t, n_points=frames.n_points, last_t=frames.last_t,
            )  # fmt: skip
        before = edges[0]
        for first, last in pairwise(edges):
            n_samples = frames.n_samples[STAGES.index(first)]
            advance(frames, before, first, last, n_samples)
            self._field.evaluate(
                frames.samples, n_samples, frames.said, answers=frames.answers, norms=frames.norms
            )
            before = first
        advance(frames, before, edges[-1], edges[-1], frames.n_samples[0])
        if edges[0] == 0 and (self._cap is None or frames.norms is not None):
            frames.count_alive()


class _Replayed:
    """Launches that are always the same: the first time plain, which compiles them; on a GPU
    then from a CUDA graph, where one can be captured."""

    def __init__(self, launch: Callable[[], None], device: torch.device) -> None:
        self.graph: torch.cuda.CUDAGraph | None = None
        self._launch = launch
        self._may_capture = False
        self._is_first = device.type == "cuda"

    def __call__(self) -> None:
        if self.graph is None and self._may_capture:
            self._may_capture = False
            self._capture()
        if self.graph is not None:
            self.graph.replay()
            return
        self._launch()
        self._may_capture, self._is_first = self._is_first, False

    def _capture(self) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._launch()
        except RuntimeError as error:
            log.warning("no CUDA graph: %s", error)
        else:
            self.graph = graph


def _rounds(alive: list[int], n_rays: int, cap: int | None) -> list[tuple[int, int]]:
    """Rounds of a frame, from the rays alive after 0 … 23 samples were offered."""
    rounds: list[tuple[int, int]] = []
    offered = 0
    while n_step := next_round(offered, alive[min(offered, MAX_SAMPLES)], n_rays, cap):
        rounds.append((alive[offered], n_step))
        offered += n_step
    return rounds
