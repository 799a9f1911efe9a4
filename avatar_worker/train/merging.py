"""Seven matrices that stand for a head's small networks, as drawing merges them.

Between the attention's hidden layer and the density network there is no activation, nor between
the density network's last layer and the colour network's first: those products of matrices are
formed here, per step, by ordinary autograd. The compiled kernel sees the products, and gives
their gradients back; autograd carries them on.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

HARMONIC_0: Final = 0.28209479177387814
"""The first harmonic is this constant; the kernel feeds 1 instead."""

HIDDEN: Final = 64
N_FEATURES: Final = 36
N_HARMONICS: Final = 16


class Merged(NamedTuple):
    """What the kernel computes with; f frames.

    Attributes:
        attention: first layers of both attentions, audio then eyes. [128, 36]
        features: the density network's first layer, plane features. [64, 36]
        density_1: its second layer. [64, 64]
        sigma: row of its third layer that gives log density. [64]
        color_0: its geometry rows and the colour network's first layer in one, then the
            harmonics with the latent code in the first. [64, 80]
        color_1: the colour network's second layer. [3, 64]
        hidden: the density network's first layer on the attentions' hidden layers. [f, 64, 128]
    """

    attention: Float[Tensor, "128 36"]
    features: Float[Tensor, "64 36"]
    density_1: Float[Tensor, "64 64"]
    sigma: Float[Tensor, "64"]
    color_0: Float[Tensor, "64 80"]
    color_1: Float[Tensor, "3 64"]
    hidden: Float[Tensor, "f 64 128"]

    @staticmethod
    def shapes(n_frames: int) -> tuple[tuple[int, ...], ...]:
        """Shapes of the seven, for a number of frames."""
        return ((128, 36), (64, 36), (64, 64), (64,), (64, 80), (3, 64), (n_frames, 64, 128))

    def plain(self) -> "Merged":
        """The values without their history, contiguous."""
        return Merged(*[tensor.detach().contiguous() for tensor in self])

    def zeros(self) -> "Merged":
        """Room for gradients."""
        return Merged(*[torch.zeros_like(tensor) for tensor in self])


def merge(
    weights: Mapping[str, Tensor],
    code: Float[Tensor, "n_code"],
    audio: Float[Tensor, "f 32"],
    eyes: Float[Tensor, "f n_eye"],
) -> Merged:
    """Form the products for the frames of a step.

    Args:
        weights: the networks under their names in a checkpoint.
        code: latent code.
        audio: what is said in each frame.
        eyes: brows and blinks in each frame.
    """
    eye_hidden = weights["eye_att_net.net.0.weight"]
    spare = HIDDEN - eye_hidden.shape[0]  # a narrower eye network leaves rows unused
    unused = eye_hidden.new_zeros(spare, N_FEATURES)
    attention = torch.cat((weights["aud_ch_att_net.net.0.weight"], eye_hidden, unused))
    n_audio = audio.shape[1]
    first, last = weights["sigma_net.net.0.weight"], weights["sigma_net.net.2.weight"]
    features = first[:, :N_FEATURES]
    on_audio = first[:, N_FEATURES : N_FEATURES + n_audio]
    on_eyes = first[:, N_FEATURES + n_audio :]
    by_audio = (on_audio * audio[:, None, :]) @ weights["aud_ch_att_net.net.1.weight"]
    by_eyes = (on_eyes * eyes[:, None, :]) @ weights["eye_att_net.net.1.weight"]
    by_eyes = torch.nn.functional.pad(by_eyes, (0, spare))
    color = weights["color_net.net.0.weight"]
    shape, on_code = color[:, :N_HARMONICS], color[:, N_HARMONICS + HIDDEN :]
    geometry = color[:, N_HARMONICS : N_HARMONICS + HIDDEN]
    constant = shape[:, :1] * HARMONIC_0 + (on_code @ code)[:, None]
    return Merged(
        attention=attention,
        features=features,
        density_1=weights["sigma_net.net.1.weight"],
        sigma=last[0],
        color_0=torch.cat((geometry @ last[1:], constant, shape[:, 1:]), dim=1),
        color_1=weights["color_net.net.1.weight"],
        hidden=torch.cat((by_audio, by_eyes), dim=2),
    )
