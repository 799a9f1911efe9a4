"""The head as a function: point, direction, audio and eyes → density and colour.

Three hash grids over the planes xy, yz and xz give 36 features. Two small networks say how much
each audio and eye component matters at that point; density and colour follow from the weighted
vectors. This is the plain form of the formulas; the compiled kernel merges layers.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import linear

from avatar_worker.render.encodings import PlaneGrid, harmonics
from avatar_worker.render.head import HeadWeights

SAMPLES_PER_TILE = 8192
"""Temporaries of a tile stay in cache: 4–16 k samples measured six times faster than 64 k."""


class FieldSamples(NamedTuple):
    """What the field says at n points; everything float32.

    Attributes:
        features: plane features xy, yz, xz. [n, 36]
        audio_attention: weight of each audio component. [n, 32]
        eye_attention: weight of each eye component. [n, n_eye]
        sigma: density. [n]
        geometry: what the colour network is told about the place. [n, 64]
        rgb: colour, in [−0.001, 1.001]. [n, 3]
    """

    features: Float[Tensor, "n 36"]
    audio_attention: Float[Tensor, "n 32"]
    eye_attention: Float[Tensor, "n n_eye"]
    sigma: Float[Tensor, "n"]
    geometry: Float[Tensor, "n 64"]
    rgb: Float[Tensor, "n 3"]


class HeadField:
    """Evaluates one head on one device.

    Args:
        head: the tensors; they are copied to the device.
        device: where to compute.
        dtype: of the small networks' inputs, weights and outputs. float32 is the exact path;
            everything around the networks is float32 whatever is chosen.
    """

    def __init__(
        self, head: HeadWeights, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        self._planes = [
            PlaneGrid(table, device)
            for table in (head.encoder_xy, head.encoder_yz, head.encoder_xz)
        ]

        def network(*weights: Tensor) -> list[Tensor]:
            return [weight.to(device, dtype) for weight in weights]

        self._audio_attention = network(head.audio_attention_0, head.audio_attention_1)
        self._eye_attention = network(head.eye_attention_0, head.eye_attention_1)
        self._sigma = network(head.sigma_0, head.sigma_1, head.sigma_2)
        self._color = network(head.color_0, head.color_1)
        self._code = head.code.to(device)
        self._eye_sigmoid = head.eye_sigmoid
        self.n_eye = head.n_eye
        self.device = device
        self._dtype = dtype

    def features(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 36"]:
        """Plane features in the order xy, yz, xz."""
        xy, yz, xz = self._planes
        return torch.cat(
            (xy(points[:, (0, 1)]), yz(points[:, (1, 2)]), xz(points[:, (0, 2)])), dim=1
        )

    def __call__(
        self,
        points: Float[Tensor, "n 3"],
        directions: Float[Tensor, "n 3"],
        audio: Float[Tensor, "32"],
        eye: Float[Tensor, "n_eye"],
    ) -> FieldSamples:
        """Evaluate n samples at once; tile with `SAMPLES_PER_TILE` for speed."""
        features = self.features(points)
        audio_attention = self._run(self._audio_attention, features)
        eye_attention = self._run(self._eye_attention, features)
        if self._eye_sigmoid:
            eye_attention = torch.sigmoid(eye_attention)
        inputs = torch.cat((features, audio * audio_attention, eye * eye_attention), dim=1)
        hidden = self._run(self._sigma, inputs)  # [n, 65]
        geometry = hidden[:, 1:]
        code = self._code.expand(len(points), -1)
        looks = torch.cat((harmonics(directions), geometry, code), dim=1)
        rgb = torch.sigmoid(self._run(self._color, looks)) * 1.002 - 0.001
        sigma = torch.exp(hidden[:, 0])
        return FieldSamples(features, audio_attention, eye_attention, sigma, geometry, rgb)

    def _run(self, layers: list[Tensor], inputs: Tensor) -> Tensor:
        """A network without biases: ReLU after every layer but the last; float32 out."""
        hidden = inputs.to(self._dtype)
        for weight in layers[:-1]:
            hidden = torch.relu(linear(hidden, weight))
        return linear(hidden, layers[-1]).float()
