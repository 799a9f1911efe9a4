"""From a window of features to the one vector that moves the face.

The character's own small networks: one looks at each feature by itself (512 → 32), one weighs
the eight results of a window against each other. Both are stored in the head's checkpoint.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv1d, leaky_relu, linear

from avatar_worker.audio.errors import FeatureError
from avatar_worker.audio.threads import one_thread

SLOPE: Final = 0.02
WINDOW_FEATURES: Final = 8
CONV_COLUMNS: Final = 16
"""Convolutional audio networks look at the first 16 columns of a feature."""

Layer = tuple[Tensor, Tensor]


class AudioNetworks:
    """The audio networks of one character; stateless.

    Args:
        state: tensors whose names begin with `audio_net.` and `audio_att_net.`, checked.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self._convolutions = _layers(state, "audio_net.encoder_conv")
        self._dense = _layers(state, "audio_net.encoder_fc1")
        self._attention = _layers(state, "audio_att_net.attentionConvNet")
        scores = _layers(state, "audio_att_net.attentionNet")
        self._scores = scores[0] if scores else None

    @property
    def has_attention(self) -> bool:
        """Windows of eight are pooled; else each frame has its own feature only."""
        return self._scores is not None

    @property
    def feature_shape(self) -> tuple[int | None, ...]:
        """Shape of one feature: (512,) for AVE, (channels, any number of columns) otherwise."""
        if self._convolutions:
            return int(self._convolutions[0][0].shape[1]), None
        return (int(self._dense[0][0].shape[1]),)

    def absent(self) -> Float[Tensor, "32"]:
        """What a feature of zeros becomes: the rows beyond either end of a sound."""
        shape = [CONV_COLUMNS if size is None else size for size in self.feature_shape]
        return self.step(torch.zeros(shape))

    @torch.inference_mode()
    @one_thread()
    def step(self, feature: Float[Tensor, "..."]) -> Float[Tensor, "32"]:
        """One feature by itself: [512], or [channels, columns] for convolutional networks.

        Raises:
            FeatureError: the feature has another shape.
        """
        expected = self.feature_shape
        if feature.dim() != len(expected) or feature.shape[0] != expected[0]:
            raise FeatureError(
                f"an audio feature has shape {tuple(feature.shape)}; expected {expected}"
            )
        hidden = feature.float()
        if self._convolutions:
            hidden = hidden[None, :, :CONV_COLUMNS]
            for weight, bias in self._convolutions:
                hidden = leaky_relu(conv1d(hidden, weight, bias, stride=2, padding=1), SLOPE)
            hidden = hidden.reshape(-1)
        for weight, bias in self._dense[:-1]:
            hidden = leaky_relu(linear(hidden, weight, bias), SLOPE)
        return linear(hidden, *self._dense[-1])

    @torch.inference_mode()
    def attention(self, steps: Float[Tensor, "8 32"]) -> Float[Tensor, "8"]:
        """Share of each step; they sum to one."""
        if self._scores is None:
            raise FeatureError("this character has no attention network")
        hidden = steps.T[None]  # [1, 32, 8]
        for weight, bias in self._attention:
            hidden = leaky_relu(conv1d(hidden, weight, bias, padding=1), SLOPE)
        return torch.softmax(linear(hidden.reshape(-1), *self._scores), dim=0)

    @torch.inference_mode()
    @one_thread()
    def pool(self, steps: Sequence[Float[Tensor, "32"]]) -> Float[Tensor, "32"]:
        """The audio vector of a frame from the eight steps it sees (or its single one)."""
        if not self.has_attention:
            return steps[0]
        if len(steps) != WINDOW_FEATURES:
            raise FeatureError(f"a window has {len(steps)} features; expected {WINDOW_FEATURES}")
        stacked = torch.stack(list(steps))  # [8, 32]
        return (self.attention(stacked)[:, None] * stacked).sum(dim=0)


def _layers(state: Mapping[str, Tensor], prefix: str) -> list[Layer]:
    """Weight and bias of every layer under a prefix, in order of their numbers."""
    numbers = sorted(
        int(key.removeprefix(f"{prefix}.").removesuffix(".weight"))
        for key in state
        if key.startswith(f"{prefix}.") and key.endswith(".weight")
    )
    return [
        (state[f"{prefix}.{n}.weight"].float(), state[f"{prefix}.{n}.bias"].float())
        for n in numbers
    ]
