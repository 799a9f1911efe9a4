"""What is said in frames of sound, and audio networks that hear it.

A character's own audio networks learn from some minutes of one person, and know those by heart
before they know speech. These learn from all of the recipe's speech what the encoder learned from
it: the nine mouth parameters, and whether somebody is speaking. Their vector is nothing but these
ten numbers, laid into 32 in fixed directions, so that there is nothing else for a head to learn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avatar_worker.audio.context import CONTEXT_FEATURES, Context
from avatar_worker.recipes.audio_encoder.feature_step import Windows
from avatar_worker.recipes.audio_encoder.mouth import CLOSE, LABIODENTAL, PARAMETERS
from avatar_worker.recipes.audio_encoder.scores import Curves
from avatar_worker.recipes.speech.phones import PHONES
from avatar_worker.recipes.speech.utterance import SILENCE
from avatar_worker.render.checkpoint_layout import Flavour, expected_shapes
from avatar_worker.train.audio_networks import AUDIO_NETWORKS, LAST_LAYER, vectors_along
from avatar_worker.train.head import first_weights

BEFORE, AFTER = 4, 3
"""Frames whose features the audio networks weigh, beside a frame's own."""

PAST = CONTEXT_FEATURES - 1

_SPREAD = torch.tensor([0.2] * len(PARAMETERS) + [0.4])
"""About how far each number strays: a vector's entries are near 1."""

_SPACE = 5
"""Seed of the directions: they are the same in every training."""

_CLOSURE_WEIGHT = 3.0
"""Of closed lips and lips on teeth: they are rare, and a mean of open and closed is neither."""

_CUT_SHARE = 0.15
"""Of sequences that end early: beyond a sound's end, features are zeros in use."""

_EDGE_FRAMES = 4


@dataclass(frozen=True, slots=True, eq=False)
class SaidFrames:
    """What is said in frames of many sounds.

    Attributes:
        targets: mouth parameters, and 1 where somebody speaks, with soft edges. [n, 10]
        ends: first and last frame of each one's sound. [n, 2]
    """

    targets: Tensor
    ends: Tensor

    @staticmethod
    def of(windows: Windows) -> SaidFrames:
        """The frames of a set."""
        sounds = windows.sounds
        first = np.searchsorted(sounds, sounds, side="left")
        last = np.searchsorted(sounds, sounds, side="right") - 1
        ends = torch.from_numpy(np.stack((first, last), axis=1))
        speaks = torch.from_numpy((windows.phones != PHONES.index(SILENCE)).astype(np.float32))
        steps = torch.arange(-_EDGE_FRAMES, _EDGE_FRAMES + 1)
        kernel = torch.exp(-0.5 * (steps / 2.0) ** 2)
        around = _beside(ends, torch.arange(len(ends)), _EDGE_FRAMES, _EDGE_FRAMES)
        speaking = speaks[around] @ (kernel / kernel.sum())
        mouth = torch.from_numpy(windows.targets[:, 1].astype(np.float32))
        return SaidFrames(torch.cat((mouth, speaking[:, None]), dim=1), ends)

    def beside(self, chosen: Tensor, before: int, after: int) -> Tensor:
        """Frames from `before` before to `after` after some; a sound's ends are repeated.

        [k] → [k, before + 1 + after]
        """
        return _beside(self.ends, chosen, before, after)


@dataclass(frozen=True, slots=True, eq=False)
class HeardFrames:
    """Frames of many sounds, and an encoder's feature of each.

    Attributes:
        said: what is said in them.
        features: of each frame. float16 [n, 512]
    """

    said: SaidFrames
    features: Tensor

    @staticmethod
    def of(windows: Windows, features: NDArray[np.floating]) -> HeardFrames:
        """A set, from its windows and their features `[n, 512]`."""
        return HeardFrames(SaidFrames.of(windows), torch.from_numpy(features.astype(np.float16)))

    def windows(self, chosen: Tensor, before: int = BEFORE, after: int = AFTER) -> Tensor:
        """Features that some frames see. [k, 8, 512]"""
        return self.features[self.said.beside(chosen, before, after)].float()

    def in_context(self, context: Context) -> HeardFrames:
        """The same frames with their features read in context."""
        parts = torch.arange(len(self.features)).split(1024)
        read = [context.read(self.windows(part, PAST, 0))[:, 0] for part in parts]
        return replace(self, features=torch.cat(read).half())


class MouthNetworks:
    """Audio networks whose vector is the mouth: nothing at rest, in ten directions otherwise.

    Args:
        seed: of the first weights.
    """

    def __init__(self, seed: int = 0) -> None:
        random = torch.Generator().manual_seed(seed)
        flavour = Flavour(
            audio="ave", audio_dim=512, has_attention=True, eye="upper", n_eye=7, n_code=4,
            n_codes=1, is_er_nerf=False, has_torso=False,
        )  # fmt: skip
        weights = first_weights(expected_shapes(flavour), AUDIO_NETWORKS, random)
        n_audio = weights[f"{LAST_LAYER}.bias"].shape[0]
        # Heads that learned one set of such networks can hear with another.
        drawn = torch.randn(n_audio, len(_SPREAD), generator=torch.Generator().manual_seed(_SPACE))
        self._directions = torch.linalg.qr(drawn)[0]  # [32, 10]
        # The last layer is trained as ten rows, not as 32.
        for part in ("weight", "bias"):
            last = weights[f"{LAST_LAYER}.{part}"]
            weights[f"{LAST_LAYER}.{part}"] = self._directions.T @ last
        self.weights = {key: weight.requires_grad_() for key, weight in weights.items()}

    def state_dict(self) -> dict[str, Tensor]:
        """The weights that are trained, by name."""
        return {key: weight.detach() for key, weight in self.weights.items()}

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """Take over the weights of other such networks."""
        with torch.no_grad():
            for key, weight in self.weights.items():
                weight.copy_(state_dict[key])

    def tensors(self) -> dict[str, Tensor]:
        """The networks under their names in a checkpoint."""
        return {key: tensor.detach().contiguous() for key, tensor in self._whole().items()}

    def __call__(self, features: Tensor) -> Tensor:
        """Sequences [n, t, 512] → mouth parameters and speaking of the frames inside, 10 each.

        [n, t − 7, 10]
        """
        return vectors_along(self._whole(), features) @ self._directions * _SPREAD

    @torch.inference_mode()
    def mouth(self, heard: HeardFrames) -> Curves:
        """Mouth parameters of every frame `[n, 9]`."""
        parts = torch.arange(len(heard.features)).split(1024)
        said = torch.cat([self(heard.windows(part))[:, 0] for part in parts])
        return said[:, : len(PARAMETERS)].numpy()

    def _whole(self) -> dict[str, Tensor]:
        last = {
            f"{LAST_LAYER}.{part}": self._directions @ self.weights[f"{LAST_LAYER}.{part}"]
            for part in ("weight", "bias")
        }
        return self.weights | last


def loss_of(said: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error; lips that are closed or on the teeth count more."""
    weight = torch.ones_like(targets)
    for parameter in (CLOSE, LABIODENTAL):
        weight[..., parameter] += (_CLOSURE_WEIGHT - 1) * targets[..., parameter]
    return ((said - targets).square() * weight).mean()


def ended_early(features: Tensor, random: torch.Generator) -> Tensor:
    """Sequences `[n, t, 512]`; zeros in place of the last one to three features of some."""
    n, length, _ = features.shape
    missing = torch.randint(1, AFTER + 1, (n,), generator=random)
    missing *= torch.rand(n, generator=random) < _CUT_SHARE
    is_there = torch.arange(length) < (length - missing)[:, None]
    return features * is_there[:, :, None]


def _beside(ends: Tensor, chosen: Tensor, before: int, after: int) -> Tensor:
    numbers = chosen[:, None] + torch.arange(-before, after + 1)
    first, last = ends[chosen].T[:, :, None]
    return numbers.clamp(first, last)
