"""The head as one kernel: look-ups, harmonics and all small networks. Twin: `field.HeadField`.

Between two matrices without an activation stands one matrix. What depends on the frame:

    s₁ = relu(S₀f · f + Mₐ · relu(A₀ · f) + Mₑ · relu(E₀ · f)),
    Mₐ = S₀a · diag(audio) · A₁,  Mₑ = S₀e · diag(eye) · E₁

and what does not: the second layer s₂, the colour network's first layer, which takes the geometry
straight from s₂, and the latent code, which is a bias there. Where the eye attention passes a
sigmoid, E₁ stands on its own. Matrices are padded with zeros to 64 or 16 rows and columns.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from avatar_worker.render.errors import UnsupportedCharacterError
from avatar_worker.render.head import AUDIO_DIM, PLANE_FEATURES, HeadWeights
from avatar_worker.render.kernels.triton import EXACT
from avatar_worker.render.kernels.triton.harmonics import harmonics_tile
from avatar_worker.render.kernels.triton.look_up import PlaneTables, plane_features

BLOCK = 32
"""Samples of one program. Measured on an H100 with 16 portraits at once, ms for each: 32 samples
and one warp 0.150, 64 and two 0.179, 32 and two 0.192, 16 and one 0.213."""

BLOCK_FLOAT32 = 16
"""The same in float32, which has no matrix unit: more would be unrolled to 50,000 instructions."""

WARPS = 1
"""Fewer than four on purpose. Four warps and 64 samples make Triton 3.6 use the asynchronous
matrix unit of an H100 (wgmma), and pictures come out wrong (13 dB) and different every time."""
WIDTH: tl.constexpr = tl.constexpr(64)
NARROW: tl.constexpr = tl.constexpr(16)
_WHOLE: tl.constexpr = tl.constexpr(64 * 64)
_TYPES = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}


class Answers(NamedTuple):
    """What the head says at n points; float32.

    Attributes:
        sigma: density. [n]
        rgb: colour, in [−0.001, 1.001]. [n, 3]
        audio_norm: ‖audio attention‖. [n]
        eye_norm: ‖eye attention‖. [n]
    """

    sigma: Float[Tensor, "n"]
    rgb: Float[Tensor, "n 3"]
    audio_norm: Float[Tensor, "n"]
    eye_norm: Float[Tensor, "n"]


@triton.jit
def matrix(
    start: tl.tensor, ROWS: tl.constexpr, COLUMNS: tl.constexpr, TYPE: tl.constexpr
) -> tl.tensor:
    """A stored matrix, row by row. [ROWS, COLUMNS]"""
    row, column = tl.arange(0, ROWS), tl.arange(0, COLUMNS)
    return tl.load(start + row[:, None] * COLUMNS + column[None, :]).to(TYPE)


@triton.jit
def times(values: tl.tensor, weights: tl.tensor, total: tl.tensor) -> tl.tensor:
    """Matrix product added to a total in float32; never in TF32."""
    return tl.dot(values, weights, total, input_precision="ieee")


@triton.jit(do_not_specialize_on_alignment=["counts"])
def evaluate_kernel(
    samples: tl.tensor, counts: tl.tensor, said: tl.tensor, answers: tl.tensor, norms: tl.tensor,
    values: tl.tensor, scales: tl.tensor, places: tl.tensor, square: tl.tensor, looks: tl.tensor,
    outputs: tl.tensor, code: tl.tensor, n_slots: tl.tensor, N_EYE: tl.constexpr,
    EYE_SIGMOID: tl.constexpr, NORMS: tl.constexpr, KEPT: tl.constexpr, TYPE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:  # fmt: skip
    """A block of one frame's samples; axis 1 of the grid counts frames.

    Activations are rounded to KEPT and multiplied in TYPE. These are the same but for the
    interpreter, which cannot multiply in bfloat16 and does it in float32 (products are exact).
    """
    frame = tl.program_id(1).to(tl.int64)
    start = tl.program_id(0) * BLOCK
    count = tl.load(counts + frame)
    if start < count:
        slot = start + tl.arange(0, BLOCK)
        there = slot < count
        sample = samples + frame * 6 * n_slots + slot
        x = tl.load(sample, mask=there, other=0.0)
        y = tl.load(sample + n_slots, mask=there, other=0.0)
        z = tl.load(sample + n_slots * 2, mask=there, other=0.0)
        features = plane_features(x, y, z, values, scales, places).to(KEPT).to(TYPE)
        spoken = said + frame * 2 * _WHOLE
        none = tl.zeros([BLOCK, WIDTH], tl.float32)

        hidden = times(features, matrix(square, WIDTH, WIDTH, TYPE), none)
        hidden = tl.maximum(hidden, 0.0).to(KEPT).to(TYPE)
        density = times(features, matrix(square + _WHOLE, WIDTH, WIDTH, TYPE), none)
        density = times(hidden, matrix(spoken, WIDTH, WIDTH, TYPE), density)
        if NORMS:
            attention = times(hidden, matrix(square + 2 * _WHOLE, WIDTH, WIDTH, TYPE), none)
            norm = tl.sqrt(tl.sum(attention * attention, 1))
            tl.store(norms + (frame * n_slots + slot) * 2, norm, mask=there)

        hidden = times(features, matrix(square + 3 * _WHOLE, WIDTH, WIDTH, TYPE), none)
        hidden = tl.maximum(hidden, 0.0).to(KEPT).to(TYPE)
        if NORMS or EYE_SIGMOID:
            attention = times(
                hidden, matrix(outputs, WIDTH, NARROW, TYPE), tl.zeros([BLOCK, NARROW], tl.float32)
            )
            if EYE_SIGMOID:
                attention = tl.sigmoid(attention)
                attention = tl.where((tl.arange(0, NARROW) < N_EYE)[None, :], attention, 0.0)
            if NORMS:
                norm = tl.sqrt(tl.sum(attention * attention, 1))
                tl.store(norms + (frame * n_slots + slot) * 2 + 1, norm, mask=there)
        if EYE_SIGMOID:
            seen = matrix(spoken + _WHOLE, NARROW, WIDTH, TYPE)
            density = times(attention.to(KEPT).to(TYPE), seen, density)
        else:
            density = times(hidden, matrix(spoken + _WHOLE, WIDTH, WIDTH, TYPE), density)

        density = tl.maximum(density, 0.0).to(KEPT).to(TYPE)
        density = times(density, matrix(square + 4 * _WHOLE, WIDTH, WIDTH, TYPE), none)
        density = tl.maximum(density, 0.0).to(KEPT).to(TYPE)

        x = tl.load(sample + n_slots * 3, mask=there, other=0.0)
        y = tl.load(sample + n_slots * 4, mask=there, other=0.0)
        z = tl.load(sample + n_slots * 5, mask=there, other=0.0)
        colour = none + tl.load(code + tl.arange(0, WIDTH))[None, :]
        direction = harmonics_tile(x, y, z).to(KEPT).to(TYPE)
        colour = times(direction, matrix(looks, NARROW, WIDTH, TYPE), colour)
        colour = times(density, matrix(square + 5 * _WHOLE, WIDTH, WIDTH, TYPE), colour)
        colour = tl.maximum(colour, 0.0).to(KEPT).to(TYPE)

        # Columns 0 … 2 of one product are the colour, column 3 of the other is the log density.
        answer = tl.zeros([BLOCK, NARROW], tl.float32)
        answer = times(colour, matrix(outputs + WIDTH * NARROW, WIDTH, NARROW, TYPE), answer)
        answer = times(density, matrix(outputs + 2 * WIDTH * NARROW, WIDTH, NARROW, TYPE), answer)
        column = tl.arange(0, NARROW)[None, :]
        answer = tl.where(column < 3, tl.sigmoid(answer) * 1.002 - 0.001, tl.exp(answer))
        place = answers + (frame * n_slots + slot)[:, None] * 4 + column
        tl.store(place, answer, mask=there[:, None] & (column < 4))


class TritonField:
    """Evaluates one head.

    Args:
        head: the tensors; they are merged, padded and copied to the device.
        device: `cuda`, or `cpu` under the interpreter.
        dtype: of activations and matrices; sums are float32 always.

    Raises:
        UnsupportedCharacterError: layers wider than the kernel's.
    """

    def __init__(self, head: HeadWeights, device: torch.device, dtype: torch.dtype) -> None:
        n_eye, n_hidden = head.eye_attention_1.shape
        if n_eye > NARROW.value or n_hidden > WIDTH.value:
            raise UnsupportedCharacterError(f"eye network of {n_hidden} and {n_eye} is not drawn")

        def padded(weight: Tensor, rows: int = 64, columns: int = 64) -> Tensor:
            """A layer as inputs × outputs, filled up with zeros."""
            whole = torch.zeros(rows, columns)
            whole[: weight.shape[1], : weight.shape[0]] = weight.T
            return whole

        self._tables = PlaneTables.of(head, device)
        by_feature, by_audio, by_eye = torch.split(
            head.sigma_0, [PLANE_FEATURES, AUDIO_DIM, n_eye], 1
        )
        by_direction, by_place, by_code = torch.split(head.color_0, [16, 64, len(head.code)], 1)
        log_density = torch.zeros(64, 16)
        log_density[:, 3] = head.sigma_2[0]
        square = (
            head.audio_attention_0, by_feature, head.audio_attention_1, head.eye_attention_0,
            head.sigma_1, by_place @ head.sigma_2[1:],
        )  # fmt: skip
        outputs = (padded(head.eye_attention_1, 64, 16), padded(head.color_1, 64, 16), log_density)
        self._square = torch.stack([padded(weight) for weight in square]).to(device, dtype)
        self._looks = padded(by_direction, 16).to(device, dtype)
        self._outputs = torch.stack(outputs).to(device, dtype)
        self._code = (by_code @ head.code).to(device)
        self._audio = (by_audio.to(device), head.audio_attention_1.to(device))
        last_eye = torch.eye(n_eye) if head.eye_sigmoid else head.eye_attention_1
        self._eye = (by_eye.to(device), last_eye.to(device))
        self._dtype = dtype
        self._device = device
        kept = _TYPES[dtype]
        is_interpreted = triton.knobs.runtime.interpret
        is_emulated = dtype == torch.bfloat16 and is_interpreted
        self._block = BLOCK if dtype != torch.float32 or is_interpreted else BLOCK_FLOAT32
        self._options = {
            "N_EYE": n_eye, "EYE_SIGMOID": head.eye_sigmoid, "KEPT": kept,
            "TYPE": tl.float32 if is_emulated else kept, "BLOCK": self._block,
            "num_warps": WARPS, **EXACT,
        }  # fmt: skip

    def merged(
        self, audio: Float[Tensor, "F 32"], eye: Float[Tensor, "F n_eye"]
    ) -> Float[Tensor, "F 2 64 64"]:
        """What F frames say, as matrices; inputs × outputs, in the field's dtype."""
        said = torch.zeros(len(audio), 2, 64, 64, device=self._device)
        for which, (vector, (first, last)) in enumerate(((audio, self._audio), (eye, self._eye))):
            product = torch.matmul(first * vector[:, None, :], last)  # [F, 64, n]
            said[:, which, : last.shape[1]] = product.transpose(1, 2)
        return said.to(self._dtype)

    def evaluate(
        self,
        samples: Float[Tensor, "F 6 m"],
        counts: Int[Tensor, "F"],
        said: Float[Tensor, "F 2 64 64"],
        *,
        answers: Float[Tensor, "F m 4"],
        norms: Float[Tensor, "F m 2"] | None,
    ) -> None:
        """Evaluate the first `counts` of m sample slots of every frame.

        Args:
            samples: point x, y, z and direction x, y, z. float32
            counts: how many there are. int32
            said: see `merged`.
            answers: filled with red, green, blue, density.
            norms: filled with the norms of audio and eye attention, which cost a tenth more.
        """
        n_frames, _, n_slots = samples.shape
        evaluate_kernel[(triton.cdiv(n_slots, self._block), n_frames)](
            samples, counts, said, answers, answers if norms is None else norms, *self._tables,
            self._square, self._looks, self._outputs, self._code, n_slots,
            NORMS=norms is not None, **self._options,
        )  # fmt: skip

    def __call__(
        self,
        points: Float[Tensor, "n 3"],
        directions: Float[Tensor, "n 3"],
        audio: Float[Tensor, "32"],
        eye: Float[Tensor, "n_eye"],
    ) -> Answers:
        """Evaluate n samples of one frame."""
        n = len(points)
        samples = torch.cat((points.T, directions.T))[None].contiguous()
        counts = torch.tensor([n], dtype=torch.int32, device=self._device)
        answers = torch.empty(1, n, 4, device=self._device)
        norms = torch.empty(1, n, 2, device=self._device)
        if n:
            said = self.merged(audio[None], eye[None])
            self.evaluate(samples, counts, said, answers=answers, norms=norms)
        return Answers(answers[0, :, 3], answers[0, :, :3], norms[0, :, 0], norms[0, :, 1])
