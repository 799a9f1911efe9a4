"""The encoder that is trained, the heads that teach it, and the network that reads its features.

The blocks are those of `avatar_worker.audio.encoder`, here with the normalisation kept apart.
Parameter names are those of the `audio_visual_encoder.pth` that SyncTalk characters are driven by,
so the trained file can take its place. The heads are thrown away after training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from avatar_worker.audio.context import FEATURE_DIM, PREFIX, context_tensors, through
from avatar_worker.audio.encoder import BLOCKS, NORM_EPSILON, Block
from avatar_worker.recipes.audio_encoder.mouth import PARAMETERS
from avatar_worker.recipes.speech.phones import PHONES

INSTANTS = 3
"""Targets of the frame before, at and after the window's: more to learn from one window."""


class TrainedBlock(nn.Module):
    """Convolution and batch norm, the input added if residual, then ReLU.

    Out of training mode the normalisation is fixed and goes into the convolution, as in use: half
    the memory is moved. Gradients reach both.
    """

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.Conv2d(block.n_in, block.n_out, block.kernel, block.stride, block.padding),
            nn.BatchNorm2d(block.n_out, eps=NORM_EPSILON),
        )
        self.is_residual = block.is_residual

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, bands, time]` to the next block's shape."""
        y = self.conv_block(x) if self.training else self._folded(x)
        return torch.relu(y + x if self.is_residual else y)

    def _folded(self, x: Tensor) -> Tensor:
        convolution, norm = self.conv_block
        gain = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        bias = (convolution.bias - norm.running_mean) * gain + norm.bias
        weight = convolution.weight * gain[:, None, None, None]
        return conv2d(x, weight, bias, convolution.stride, convolution.padding)


class Encoder(nn.Sequential):
    """Windows `[B, 1, 80, 16]` → features `[B, 512, 1, 1]`; keys `<block>.conv_block.<0|1>.…`."""

    def __init__(self) -> None:
        super().__init__(*(TrainedBlock(block) for block in BLOCKS))


class Heads(nn.Module):
    """Features → mouth parameters at three instants, and the phone."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.15)
        self.mouth = nn.Linear(FEATURE_DIM, INSTANTS * len(PARAMETERS))
        self.phone = nn.Linear(FEATURE_DIM, len(PHONES))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """`[B, 512]` → parameters `[B, 3, 9]` and phone logits `[B, 38]`."""
        kept = self.dropout(features)
        mouth = self.mouth(kept).reshape(-1, INSTANTS, len(PARAMETERS))
        return mouth, self.phone(kept)


class TrainedContext(nn.Module):
    """`audio.context.Context` with the normalisation kept apart, and dropout before the last."""

    def __init__(self) -> None:
        super().__init__()
        shapes = [s for key, s in context_tensors().items() if key.endswith("weight")]
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv1d(n_in, n_out, kernel), nn.BatchNorm1d(n_out, eps=NORM_EPSILON))
            for n_out, n_in, kernel in shapes
        )
        self.layers[-1].insert(0, nn.Dropout(0.1))

    def forward(self, features: Tensor) -> Tensor:
        """`[n, t, 512]` → `[n, t − 7, 512]`."""
        return through(self.layers, features)

    @torch.no_grad()
    def tensors(self) -> dict[str, Tensor]:
        """As an encoder file has them: normalisation folded into the convolutions; once trained."""
        self.eval()
        found = {}
        for index, layer in enumerate(self.layers):
            folded = nn.utils.fusion.fuse_conv_bn_eval(layer[-2], layer[-1])
            found[f"{PREFIX}{index}.weight"] = folded.weight.detach()
            found[f"{PREFIX}{index}.bias"] = folded.bias.detach()
        return found
