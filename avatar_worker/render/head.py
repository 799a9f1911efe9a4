"""The tensors of a head that drawing needs, under names of our own.

A checkpoint holds more (optimiser, uncertainty network, 20,000 latent codes); `HeadWeights` is
what is left after reading: small, checked, ready for the field and for the compiled kernel.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

AUDIO_DIM: Final = 32
PLANE_FEATURES: Final = 36
"""Three planes of twelve levels, one feature each."""

_ROOTS: Final = {
    "encoder_xy": "encoder_xy.embeddings",
    "encoder_yz": "encoder_yz.embeddings",
    "encoder_xz": "encoder_xz.embeddings",
    "audio_attention_0": "aud_ch_att_net.net.0.weight",
    "audio_attention_1": "aud_ch_att_net.net.1.weight",
    "eye_attention_0": "eye_att_net.net.0.weight",
    "eye_attention_1": "eye_att_net.net.1.weight",
    "sigma_0": "sigma_net.net.0.weight",
    "sigma_1": "sigma_net.net.1.weight",
    "sigma_2": "sigma_net.net.2.weight",
    "color_0": "color_net.net.0.weight",
    "color_1": "color_net.net.1.weight",
    "aabb": "aabb_infer",
    "density_bitfield": "density_bitfield",
}


@dataclass(frozen=True, slots=True)
class HeadWeights:
    """Everything a head needs to be drawn; float32 on the CPU, contiguous.

    Attributes:
        encoder_xy: hash table of the xy plane, rows of all levels after each other. [163584]
        encoder_yz: the same for yz. [163584]
        encoder_xz: the same for xz. [163584]
        audio_attention_0: first layer of the network that weighs the audio vector. [64, 36]
        audio_attention_1: its second layer. [32, 64]
        eye_attention_0: first layer of the network that weighs the eye vector. [64 or 16, 36]
        eye_attention_1: its second layer. [n_eye, 64 or 16]
        sigma_0: density network, input (plane features, audio, eye). [64, 36 + 32 + n_eye]
        sigma_1: its second layer. [64, 64]
        sigma_2: its third layer: density, then 64 geometry features. [65, 64]
        color_0: colour network, input (harmonics, geometry, code). [64, 16 + 64 + n_code]
        color_1: its second layer. [3, 64]
        code: latent code of row 0, the only one used when drawing. [n_code]
        aabb: xmin, ymin, zmin, xmax, ymax, zmax of the box. [6]
        density_bitfield: occupancy, one bit a cell in Morton order, lowest bit first. [262144]
        eye_sigmoid: the eye attention passes a sigmoid (ER-NeRF family).
    """

    encoder_xy: Float[Tensor, "n_rows"]
    encoder_yz: Float[Tensor, "n_rows"]
    encoder_xz: Float[Tensor, "n_rows"]
    audio_attention_0: Float[Tensor, "64 36"]
    audio_attention_1: Float[Tensor, "32 64"]
    eye_attention_0: Float[Tensor, "n_hidden 36"]
    eye_attention_1: Float[Tensor, "n_eye n_hidden"]
    sigma_0: Float[Tensor, "64 n_in"]
    sigma_1: Float[Tensor, "64 64"]
    sigma_2: Float[Tensor, "65 64"]
    color_0: Float[Tensor, "64 n_color_in"]
    color_1: Float[Tensor, "3 64"]
    code: Float[Tensor, "n_code"]
    aabb: Float[Tensor, "6"]
    density_bitfield: UInt8[Tensor, "n_bytes"]
    eye_sigmoid: bool = False

    @property
    def n_eye(self) -> int:
        """Length of the eye vector: 7, 4, 2 or 1."""
        return int(self.eye_attention_1.shape[0])

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], *, eye_sigmoid: bool = False) -> "HeadWeights":
        """Take the head out of a checked state dict (see `checkpoint.read_checkpoint`)."""
        tensors = {name: _plain(state[key]) for name, key in _ROOTS.items()}
        for plane in ("encoder_xy", "encoder_yz", "encoder_xz"):
            tensors[plane] = tensors[plane].reshape(-1)
        code = _plain(state["individual_codes"][0])
        return cls(**tensors, code=code, eye_sigmoid=eye_sigmoid)

    def tensors(self) -> dict[str, Tensor]:
        """Name → tensor, for storing; `eye_sigmoid` is not among them."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "eye_sigmoid"}

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, Tensor], *, eye_sigmoid: bool = False
    ) -> "HeadWeights":
        """The inverse of `tensors`."""
        names = [f.name for f in fields(cls) if f.name != "eye_sigmoid"]
        return cls(**{name: _plain(tensors[name]) for name in names}, eye_sigmoid=eye_sigmoid)


def _plain(tensor: Tensor) -> Tensor:
    """A contiguous CPU copy that shares no storage with the file it came from."""
    dtype = torch.uint8 if tensor.dtype == torch.uint8 else torch.float32
    return tensor.detach().to("cpu", dtype, copy=True).contiguous()
