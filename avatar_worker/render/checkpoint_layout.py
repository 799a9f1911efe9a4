"""Which tensors a head checkpoint holds, under which options, in which shapes.

The options are not stored anywhere; they are read off the shapes that are there. Given the
flavour, every other name and shape follows and can be checked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

import torch
from torch import Tensor

from avatar_worker.render.encodings import level_offsets, plane_levels, torso_levels
from avatar_worker.render.errors import CheckpointContentError, UnsupportedCharacterError
from avatar_worker.render.occupancy import GRID_SIZE

AudioFeatures = Literal["ave", "deepspeech", "hubert", "esperanto", "other"]
EyeMode = Literal["upper", "single", "eye", "au45"]
Shape = tuple[int, ...]

PLANES: Final = ("encoder_xy", "encoder_yz", "encoder_xz")
CONV_WIDTHS: Final[dict[int, AudioFeatures]] = {29: "deepspeech", 1024: "hubert", 44: "esperanto"}
EYE_WIDTHS: Final[dict[int, EyeMode]] = {7: "upper", 4: "single", 2: "eye"}
ER_NERF_CODES: Final = 10_000
"""Rows of the latent code table in ER-NeRF checkpoints; SyncTalk has 20,000."""

FLOATS: Final = (torch.float64, torch.float32, torch.float16, torch.bfloat16)

OPTIONAL: Final = frozenset(
    {
        "density_grid",
        "aabb_train",
        "step_counter",
        "unc_net.net.0.weight",
        "unc_net.net.1.weight",
    }
)
"""Drawing does not need these, and some files lack them ("best" drops the grid)."""


@dataclass(frozen=True, slots=True)
class Flavour:
    """What a checkpoint was trained with, as far as its shapes tell.

    Attributes:
        audio: family of the audio features.
        audio_dim: numbers in one feature (512 for AVE, else channels of the first convolution).
        has_attention: audio vectors are pooled over a window of eight.
        eye: what the eye vector is.
        n_eye: its length.
        n_code: length of a latent code.
        n_codes: rows of the code table.
        is_er_nerf: eye attention passes a sigmoid.
        has_torso: a torso field is there as well.
    """

    audio: AudioFeatures
    audio_dim: int
    has_attention: bool
    eye: EyeMode
    n_eye: int
    n_code: int
    n_codes: int
    is_er_nerf: bool
    has_torso: bool

    def __str__(self) -> str:
        family = "ER-NeRF" if self.is_er_nerf else "SyncTalk"
        torso = "head and torso" if self.has_torso else "head"
        return f"{family} {torso}, {self.audio} audio features, {self.eye} expression"


def detect_flavour(state: Mapping[str, Tensor]) -> Flavour:
    """Read the options off the shapes.

    Raises:
        CheckpointContentError: a tensor that decides is absent or has a shape nothing fits.
        UnsupportedCharacterError: trained without expression control.
    """
    if "audio_net.encoder_conv.0.weight" in state:
        audio_dim = _shape(state, "audio_net.encoder_conv.0.weight", 3)[1]
        audio: AudioFeatures = CONV_WIDTHS.get(audio_dim, "other")
    else:
        audio_dim = _shape(state, "audio_net.encoder_fc1.0.weight", 2)[1]
        audio = "ave"
    if _shape(state, "sigma_net.net.0.weight", 2)[1] == 68:
        raise UnsupportedCharacterError(
            "this head was trained without expression control, which no renderer can draw"
        )
    if "embedding.weight" in state:
        raise UnsupportedCharacterError("heads with an embedding of classes are not drawn")
    n_hidden = _shape(state, "eye_att_net.net.0.weight", 2)[0]
    n_eye = _shape(state, "eye_att_net.net.1.weight", 2)[0]
    if n_hidden == 16 and n_eye == 1:
        eye: EyeMode = "au45"
    elif n_hidden == 64 and n_eye in EYE_WIDTHS:
        eye = EYE_WIDTHS[n_eye]
    else:
        raise CheckpointContentError(
            f"eye_att_net has {n_hidden} hidden and {n_eye} outputs; "
            "expected 64 and 7, 4 or 2, or 16 and 1"
        )
    n_codes, n_code = _shape(state, "individual_codes", 2)
    if min(n_codes, audio_dim) < 1:
        raise CheckpointContentError(f"{n_codes} codes, audio features of {audio_dim} numbers")
    return Flavour(
        audio=audio,
        audio_dim=audio_dim,
        has_attention=any(key.startswith("audio_att_net.") for key in state),
        eye=eye,
        n_eye=n_eye,
        n_code=n_code,
        n_codes=n_codes,
        is_er_nerf=eye == "au45" and n_codes == ER_NERF_CODES,
        has_torso="anchor_points" in state,
    )


def _shape(state: Mapping[str, Tensor], key: str, n_dims: int) -> Shape:
    if key not in state:
        raise CheckpointContentError(f"tensor {key} is missing")
    shape = tuple(state[key].shape)
    if len(shape) != n_dims:
        raise CheckpointContentError(f"{key} has shape {shape}; expected {n_dims} dimensions")
    return shape


def expected_shapes(flavour: Flavour) -> dict[str, Shape]:
    """Every tensor of a head of this flavour and its shape."""
    n_rows = level_offsets(plane_levels())[-1]
    n_cells = GRID_SIZE**3
    shapes: dict[str, Shape] = {
        "individual_codes": (flavour.n_codes, flavour.n_code),
        "aabb_train": (6,),
        "aabb_infer": (6,),
        "density_grid": (1, n_cells),
        "density_bitfield": (n_cells // 8,),
        "step_counter": (16, 2),
    }
    shapes |= _audio_shapes(flavour)
    for plane in PLANES:
        shapes[f"{plane}.embeddings"] = (n_rows, 1)
        shapes[f"{plane}.offsets"] = (len(plane_levels()) + 1,)
    eye_hidden = 16 if flavour.eye == "au45" else 64
    shapes |= _network("eye_att_net.net", 36, eye_hidden, flavour.n_eye)
    shapes |= _network("sigma_net.net", 36 + 32 + flavour.n_eye, 64, 64, 65)
    shapes |= _network("color_net.net", 16 + 64 + flavour.n_code, 64, 3)
    shapes |= _network("unc_net.net", 36, 32, 1)
    shapes |= _network("aud_ch_att_net.net", 36, 64, 32)
    return shapes


def torso_shapes() -> dict[str, Shape]:
    """Every tensor of a torso and its shape, but for its codes, whose number is free."""
    levels = torso_levels()
    return {
        "anchor_points": (3, 4),
        "density_grid_torso": (128 * 128,),
        "torso_encoder.embeddings": (level_offsets(levels)[-1], 2),
        "torso_encoder.offsets": (len(levels) + 1,),
        **_network("torso_deform_net.net", 84, 32, 32, 2),
        **_network("torso_net.net", 32 + 84, 32, 32, 4),
    }


def _audio_shapes(flavour: Flavour) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {}
    if flavour.audio == "ave":
        widths: tuple[int, ...] = (flavour.audio_dim, 256, 128, 32)
    else:
        widths = (64, 64, 32)
        channels = (flavour.audio_dim, 32, 32, 64, 64)
        shapes |= _convolutions("audio_net.encoder_conv", channels)
    for index, (n_in, n_out) in enumerate(pairwise(widths)):
        shapes[f"audio_net.encoder_fc1.{2 * index}.weight"] = (n_out, n_in)
        shapes[f"audio_net.encoder_fc1.{2 * index}.bias"] = (n_out,)
    if flavour.has_attention:
        shapes |= _convolutions("audio_att_net.attentionConvNet", (32, 16, 8, 4, 2, 1))
        shapes["audio_att_net.attentionNet.0.weight"] = (8, 8)
        shapes["audio_att_net.attentionNet.0.bias"] = (8,)
    return shapes


def _convolutions(prefix: str, channels: tuple[int, ...]) -> dict[str, Shape]:
    """1-D convolutions of width 3, each followed by an activation that has no tensors."""
    shapes: dict[str, Shape] = {}
    for index, (n_in, n_out) in enumerate(pairwise(channels)):
        shapes[f"{prefix}.{2 * index}.weight"] = (n_out, n_in, 3)
        shapes[f"{prefix}.{2 * index}.bias"] = (n_out,)
    return shapes


def _network(prefix: str, *widths: int) -> dict[str, Shape]:
    """Linear layers without biases."""
    pairs = pairwise(widths)
    return {f"{prefix}.{i}.weight": (n_out, n_in) for i, (n_in, n_out) in enumerate(pairs)}


def expected_dtype(key: str) -> torch.dtype:
    """The type a tensor is stored in."""
    if key == "density_bitfield":
        return torch.uint8
    if key.endswith(".offsets") or key == "step_counter":
        return torch.int32
    return torch.float32


def check_state(state: Mapping[str, Tensor], flavour: Flavour) -> None:
    """Refuse a state dict whose tensors are not exactly those of its flavour.

    Tensors that nothing drawn needs (camera offsets) are left alone, but they must be
    finite like the others.

    Raises:
        CheckpointContentError: names the tensor, what was expected and what was found.
    """
    shapes = expected_shapes(flavour)
    if flavour.has_torso:
        shapes |= torso_shapes()
        n_codes = _shape(state, "individual_codes_torso", 2)[0]
        shapes["individual_codes_torso"] = (max(1, n_codes), 8)
    for key, shape in shapes.items():
        if key not in state:
            if key in OPTIONAL:
                continue
            raise CheckpointContentError(f"tensor {key} is missing")
        tensor = state[key]
        if tuple(tensor.shape) != shape:
            raise CheckpointContentError(
                f"{key} has shape {tuple(tensor.shape)}; expected {shape} for a {flavour}"
            )
        if tensor.dtype != expected_dtype(key):
            raise CheckpointContentError(
                f"{key} holds {tensor.dtype}; expected {expected_dtype(key)}"
            )
    for key, tensor in state.items():
        if key.startswith(("audio_net.", "audio_att_net.")) and key not in shapes:
            raise CheckpointContentError(f"tensor {key} has no place in a {flavour}")
        if tensor.dtype in FLOATS and not bool(torch.isfinite(tensor).all()):
            raise CheckpointContentError(f"{key} holds values that are not finite numbers")
    grids = dict.fromkeys(PLANES, level_offsets(plane_levels()))
    if flavour.has_torso:
        grids["torso_encoder"] = level_offsets(torso_levels())
    for grid, offsets in grids.items():
        found = state[f"{grid}.offsets"].tolist()
        if found != offsets:
            raise CheckpointContentError(
                f"{grid}.offsets are {found}; expected {offsets}: another grid than ours"
            )
    _check_box(state["aabb_infer"])


def _check_box(aabb: Tensor) -> None:
    low, high = aabb[:3], aabb[3:]
    if bool((low >= high).any()) or float(aabb.abs().max()) > 1.0:
        raise CheckpointContentError(
            f"aabb_infer is {aabb.tolist()}; expected a box inside the cube from −1 to 1"
        )
