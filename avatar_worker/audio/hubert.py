"""HuBERT features of sound that is still arriving: two rows of 20 ms for each frame.

HuBERT looks at all of a sound at once, in both directions; nothing of it is certain before the
end. So the sound is heard through windows of fixed places, by whole files and by the live path
alike, and both have the same features to the last bit:

    block k           200 ms: rows 10·k … 10·k + 9, frames 5·k … 5·k + 4
    heard with        1 s before it and 205 ms behind it, as far as the sound reaches
    normalised        each window by itself, to mean 0 and variance 1

A row needs its own 400 samples, 80 of them behind its 20 ms, hence the odd 5 ms. A frame's vector
is certain at most 525 ms after its first sample (`LOOK_AHEAD_SAMPLES`), and a second of sound
costs the model seven. Feature files are computed in pieces of 20 s instead, so they differ from
these features as far as distant sound changes them.

The model is the operator's file: ONNX, run by onnxruntime, or TorchScript, which may run code of
its own: as trustworthy as a program. It takes samples [1, n] at 16 kHz and gives its last hidden
state [1, ⌊(n − 80) / 320⌋, channels].
"""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from avatar_worker.audio.errors import EncoderError
from avatar_worker.audio.pooling import AudioNetworks
from avatar_worker.audio.window import MIN_SAMPLES

ROW_SAMPLES: Final = 320
ROW_TAIL_SAMPLES: Final = 80
FRAME_ROWS: Final = 2
BLOCK_ROWS: Final = 10
BLOCK_FRAMES: Final = BLOCK_ROWS // FRAME_ROWS
BLOCK_SAMPLES: Final = BLOCK_ROWS * ROW_SAMPLES
BEFORE_SAMPLES: Final = 16_000
BEHIND_SAMPLES: Final = 3_200 + ROW_TAIL_SAMPLES
LOOK_AHEAD_SAMPLES: Final = 8_400
"""The frame three behind a block's first needs that block: 3 frames, the block, and behind it."""
VARIANCE_FLOOR: Final = 1e-7
"""As in the model's own preprocessing; digital silence stays silence."""

_Model = Callable[[Float[np.ndarray, "1 n"]], Float[np.ndarray, "1 m channels"]]


class HubertEncoder:
    """A model file, ready to hear; stateless, safe to share between sessions and threads.

    Args:
        path: `.onnx`, or anything else for TorchScript.

    Raises:
        EncoderError: absent, unreadable, or a model of another kind.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise EncoderError(f"HuBERT model {path}: no such file")
        self._path = path
        self._model = _open_onnx(path) if path.suffix == ".onnx" else _open_torchscript(path)
        self.channels: Final = self.rows(
            np.zeros(BLOCK_SAMPLES + BEHIND_SAMPLES, np.float32)
        ).shape[1]

    def rows(self, samples: Float[np.ndarray, "n"]) -> Float[np.ndarray, "m channels"]:
        """The rows of a window. m = ⌊(n − 80) / 320⌋

        Raises:
            EncoderError: the model fails, or gives something else.
        """
        wide = samples.astype(np.float64)
        wide = (wide - wide.mean()) / np.sqrt(wide.var() + VARIANCE_FLOOR)
        try:
            rows = self._model(wide.astype(np.float32)[None])
        except Exception as error:  # whatever a model does
            raise EncoderError(f"HuBERT model {self._path} fails: {error}") from None
        expected = row_count(len(samples))
        if rows.ndim != 3 or len(rows) != 1 or rows.shape[1] < expected or rows.dtype != np.float32:
            raise EncoderError(
                f"HuBERT model {self._path} gives {rows.dtype} {rows.shape} for {len(samples)} "
                f"samples; expected float32 (1, {expected}, channels)"
            )
        if not np.isfinite(rows).all():
            raise EncoderError(
                f"HuBERT model {self._path} gives values that are not finite numbers"
            )
        return np.asarray(rows[0, :expected])

    def block(
        self, block: int, samples: Float[np.ndarray, "n"], first_sample: int
    ) -> list[Float[Tensor, "channels 2"]]:
        """The features of a block, fewer at the end of the sound.

        Args:
            block: its number.
            samples: of its whole window.
            first_sample: number of the first of them in the sound.
        """
        first_row = block * BLOCK_ROWS - first_sample // ROW_SAMPLES
        rows = self.rows(samples)[first_row : first_row + BLOCK_ROWS]
        n_frames = len(rows) // FRAME_ROWS
        pairs = rows[: n_frames * FRAME_ROWS].reshape(n_frames, FRAME_ROWS, self.channels)
        return list(torch.from_numpy(np.ascontiguousarray(pairs.transpose(0, 2, 1))))


@lru_cache(maxsize=1)
def load_hubert(path: Path) -> HubertEncoder:
    """The model of this file, loaded once for all characters: it is large.

    Raises:
        EncoderError: see `HubertEncoder`.
    """
    return HubertEncoder(path)


def fitting_hubert(path: Path, networks: AudioNetworks) -> HubertEncoder:
    """A HuBERT model that a head's networks can listen to.

    Raises:
        EncoderError: it is refused, or gives another number of channels.
    """
    encoder = load_hubert(path)
    if (expected := networks.feature_shape[0]) != encoder.channels:
        raise EncoderError(
            f"HuBERT model {path} gives {encoder.channels} channels; the head listens to {expected}"
        )
    return encoder


class HubertFeatures:
    """See `features.FeatureStream`."""

    silent_frames: Final = 30
    """More than a window's 1 s before its block, and a multiple of a block's frames."""

    def __init__(self, encoder: HubertEncoder) -> None:
        self._encoder = encoder
        self._samples = np.zeros(0, np.float32)  # from sample `_first_sample` on
        self._first_sample = 0
        self._n_blocks = 0

    def copy(self) -> Self:
        """State that goes on from here by itself; samples are never changed in place."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def push(self, samples: Float[np.ndarray, "n"]) -> Iterator[Tensor]:
        """Features that became certain with these samples."""
        self._samples = np.concatenate((self._samples, samples.astype(np.float32)))
        while window_of(self._n_blocks)[1] <= self._first_sample + len(self._samples):
            yield from self._next_block()

    def finish(self) -> Iterator[Tensor]:
        """Features up to the end of the sound."""
        n_samples = self._first_sample + len(self._samples)
        while self._n_blocks * BLOCK_FRAMES < frame_count(n_samples):
            yield from self._next_block()

    def _next_block(self) -> list[Tensor]:
        start, stop = (edge - self._first_sample for edge in window_of(self._n_blocks))
        features = self._encoder.block(
            self._n_blocks, self._samples[start:stop], self._first_sample + start
        )
        self._n_blocks += 1
        keep_from = window_of(self._n_blocks)[0]
        self._samples = self._samples[keep_from - self._first_sample :].copy()
        self._first_sample = keep_from
        return features


class HubertSound(Sequence[Tensor]):
    """Features of a whole sound, computed block by block when they are asked for."""

    def __init__(self, encoder: HubertEncoder, samples: Float[np.ndarray, "n"]) -> None:
        missing = max(0, MIN_SAMPLES - len(samples))
        self._encoder = encoder
        self._samples = np.concatenate((samples, np.zeros(missing, np.float32)))
        self._n_frames = frame_count(len(self._samples))
        self._block: tuple[int, list[Tensor]] = (-1, [])

    def __len__(self) -> int:
        return self._n_frames

    def __getitem__(self, feature: int) -> Tensor:  # type: ignore[override]  # no slices
        if not 0 <= feature < self._n_frames:
            raise IndexError(feature)
        block, place = divmod(feature, BLOCK_FRAMES)
        if self._block[0] != block:
            start, stop = window_of(block)
            self._block = block, self._encoder.block(block, self._samples[start:stop], start)
        return self._block[1][place]


def window_of(block: int) -> tuple[int, int]:
    """First sample that a block is heard with, and the one after the last, were the sound long
    enough."""
    start = block * BLOCK_SAMPLES
    return max(0, start - BEFORE_SAMPLES), start + BLOCK_SAMPLES + BEHIND_SAMPLES


def row_count(n_samples: int) -> int:
    """Rows of 20 ms in a sound."""
    return max(0, (n_samples - ROW_TAIL_SAMPLES) // ROW_SAMPLES)


def frame_count(n_samples: int) -> int:
    """Frames that a whole sound drives; an odd last row belongs to none."""
    return row_count(n_samples) // FRAME_ROWS


def _open_onnx(path: Path) -> _Model:
    try:
        import onnxruntime
    except ImportError:
        raise EncoderError(
            f"HuBERT model {path} needs onnxruntime, which is not installed: install it, or give "
            "a TorchScript file"
        ) from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    available = onnxruntime.get_available_providers()
    try:
        session = onnxruntime.InferenceSession(
            os.fspath(path), options, providers=[p for p in wanted if p in available]
        )
        (asked,) = session.get_inputs()
    except Exception as error:  # onnxruntime's errors have no common ancestor of their own
        raise EncoderError(
            f"{path} cannot be read as an ONNX model of one input: {error}"
        ) from None
    return lambda samples: np.asarray(session.run(None, {asked.name: samples})[0])


def _open_torchscript(path: Path) -> _Model:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        model = torch.jit.load(os.fspath(path), map_location=device).eval()  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise EncoderError(f"{path} cannot be read as TorchScript: {error}") from None

    @torch.inference_mode()
    def run(samples: Float[np.ndarray, "1 n"]) -> Float[np.ndarray, "1 m channels"]:
        return np.asarray(_hidden(model(torch.from_numpy(samples).to(device))).cpu().numpy())

    return run


def _hidden(given: Any) -> Tensor:
    """The last hidden state, however the model hands it over."""
    if isinstance(given, dict):
        given = given["last_hidden_state"]
    elif isinstance(given, tuple | list):
        given = given[0]
    if not isinstance(given, Tensor):
        raise TypeError(f"it gives a {type(given).__name__}; expected a tensor")
    return given
