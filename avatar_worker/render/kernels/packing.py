"""A character's tensors in the form that the kernel copies: hashing undone, bits in order."""

import ctypes
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from avatar_worker.render.encodings import plane_levels, table_rows
from avatar_worker.render.errors import UnsupportedCharacterError
from avatar_worker.render.finer_grid import FinerGrid
from avatar_worker.render.head import AUDIO_DIM, HeadWeights
from avatar_worker.render.occupancy import GRID_SIZE, dense_cells

MAX_EYE: Final = 8
HALF_LIMIT: Final = 65504.0
"""Largest number that the look-up tables, in half precision, can hold."""

WEIGHT_LIMIT: Final = 2.0**15
"""Those that meet plane features are multiplied by 2¹¹² (native/network_tiles.hpp)."""

LATTICE_POINTS: Final = 128
STEP: Final = 2.0 * 3.0**0.5 / GRID_SIZE


class HeadSource(ctypes.Structure):
    """Twin of `HeadSource` in native/head.hpp."""

    _fields_ = [
        ("corners", ctypes.c_void_p * 3),
        *[(name, ctypes.c_void_p) for name in (
            "stride", "scale", "occupancy", "filled", "audio_attention_0", "audio_attention_1",
            "eye_attention_0", "eye_attention_1", "sigma_0", "sigma_1", "sigma_2", "color_0",
            "color_1", "code")],
        ("aabb", ctypes.c_float * 6),
        *[(name, ctypes.c_int32) for name in ("n_eye", "eye_hidden", "n_code", "eye_sigmoid")],
    ]  # fmt: skip


def head_source(
    head: HeadWeights, finer: FinerGrid | None = None
) -> tuple[HeadSource, list[np.ndarray]]:
    """The C form of a head, and the arrays it points into: keep them until it was copied.

    Raises:
        UnsupportedCharacterError: tensors have sizes or values that the kernel cannot draw.
        FinerGridError: the finer grid was made for another head.
    """
    levels = plane_levels()
    n_hidden = head.eye_attention_0.shape[0]
    n_code = head.code.shape[0]
    if not 1 <= head.n_eye <= MAX_EYE or n_hidden not in (16, 64):
        raise UnsupportedCharacterError(
            f"eye attention of {n_hidden} → {head.n_eye}; the kernel draws 16 or 64 → 1 … {MAX_EYE}"
        )
    aabb = _array("aabb", head.aabb, (6,))
    if float(np.linalg.norm(aabb[3:] - aabb[:3])) > LATTICE_POINTS * STEP * 1.0001:
        raise UnsupportedCharacterError("the box is larger than the cube [−1, 1]³")
    source, kept = HeadSource(), []

    def point(name: str, array: np.ndarray) -> None:
        kept.append(array)
        setattr(source, name, array.ctypes.data)

    rows = [table_rows(level) for level in levels]
    n_rows = levels[-1].offset + levels[-1].n_rows
    for plane, name in enumerate(("encoder_xy", "encoder_yz", "encoder_xz")):
        table = _array(name, getattr(head, name), (n_rows,))
        if np.abs(table).max() >= HALF_LIMIT:
            raise UnsupportedCharacterError(f"{name} holds values of {HALF_LIMIT} or more")
        corners = np.concatenate(
            [_corners(table[r], lv.stride) for r, lv in zip(rows, levels, strict=True)]
        )
        kept.append(corners)
        source.corners[plane] = corners.ctypes.data
    point("stride", np.array([level.stride for level in levels], np.int32))
    point("scale", np.array([level.scale for level in levels], np.float32))
    cells = dense_cells(head.density_bitfield.numpy())
    point("occupancy", np.packbits(cells.reshape(-1), bitorder="little"))
    if finer is not None:
        point("filled", np.packbits(finer.small_cells(head).reshape(-1), bitorder="little"))
    shapes = {
        "audio_attention_0": (64, 36), "audio_attention_1": (AUDIO_DIM, 64),
        "eye_attention_0": (n_hidden, 36), "eye_attention_1": (head.n_eye, n_hidden),
        "sigma_0": (64, 36 + AUDIO_DIM + head.n_eye), "sigma_1": (64, 64), "sigma_2": (65, 64),
        "color_0": (64, 16 + 64 + n_code), "color_1": (3, 64), "code": (n_code,),
    }  # fmt: skip
    for name, shape in shapes.items():
        array = _array(name, getattr(head, name), shape)
        if np.abs(array).max() >= WEIGHT_LIMIT:
            raise UnsupportedCharacterError(f"{name} holds weights of {WEIGHT_LIMIT:.0f} or more")
        point(name, array)
    source.aabb = (ctypes.c_float * 6)(*aabb.tolist())
    source.n_eye, source.eye_hidden, source.n_code = head.n_eye, n_hidden, n_code
    source.eye_sigmoid = int(head.eye_sigmoid)
    return source, kept


def _corners(values: Float[np.ndarray, "n"], stride: int) -> np.ndarray:
    """Each lattice value with its neighbours: four halves in 64 bits, see native/tables.hpp."""
    lattice = np.zeros((stride + 1, stride + 1), np.float16)
    lattice[:stride, :stride] = values.reshape(stride, stride)
    near, far = lattice[:-1], lattice[1:]
    corners = (near[:, :-1], near[:, 1:], far[:, :-1], far[:, 1:])
    return np.stack(corners, axis=-1).reshape(-1).view(np.uint64)


def _array(name: str, tensor: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    if tensor.dtype != torch.float32 or tuple(tensor.shape) != shape:
        raise UnsupportedCharacterError(
            f"{name} is {tensor.dtype} {tuple(tensor.shape)}; expected float32 {shape}"
        )
    array = np.ascontiguousarray(tensor.detach().cpu().numpy())
    if not np.isfinite(array).all():
        raise UnsupportedCharacterError(f"{name} holds values that are not finite")
    return array
