"""The audio-visual encoder: a mel window of 80 × 16 → 512 numbers, none negative.

Thirteen blocks of convolution, normalisation, optional residual and ReLU. The normalisation is
folded into the convolution when the tensors are loaded. Windows are encoded one at a time, so
that a feature never depends on which others were computed beside it.

A file may also hold a network that reads features in context; see `context`.
"""

from collections.abc import Callable, Mapping
from threading import Lock
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d

from avatar_worker.audio.context import FEATURE_DIM, Context, context_tensors, has_context
from avatar_worker.audio.errors import EncoderError
from avatar_worker.audio.mel import N_BANDS
from avatar_worker.audio.threads import one_thread
from avatar_worker.audio.window import WINDOW_COLUMNS

NORM_EPSILON: Final = 1e-5
FLOATS: Final = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


class Block(NamedTuple):
    """Shape of one block: channels, square kernel, stride (bands, time), padding."""

    n_in: int
    n_out: int
    kernel: int
    stride: tuple[int, int]
    padding: int
    is_residual: bool


BLOCKS: Final = (
    Block(1, 32, 3, (1, 1), 1, is_residual=False),
    Block(32, 32, 3, (1, 1), 1, is_residual=True),
    Block(32, 32, 3, (1, 1), 1, is_residual=True),
    Block(32, 64, 3, (3, 1), 1, is_residual=False),
    Block(64, 64, 3, (1, 1), 1, is_residual=True),
    Block(64, 64, 3, (1, 1), 1, is_residual=True),
    Block(64, 128, 3, (3, 3), 1, is_residual=False),
    Block(128, 128, 3, (1, 1), 1, is_residual=True),
    Block(128, 128, 3, (1, 1), 1, is_residual=True),
    Block(128, 256, 3, (3, 2), 1, is_residual=False),
    Block(256, 256, 3, (1, 1), 1, is_residual=True),
    Block(256, 512, 3, (1, 1), 0, is_residual=False),
    Block(512, 512, 1, (1, 1), 0, is_residual=False),
)


class AveEncoder:
    """Encodes mel windows; safe to share between sessions and threads.

    Args:
        state: tensors under the names of an audio-visual encoder file, any float type.
        device: where to encode, None for the CPU. On a GPU a feature differs in its last bits.

    Attributes:
        tensors: what it is made of, under the names of an audio-visual encoder file.
        context: what the features are then read with; None for files without it.

    Raises:
        EncoderError: a tensor is missing, misshapen or not finite.
    """

    def __init__(self, state: Mapping[str, Tensor], device: torch.device | None = None) -> None:
        check_encoder(state)
        device = device or torch.device("cpu")
        kept = expected_tensors(context=has_context(state))
        self.tensors: Final = {key: state[key] for key in kept}
        self.context: Final = Context(state) if has_context(state) else None
        folded = [_fold(state, index) for index in range(len(BLOCKS))]
        self._weights = [weight.to(device).contiguous(memory_format=torch.channels_last)
                         for weight, _ in folded]  # fmt: skip
        self._biases = [bias.to(device) for _, bias in folded]
        if not all(bool(torch.isfinite(tensor).all()) for pair in folded for tensor in pair):
            raise EncoderError("audio encoder: its normalisation gives values that are not finite")
        self._replay = _Replay(self._run, device) if device.type == "cuda" else None

    def on(self, device: torch.device) -> "AveEncoder":
        """The same encoder on another device."""
        return AveEncoder(self.tensors, device)

    def hears_like(self, other: "AveEncoder") -> bool:
        """Whether both are made of the same numbers."""
        mine, theirs = self.tensors, other.tensors
        return mine.keys() == theirs.keys() and all(
            torch.equal(tensor.float(), theirs[key].float()) for key, tensor in mine.items()
        )

    @torch.inference_mode()
    def encode(self, window: Float[np.ndarray, "16 80"]) -> Float[Tensor, "512"]:
        """One mel window, time first, float32 or rounded to it here. The result is on the CPU."""
        mel = torch.from_numpy(np.ascontiguousarray(window.T, dtype=np.float32))
        if self._replay is not None:
            return self._replay(mel)
        with one_thread():
            return self._run(mel)

    def _run(self, mel: Float[Tensor, "80 16"]) -> Float[Tensor, "512"]:
        hidden = mel[None, None]  # [1, 1, 80, 16]
        for block, weight, bias in zip(BLOCKS, self._weights, self._biases, strict=True):
            out = conv2d(hidden, weight, bias, stride=block.stride, padding=block.padding)
            if block.is_residual:
                out = out + hidden
            hidden = torch.relu(out)
        return hidden.reshape(FEATURE_DIM)


class _Replay:
    """One window after the other through a CUDA graph: 13 layers of microseconds each would
    otherwise spend their time being launched."""

    def __init__(
        self, run: Callable[[Float[Tensor, "80 16"]], Float[Tensor, "512"]], device: torch.device
    ) -> None:
        self._lock = Lock()
        self._graph = torch.cuda.CUDAGraph()
        # A stream of its own: sound need not wait for pictures.
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch's
        exact = torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        )
        with torch.inference_mode(), torch.cuda.device(device), exact:
            self._mel = torch.zeros(N_BANDS, WINDOW_COLUMNS, device=device)
            torch.cuda.current_stream().synchronize()
            with torch.cuda.stream(self._stream):
                run(self._mel)  # libraries are loaded and set up outside the graph
            self._stream.synchronize()
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self._feature = run(self._mel)

    def __call__(self, mel: Float[Tensor, "80 16"]) -> Float[Tensor, "512"]:
        with self._lock, torch.cuda.stream(self._stream):
            self._mel.copy_(mel)
            self._graph.replay()
            return self._feature.cpu()


def expected_tensors(*, context: bool = False) -> dict[str, tuple[int, ...]]:
    """Name → shape of every tensor that encoding needs; with those of a context or without."""
    shapes: dict[str, tuple[int, ...]] = {}
    for index, block in enumerate(BLOCKS):
        prefix = f"{index}.conv_block"
        shapes[f"{prefix}.0.weight"] = (block.n_out, block.n_in, block.kernel, block.kernel)
        for name in ("0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"):
            shapes[f"{prefix}.{name}"] = (block.n_out,)
    return shapes | context_tensors() if context else shapes


def check_encoder(state: Mapping[str, Tensor]) -> None:
    """Refuse tensors that are not those of an audio-visual encoder."""
    for key, shape in expected_tensors(context=has_context(state)).items():
        if key not in state:
            raise EncoderError(f"audio encoder: tensor {key} is missing")
        tensor = state[key]
        if tuple(tensor.shape) != shape or tensor.dtype not in FLOATS:
            raise EncoderError(
                f"audio encoder: {key} is {tensor.dtype} {tuple(tensor.shape)}; "
                f"expected floats {shape}"
            )
        if not bool(torch.isfinite(tensor).all()):
            raise EncoderError(f"audio encoder: {key} holds values that are not finite numbers")


def _fold(state: Mapping[str, Tensor], index: int) -> tuple[Tensor, Tensor]:
    """Convolution and normalisation with fixed statistics as one convolution."""
    prefix = f"{index}.conv_block"
    convolution, norm = f"{prefix}.0", f"{prefix}.1"
    variance = state[f"{norm}.running_var"].double()
    gain = state[f"{norm}.weight"].double() / torch.sqrt(variance + NORM_EPSILON)
    weight = state[f"{convolution}.weight"].double() * gain[:, None, None, None]
    centred = state[f"{convolution}.bias"].double() - state[f"{norm}.running_mean"].double()
    bias = centred * gain + state[f"{norm}.bias"].double()
    return weight.float(), bias.float()
