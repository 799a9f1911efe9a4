"""The steps `networks` and `settle`: context and audio networks, on features of a fixed encoder.

Features are computed once, so a step of these two small networks costs a thousandth of what the
encoder's would. The step `together` begins with what they have learned; when it is done, they
settle on the features that came of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from avatar_worker.recipes.audio_encoder.corpus import write_arrays
from avatar_worker.recipes.audio_encoder.feature_step import Windows
from avatar_worker.recipes.audio_encoder.hearing import (
    AFTER,
    BEFORE,
    PAST,
    HeardFrames,
    MouthNetworks,
    ended_early,
    loss_of,
)
from avatar_worker.recipes.audio_encoder.network import Encoder, TrainedContext
from avatar_worker.recipes.audio_encoder.readout import encode_windows, encoder_of
from avatar_worker.recipes.audio_encoder.training_run import (
    HEARING_FILE,
    NETWORKS_STATE_FILE,
    SETTLED_FILE,
    TRAINING_FILE,
    Losses,
    Run,
    cosine_decay,
    finished_state,
    train_to_end,
    training_sets,
    training_windows,
    use_threads,
)
from avatar_worker.train.ears import hidden

_DROPOUT, _WEIGHT_DECAY = 0.15, 1e-2


@dataclass(frozen=True, slots=True)
class NetworksPlan:
    """How long and how fast.

    Attributes:
        total_sequences: Sequences to draw.
        batch_sequences: Sequences an optimiser step.
        frames: Of each sequence whose mouth is said; fourteen more are heard.
        rate: Peak learning rate; falls to 1 % along a cosine.
        seed: Weights and draws.
    """

    total_sequences: int = 480_000
    batch_sequences: int = 20
    frames: int = 24
    rate: float = 2e-3
    seed: int = 0

    def rate_at(self, drawn: int) -> float:
        """Learning rate after so many sequences."""
        return self.rate * cosine_decay(drawn, self.total_sequences)


SETTLING = NetworksPlan(total_sequences=240_000, rate=5e-4)


class NetworksTrainer(Run):
    """Networks that learn to hear with an encoder.

    Args:
        heard: Training frames.
        plan: How to train.
        begun: State whose networks to go on with; fresh ones without.
    """

    def __init__(
        self, heard: HeardFrames, plan: NetworksPlan, begun: Mapping[str, Any] | None = None
    ) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self._heard = plan, heard
        self.context, self.networks = TrainedContext(), MouthNetworks()
        if begun is not None:
            self.context.load_state_dict(begun["context"])
            self.networks.load_state_dict(begun["networks"])
        weights = [*self.context.parameters(), *self.networks.weights.values()]
        optimiser = torch.optim.AdamW(weights, lr=plan.rate, weight_decay=_WEIGHT_DECAY, fused=True)
        draws = torch.Generator().manual_seed(plan.seed)
        super().__init__({"context": self.context, "networks": self.networks}, optimiser, draws)

    def train_step(self) -> Losses:
        """One optimiser step; gives its loss."""
        for group in self._optimiser.param_groups:
            group["lr"] = self.plan.rate_at(self.drawn)
        plan, said = self.plan, self._heard.said
        chosen = torch.randint(len(said.ends), (plan.batch_sequences,), generator=self._draws)
        seen = self._heard.windows(chosen, PAST + BEFORE, plan.frames - 1 + AFTER)
        heard = self.context(hidden(seen, _DROPOUT, self._draws))
        targets = said.targets[said.beside(chosen, 0, plan.frames - 1)]
        loss = loss_of(self.networks(ended_early(heard, self._draws)), targets)
        self._learn(loss, plan.batch_sequences)
        return {"networks": loss.item()}


def make_networks(work: Path, plan: NetworksPlan) -> None:
    """Train from `work/training.pt` into `work/networks.pt`; goes on where it stopped.

    Raises:
        NotTrainedError: the step `train` was not run to its end.
    """
    trained = finished_state(work / TRAINING_FILE, "train")
    trainer = NetworksTrainer(_heard(work, TRAINING_FILE, trained), plan)
    train_to_end(trainer, plan.total_sequences, work / NETWORKS_STATE_FILE, "sequences")


def settle_networks(work: Path, plan: NetworksPlan) -> None:
    """Train from `work/hearing.pt` into `work/settled.pt`; goes on where it stopped.

    Raises:
        NotTrainedError: the step `together` was not run to its end.
    """
    begun = finished_state(work / HEARING_FILE, "together")
    trainer = NetworksTrainer(_heard(work, HEARING_FILE, begun), plan, begun)
    train_to_end(trainer, plan.total_sequences, work / SETTLED_FILE, "sequences")


def _heard(work: Path, state_file: str, state: Mapping[str, Any]) -> HeardFrames:
    """All training frames as the encoder of a state hears them; kept under its file's hash."""
    use_threads()
    encoder = encoder_of(state["encoder"])
    digest = hashlib.sha256((work / state_file).read_bytes()).hexdigest()
    folder = work / f"heard-{digest[:8]}"
    features = [_features(path, encoder, folder) for path in training_sets(work)]
    return HeardFrames.of(training_windows(work), np.concatenate(features))


def _features(path: Path, encoder: Encoder, folder: Path) -> NDArray[np.float16]:
    """Features of a training set, from `folder` where they are."""
    kept = folder / path.name
    if not kept.exists():
        windows = Windows.load(path)
        with torch.autocast("cpu", torch.bfloat16):
            encoded = encode_windows(encoder, windows)
        write_arrays(kept, features=encoded.astype(np.float16))
        print(f"{path.stem}: {len(windows.starts)} windows encoded", flush=True)
    with np.load(kept) as file:
        features: NDArray[np.float16] = file["features"]
        return features
