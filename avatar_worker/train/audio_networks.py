"""The audio networks while they are trained: differentiable, for many frames at once.

`audio/pooling.py` is the same arithmetic for use, a frame at a time.
"""

from collections.abc import Mapping
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv1d, leaky_relu, linear

from avatar_worker.audio.pooling import SLOPE, WINDOW_FEATURES

AUDIO_NETWORKS: Final = ("audio_net", "audio_att_net")
LAST_LAYER: Final = "audio_net.encoder_fc1.4"


def is_audio_weight(key: str) -> bool:
    """Whether a tensor of a checkpoint belongs to the audio networks."""
    return key.split(".")[0] in AUDIO_NETWORKS


def audio_vectors(
    weights: Mapping[str, Tensor], windows: Float[Tensor, "f 8 512"]
) -> Float[Tensor, "f 32"]:
    """What is said in each frame, from the features it sees; AVE features, with attention.

    Args:
        weights: the networks under their names in a checkpoint.
        windows: eight features a frame.
    """
    return _pooled(weights, _each(weights, windows))


def vectors_along(
    weights: Mapping[str, Tensor], features: Float[Tensor, "n t 512"]
) -> Float[Tensor, "n t-7 32"]:
    """The same for sequences of features: of every frame whose eight are all there."""
    seen = _each(weights, features).unfold(1, WINDOW_FEATURES, 1).transpose(2, 3)
    return _pooled(weights, seen.flatten(0, 1)).view(*seen.shape[:2], -1)


def _each(
    weights: Mapping[str, Tensor], features: Float[Tensor, "n t 512"]
) -> Float[Tensor, "n t 32"]:
    x = features
    for layer in (0, 2, 4):
        name = f"audio_net.encoder_fc1.{layer}"
        x = linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])
        x = leaky_relu(x, SLOPE) if layer < 4 else x
    return x


def _pooled(weights: Mapping[str, Tensor], steps: Float[Tensor, "f 8 32"]) -> Float[Tensor, "f 32"]:
    y = steps.transpose(1, 2)  # [f, 32, 8]
    for layer in (0, 2, 4, 6, 8):
        name = f"audio_att_net.attentionConvNet.{layer}"
        y = leaky_relu(conv1d(y, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1),
                       SLOPE)  # fmt: skip
    scores = linear(y[:, 0], weights["audio_att_net.attentionNet.0.weight"],
                    weights["audio_att_net.attentionNet.0.bias"])  # fmt: skip
    return (torch.softmax(scores, dim=1)[:, :, None] * steps).sum(dim=1)
