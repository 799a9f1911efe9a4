"""From an encoder's features to mouth parameters, with one matrix: how encoders are compared.

An encoder's own heads say how well it was trained. An encoder without heads, or two encoders side
by side, are given the same chance: a linear fit on the same windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avatar_worker.audio.window import WINDOW_COLUMNS
from avatar_worker.recipes.audio_encoder.augment import network_scale
from avatar_worker.recipes.audio_encoder.feature_step import Windows
from avatar_worker.recipes.audio_encoder.mouth import PARAMETERS
from avatar_worker.recipes.audio_encoder.network import Encoder, Heads

_MIDDLE = 1
_BATCH = 128


@dataclass(frozen=True, slots=True, eq=False)
class Readout:
    """Features `[W, 512]` @ weight `[512, 9]` + bias `[9]`."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mouth parameters `[W, 9]`."""
        return features @ self.weight + self.bias

    @staticmethod
    def of_heads(heads: Heads) -> Readout:
        """The trained head for the window's own frame."""
        weight = heads.mouth.weight.detach().reshape(-1, len(PARAMETERS), heads.mouth.in_features)
        bias = heads.mouth.bias.detach().reshape(-1, len(PARAMETERS))
        return Readout(weight[_MIDDLE].T.numpy(), bias[_MIDDLE].numpy())

    @staticmethod
    def fitted(features: NDArray[np.float32], labels: NDArray[np.float32]) -> Readout:
        """Least squares of labels `[W, 9]` on features `[W, 512]`, slightly ridged."""
        mean, middle = features.mean(axis=0), labels.mean(axis=0)
        centred = (features - mean).astype(np.float64)
        gram = centred.T @ centred
        gram += np.eye(len(gram)) * gram.trace() / len(gram) * 1e-3
        weight = np.linalg.solve(gram, centred.T @ (labels - middle)).astype(np.float32)
        return Readout(weight, (middle - mean @ weight).astype(np.float32))


def encoder_of(state: Mapping[str, Tensor]) -> Encoder:
    """An encoder file's tensors, of any float type, ready to use in float32."""
    encoder = Encoder()
    encoder.load_state_dict(
        {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
    )
    return encoder.eval().to(memory_format=torch.channels_last)


@torch.inference_mode()
def encode_windows(encoder: Encoder, windows: Windows) -> NDArray[np.float32]:
    """Features `[W, 512]` of all windows."""
    mel = torch.from_numpy(windows.mel)
    starts = torch.from_numpy(windows.starts).long()
    features: list[Tensor] = []
    for batch in starts.split(_BATCH):
        columns = mel[batch[:, None] + torch.arange(WINDOW_COLUMNS)].float().transpose(1, 2)
        inputs = network_scale(columns)[:, None].contiguous(memory_format=torch.channels_last)
        features.append(encoder(inputs).flatten(1).float())
    return torch.cat(features).numpy()


def loudness(windows: Windows) -> NDArray[np.float32]:
    """Mean level of each column of all windows, `[W, 16]`, in the encoder's scale."""
    columns = windows.starts[:, None] + np.arange(WINDOW_COLUMNS)
    levels = network_scale(torch.from_numpy(windows.mel.astype(np.float32))).mean(dim=1)
    return levels.numpy()[columns]
