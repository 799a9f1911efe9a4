"""The trained encoder against the one that runs live: same file, sound in small pieces."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avatar_worker.audio.encoder import AveEncoder
from avatar_worker.audio.mel import N_BANDS, MelStream
from avatar_worker.audio.window import WINDOW_COLUMNS, window_start
from avatar_worker.recipes.audio_encoder import mel
from avatar_worker.recipes.audio_encoder.readout import encoder_of

_PUSH_SAMPLES = 160


def live_difference(state: Mapping[str, Tensor], samples: NDArray[np.float32]) -> float:
    """Largest difference of any feature between the live path and this recipe's.

    The live path gets 10 ms at a time, in float64 mel and folded convolutions; the recipe computes
    the whole sound at once, in float32 and with its training network. Windows at the very end,
    which a file moves back, are left out.

    Args:
        state: An encoder file's tensors.
        samples: Speech `[n]` at 16 kHz.
    """
    encoder = AveEncoder(state)
    live = [encoder.encode(window).numpy() for window in _live_windows(samples)]
    columns = mel.network_scale(mel.log_magnitudes(samples))
    whole = np.stack([columns[s : s + WINDOW_COLUMNS].T for s in mel.window_starts(len(columns))])
    with torch.inference_mode():
        features = encoder_of(state)(torch.from_numpy(whole)[:, None]).flatten(1).numpy()
    return float(np.abs(np.stack(live) - features[: len(live)]).max())


def _live_windows(samples: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    stream, columns = MelStream(), np.zeros((0, N_BANDS))
    windows: list[NDArray[np.float64]] = []
    for first in range(0, len(samples), _PUSH_SAMPLES):
        pushed = stream.push(samples[first : first + _PUSH_SAMPLES])
        columns = np.concatenate([columns, pushed])
        while (start := window_start(len(windows))) + WINDOW_COLUMNS <= len(columns):
            windows.append(columns[start : start + WINDOW_COLUMNS])
    return windows
