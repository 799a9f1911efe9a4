"""The step `networks`: what hears the mouth in any voice, on top of the encoder.

A character's own audio networks learn from some minutes of one person, and know those by heart
before they know speech. These learn from all of the recipe's speech what the encoder learned from
it: the nine mouth parameters, and whether somebody is speaking. Their vector is nothing but these
ten numbers, laid into 32 in fixed directions, so that there is nothing else for a head to learn.

Together with them learns the network that reads the encoder's features in context
(`audio.context`): the audio networks look at each feature by itself and only weigh the results, so
what lies between two sounds must be in the features.
"""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from avatar_worker.audio.context import CONTEXT_FEATURES, Context
from avatar_worker.audio.encoder import expected_tensors
from avatar_worker.recipes.audio_encoder.corpus import write_arrays
from avatar_worker.recipes.audio_encoder.feature_step import Windows
from avatar_worker.recipes.audio_encoder.gate_step import (
    FILE_NAME,
    GateError,
    print_scores,
    test_scores,
)
from avatar_worker.recipes.audio_encoder.mouth import CLOSE, LABIODENTAL, PARAMETERS
from avatar_worker.recipes.audio_encoder.network import Encoder, TrainedContext
from avatar_worker.recipes.audio_encoder.readout import encode_windows, encoder_of
from avatar_worker.recipes.audio_encoder.scores import Curves
from avatar_worker.recipes.speech.phones import PHONES
from avatar_worker.recipes.speech.utterance import SILENCE
from avatar_worker.render.checkpoint_layout import Flavour, expected_shapes
from avatar_worker.train.audio_networks import AUDIO_NETWORKS, LAST_LAYER, vectors_along
from avatar_worker.train.ears import hidden
from avatar_worker.train.head import first_weights
from avatar_worker.train.hearing import CONTEXT_ENCODER_FILE, NETWORKS_FILE
from avatar_worker.whole_files import write_whole

_STEPS, _SEQUENCES, _FRAMES = 12_000, 20, 24
_RATE, _LAST_RATE, _WEIGHT_DECAY, _DROPOUT = 2e-3, 2e-5, 1e-2, 0.15
_EVERY = 2
"""Every second sound of the training sets: all of them taught networks without context no more."""

_CUT_SHARE = 0.15
"""Of sequences that end early: beyond a sound's end, features are zeros in use."""

_SPREAD = torch.tensor([0.2] * len(PARAMETERS) + [0.4])
"""About how far each number strays: a vector's entries are near 1."""

_SPACE = 5
"""Seed of the directions: they are the same in every training."""

_CLOSURE_WEIGHT = 3.0
"""Of closed lips and lips on teeth: they are rare, and a mean of open and closed is neither."""

_BEFORE, _AFTER = 4, 3
_PAST = CONTEXT_FEATURES - 1
_SAY_EVERY = 1_000
_EDGE_FRAMES = 4


@dataclass(frozen=True, slots=True, eq=False)
class HeardFrames:
    """Frames of many sounds, with what is said in them.

    Attributes:
        features: of each frame. float16 [n, 512]
        targets: mouth parameters, and 1 where somebody speaks, with soft edges. [n, 10]
        ends: first and last frame of each one's sound. [n, 2]
    """

    features: Tensor
    targets: Tensor
    ends: Tensor

    def beside(self, chosen: Tensor, before: int, after: int) -> Tensor:
        """Frames from `before` before to `after` after some; a sound's ends are repeated.

        [k] → [k, before + 1 + after]
        """
        return _beside(self.ends, chosen, before, after)

    def windows(self, chosen: Tensor, before: int = _BEFORE, after: int = _AFTER) -> Tensor:
        """Features that some frames see. [k, 8, 512]"""
        return self.features[self.beside(chosen, before, after)].float()

    def in_context(self, context: Context) -> HeardFrames:
        """The same frames with their features read in context."""
        parts = torch.arange(len(self.features)).split(1024)
        read = [context.read(self.windows(part, _PAST, 0))[:, 0] for part in parts]
        return replace(self, features=torch.cat(read).half())

    @staticmethod
    def of(windows: Windows, features: NDArray[np.floating]) -> HeardFrames:
        """A set, from its windows and their features `[n, 512]`."""
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
        targets = torch.cat((mouth, speaking[:, None]), dim=1)
        return HeardFrames(torch.from_numpy(features.astype(np.float16)), targets, ends)

    @staticmethod
    def joined(parts: list[HeardFrames]) -> HeardFrames:
        """Several sets as one."""
        firsts = np.cumsum([0, *(len(part.features) for part in parts)])
        return HeardFrames(
            torch.cat([part.features for part in parts]),
            torch.cat([part.targets for part in parts]),
            torch.cat([p.ends + int(n) for p, n in zip(parts, firsts, strict=False)]),
        )


def make_networks(work: Path, steps: int = _STEPS) -> None:
    """Train on `work/features`; prints scores.

    Writes into `export`: `audio_encoder.safetensors`, the encoder with its context, and
    `audio_networks.safetensors`. Features of the training sets stay in a folder of `work`;
    training takes minutes, and begins anew when it was stopped.

    Raises:
        GateError: no encoder was exported yet.
    """
    path = work / "export" / FILE_NAME
    if not path.is_file():
        raise GateError(f"{path} is missing: run gate and export first")
    torch.set_num_threads(1)
    state = torch.load(path, weights_only=True)
    encoder = encoder_of(state)
    folder = work / f"heard-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"
    sets = sorted((work / "features").glob("train-*.npz"))
    trained = HeardFrames.joined([_of_training_set(each, encoder, folder) for each in sets])
    torch.manual_seed(0)
    reader, networks = TrainedContext(), MouthNetworks()
    _train(reader, networks, trained, steps)
    context = {key: tensor.half() for key, tensor in reader.tensors().items()}
    kept = {key: state[key] for key in expected_tensors()} | context
    write_whole(work / "export" / CONTEXT_ENCODER_FILE, save(kept))
    write_whole(work / "export" / NETWORKS_FILE, save(networks.tensors()))

    def hear(windows: Windows) -> Curves:
        heard = HeardFrames.of(windows, encode_windows(encoder, windows))
        return networks.mouth(heard.in_context(Context(context)))

    print_scores("audio networks", test_scores(work, hear))


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


def _train(reader: TrainedContext, networks: MouthNetworks, heard: HeardFrames, steps: int) -> None:
    random = torch.Generator().manual_seed(1)
    weights = [*reader.parameters(), *networks.weights.values()]
    optimiser = torch.optim.AdamW(weights, lr=_RATE, weight_decay=_WEIGHT_DECAY)
    began_s, mean = time.monotonic(), 0.0
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = _LAST_RATE + _RATE * (1 + math.cos(math.pi * step / steps)) / 2
        chosen = torch.randint(len(heard.features), (_SEQUENCES,), generator=random)
        seen = heard.windows(chosen, _PAST + _BEFORE, _FRAMES - 1 + _AFTER)
        features = _cut(reader(hidden(seen, _DROPOUT, random)), random)
        targets = heard.targets[heard.beside(chosen, 0, _FRAMES - 1)]
        loss = loss_of(networks(features), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        mean += loss.item() / _SAY_EVERY
        if (step + 1) % _SAY_EVERY == 0:
            left_s = (time.monotonic() - began_s) / (step + 1) * (steps - step - 1)
            print(f"{step + 1} of {steps} steps: {mean:.4f}, {left_s:.0f} s left", flush=True)
            mean = 0.0


def _cut(features: Tensor, random: torch.Generator) -> Tensor:
    """Zeros in place of the last one to three features of some sequences."""
    n, length, _ = features.shape
    missing = torch.randint(1, _AFTER + 1, (n,), generator=random)
    missing *= torch.rand(n, generator=random) < _CUT_SHARE
    is_there = torch.arange(length) < (length - missing)[:, None]
    return features * is_there[:, :, None]


def _of_training_set(path: Path, encoder: Encoder, folder: Path) -> HeardFrames:
    """Every second sound of a set; its features from `folder` where they are."""
    windows = Windows.load(path)
    windows = windows.picked(np.flatnonzero(windows.sounds % _EVERY == 0))
    kept = folder / path.name
    if not kept.exists():
        write_arrays(kept, features=encode_windows(encoder, windows).astype(np.float16))
        print(f"{path.stem}: {len(windows.starts)} windows encoded", flush=True)
    with np.load(kept) as file:
        return HeardFrames.of(windows, file["features"])


def _beside(ends: Tensor, chosen: Tensor, before: int, after: int) -> Tensor:
    numbers = chosen[:, None] + torch.arange(-before, after + 1)
    first, last = ends[chosen].T[:, :, None]
    return numbers.clamp(first, last)
