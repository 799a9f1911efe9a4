"""Draws heads with the Triton kernels; several frames of one head in the same launches.

March, then per stage one launch that adds and lists (`composite.py`) and one that evaluates
(`network.py`): 12 launches up to the sixteenth sample of every ray, whatever the number of frames.
There the rule of the whole picture is applied on the host, which needs 24 numbers a frame; the
rest, where there is one, is 5 launches more. Shapes depend on the number of frames, the number of
rays and the cap only, so that either part is replayed as a CUDA graph from the second time on.
"""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from threading import Lock
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from avatar_worker.render.head import HeadWeights
from avatar_worker.render.kernels.triton.composite import STAGES, Frames, advance
from avatar_worker.render.kernels.triton.march import march, pack_bits
from avatar_worker.render.kernels.triton.network import TritonField
from avatar_worker.render.march import MAX_SAMPLES, OFFERED_SAMPLES, Sums, next_round
from avatar_worker.render.rays import MISS
from avatar_worker.render.scene import Scene
from avatar_worker.render.twin import TorchPainter

RAYS_MULTIPLE: Final = 1024
"""Numbers of rays are rounded up to this: masks differ a little from scene to scene, and graphs
are captured for a few numbers only."""

MAX_LAYOUTS: Final = 4
"""Sets of buffers kept; one of 512 × 512 rays takes about 100 MB a frame."""

log = logging.getLogger(__name__)


class Frame(NamedTuple):
    """One picture wanted; see `renderer.HeadPainter.picture`."""

    scene: Scene
    enc_a: Float[np.ndarray, "32"]
    eye: Float[np.ndarray, "n_eye"]


class Layout(NamedTuple):
    """What fixes the shapes of all launches."""

    n_frames: int
    n_rays: int
    cap: int | None
    norms: bool


class TritonPainter(TorchPainter):
    """Draws heads on a GPU, or on the CPU under Triton's interpreter.

    Args:
        head: the character's tensors.
        device: `cuda`; `cpu` for tests.
        dtype: of the small networks; everything around them is float32.

    Raises:
        UnsupportedCharacterError: see `twin.TorchPainter` and `network.TritonField`.
    """

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

    def picture(
        self,
        scene: Scene,
        enc_a: Float[np.ndarray, "32"],
        eye: Float[np.ndarray, "n_eye"],
        *,
        portrait: bool,
        cap: int | None,
    ) -> UInt8[np.ndarray, "H W 3"]:
        """See `renderer.HeadPainter`."""
        return self.pictures([Frame(scene, enc_a, eye)], portrait=portrait, cap=cap)[0]

    @torch.inference_mode()
    def pictures(
        self, frames: Sequence[Frame], *, portrait: bool, cap: int | None
    ) -> list[UInt8[np.ndarray, "H W 3"]]:
        """Finished pictures of several frames, drawn together; sizes may differ."""
        wanted = [self.drawn_pixels(frame.scene, portrait=portrait, cap=cap) for frame in frames]
        sums = self._sums(frames, wanted, cap, norms=False)
        return [
            self.finish(frame.scene, part, portrait=portrait, cap=cap)
            for frame, part in zip(frames, sums, strict=True)
        ]

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
        return self._sums([Frame(scene, enc_a, eye)], [pixels], cap, norms=True)[0]

    def _sums(
        self,
        frames: Sequence[Frame],
        pixels: Sequence[Int[np.ndarray, "n"] | None],
        cap: int | None,
        *,
        norms: bool,
    ) -> list[Sums]:
        if cap is None and any(part is not None for part in pixels):
            raise ValueError("the rule of the whole picture needs all pixels: give a cap")
        cap = cap if cap is None else min(cap, MAX_SAMPLES)
        rays = [self.rays(f.scene, part) for f, part in zip(frames, pixels, strict=True)]
        n = -(-max([1, *(len(part.near) for part in rays)]) // RAYS_MULTIPLE) * RAYS_MULTIPLE
        audio = torch.from_numpy(np.stack([f.enc_a for f in frames])).to(self._device)
        eye = torch.from_numpy(np.stack([f.eye for f in frames])).to(self._device)
        on_device = torch.cuda.device_of(self._bits)  # type: ignore[no-untyped-call]  # torch's
        with self._lock, on_device:  # Triton launches on the current GPU
            stages = self._layout(Layout(len(frames), n, cap, norms))
            buffers = stages.frames
            buffers.near.fill_(MISS)
            buffers.far.fill_(MISS)
            for number, part in enumerate(rays):
                buffers.origins[number] = part.origin
                buffers.directions[number, : len(part.near)] = part.directions
                buffers.near[number, : len(part.near)] = part.near
                buffers.far[number, : len(part.near)] = part.far
            buffers.said.copy_(self._kernel.merged(audio, eye))
            rounds = stages.draw([len(part.near) for part in rays])
            return [
                _sums_of(buffers, number, len(part.near), rounds[number])
                for number, part in enumerate(rays)
            ]

    def _layout(self, layout: Layout) -> "_Stages":
        if layout not in self._stages:
            buffers = Frames.empty(
                layout.n_frames, layout.n_rays, self._device, self._dtype, norms=layout.norms
            )
            self._stages[layout] = _Stages(buffers, self._kernel, self._bits, layout.cap)
        self._stages.move_to_end(layout)
        while len(self._stages) > MAX_LAYOUTS:
            self._stages.popitem(last=False)
        return self._stages[layout]


def _sums_of(buffers: Frames, number: int, n: int, rounds: list[tuple[int, int]]) -> Sums:
    """A copy of what was summed for the first n rays of a frame."""
    red, green, blue, *others = buffers.sums[number, :, :n].clone()
    weight, depth, audio_norm, eye_norm = others
    rgb = torch.stack((red, green, blue), dim=1)
    count = buffers.count[number, :n].long()
    return Sums(weight, rgb, depth, count, audio_norm, eye_norm, rounds)


class _Stages:
    """The launches of one layout: those up to the rule or the cap, and those after the rule.

    Args:
        frames: buffers; rays and `said` are filled by the caller.
        field: evaluates samples.
        bits: occupancy.
        cap: see `march.next_round`.
    """

    def __init__(
        self, frames: Frames, field: TritonField, bits: torch.Tensor, cap: int | None
    ) -> None:
        self.frames = frames
        self._field = field
        self._bits = bits
        self._cap = cap
        until = OFFERED_SAMPLES if cap is None else cap
        self._first = _Part((*(edge for edge in STAGES if edge < until), until))
        self._rest = _Part(tuple(edge for edge in STAGES if edge >= OFFERED_SAMPLES))

    def draw(self, n_rays: list[int]) -> list[list[tuple[int, int]]]:
        """Sum all rays of all frames; returns the rounds of each (see `march.Sums`)."""
        self.frames.limit.fill_(self._first.edges[-1])
        self._run(self._first)
        alive = self.frames.alive.tolist()
        rounds = [
            _rounds([n, *counts[1:]], n, self._cap) for n, counts in zip(n_rays, alive, strict=True)
        ]
        offered = [sum(n_step for _, n_step in part) for part in rounds]
        if self._cap is None and max(offered) > OFFERED_SAMPLES:
            self.frames.limit.copy_(torch.tensor(offered, dtype=torch.int32))
            self._run(self._rest)
        return rounds

    def _run(self, part: "_Part") -> None:
        """Launch a part; once plainly, which compiles it, and then from a graph on a GPU."""
        if part.graph is not None:
            part.graph.replay()
            return
        if part.may_capture and self.frames.near.device.type == "cuda":
            part.may_capture = False
            try:
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                    self._launch(part.edges)
            except RuntimeError as error:
                log.warning("no CUDA graph for %d rays: %s", self.frames.near.numel(), error)
            else:
                part.graph = graph
                graph.replay()
                return
        self._launch(part.edges)
        part.may_capture = not part.was_run
        part.was_run = True

    def _launch(self, edges: tuple[int, ...]) -> None:
        frames = self.frames
        if edges[0] == 0:
            frames.begin()
            march(
                frames.origins, frames.directions, frames.near, frames.far, self._bits,
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
        if edges[0] == 0:
            frames.count_alive()


class _Part:
    """Stages that are launched one after the other, and their graph once there is one."""

    def __init__(self, edges: tuple[int, ...]) -> None:
        self.edges = edges
        self.graph: torch.cuda.CUDAGraph | None = None
        self.was_run = False
        self.may_capture = False


def _rounds(alive: list[int], n_rays: int, cap: int | None) -> list[tuple[int, int]]:
    """Rounds of a frame, from the rays alive after 0 … 23 samples were offered."""
    rounds: list[tuple[int, int]] = []
    offered = 0
    while n_step := next_round(offered, alive[min(offered, MAX_SAMPLES)], n_rays, cap):
        rounds.append((alive[offered], n_step))
        offered += n_step
    return rounds
