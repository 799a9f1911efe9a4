"""The step `together`: the encoder goes on learning, together with all that hears with it.

A window of 0.2 s does not say all; what lies between two sounds is heard from one window to the
next. So the trained encoder, the network that reads its features in context (`audio.context`) and
the audio networks (`hearing`) learn on as one, from sequences of windows, to say the mouth of every
frame. The encoder's heads learn on: its features are to mean by themselves what they meant before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from avatar_worker.audio.window import WINDOW_COLUMNS, window_start
from avatar_worker.recipes.audio_encoder import mel
from avatar_worker.recipes.audio_encoder.augment import Augmentation, network_scale
from avatar_worker.recipes.audio_encoder.feature_step import Windows
from avatar_worker.recipes.audio_encoder.hearing import (
    AFTER,
    BEFORE,
    PAST,
    MouthNetworks,
    SaidFrames,
    ended_early,
    loss_of,
)
from avatar_worker.recipes.audio_encoder.network import Encoder, Heads, TrainedContext
from avatar_worker.recipes.audio_encoder.train_step import WindowLoss
from avatar_worker.recipes.audio_encoder.training_run import (
    HEARING_FILE,
    NETWORKS_STATE_FILE,
    TRAINING_FILE,
    Losses,
    Run,
    cosine_decay,
    finished_state,
    train_to_end,
    training_sounds,
)
from avatar_worker.train.ears import hidden

_CHANGED_SHARE = 0.5
"""Of sequences: other microphones, noise and levels are drawn; the rest stay as they are."""

_SILENT_SHARE = 0.05
"""Of sequences that are replaced by silence with a closed mouth."""

_PART_WINDOWS = 310
"""Encoded at once: more of them leave the cache."""

_DROPOUT = 0.1
_WARM_UP_SEQUENCES = 500
_NETWORKS_LOSS, _WINDOW_LOSS = 10.0, 0.3


@dataclass(frozen=True, slots=True)
class TogetherPlan:
    """How long and how fast.

    Attributes:
        total_sequences: Sequences to draw.
        batch_sequences: Sequences an optimiser step.
        frames: Of each sequence whose mouth is said; fourteen more are heard.
        encoder_rate: Peak learning rate of encoder and heads; falls to 1 % along a cosine.
        networks_rate: The same for context and audio networks.
        seed: Weights and draws.
    """

    total_sequences: int = 50_000
    batch_sequences: int = 10
    frames: int = 48
    encoder_rate: float = 3e-4
    networks_rate: float = 5e-4
    seed: int = 0

    def decay_at(self, drawn: int) -> float:
        """Share of the peak rates after so many sequences."""
        warm_up = min(1.0, drawn / _WARM_UP_SEQUENCES + 0.05)
        return warm_up * cosine_decay(drawn, self.total_sequences)


class TogetherTrainer(Run):
    """A trained encoder with its heads, and the networks that hear with it.

    Args:
        windows: Training windows.
        noise: Noise bank `[frames, 80]`.
        trained: Where all of them begin: finished states of the steps `train` and `networks`.
        plan: How to train.
    """

    def __init__(
        self, windows: Windows, noise: Tensor, trained: Mapping[str, Any], plan: TogetherPlan
    ) -> None:
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.encoder = Encoder().to(memory_format=torch.channels_last)
        self.encoder.load_state_dict(trained["encoder"])
        # Windows of a sequence are too alike to tell mean and spread of all windows.
        self.encoder.eval()
        self.heads, self.context, self.networks = Heads(), TrainedContext(), MouthNetworks()
        self.heads.load_state_dict(trained["heads"])
        self.context.load_state_dict(trained["context"])
        self.networks.load_state_dict(trained["networks"])
        draws = torch.Generator().manual_seed(plan.seed)
        self._augment = Augmentation(noise, draws)
        self._mel = torch.from_numpy(windows.mel)
        self._starts = torch.from_numpy(windows.starts).long()
        self._said = SaidFrames.of(windows)
        self._loss = WindowLoss(self.heads, windows)
        rates = {
            plan.encoder_rate: [*self.encoder.parameters(), *self.heads.parameters()],
            plan.networks_rate: [*self.context.parameters(), *self.networks.weights.values()],
        }
        groups = [{"params": each, "peak": rate} for rate, each in rates.items()]
        optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=1e-2, fused=True)
        learners = {"encoder": self.encoder, "heads": self.heads}
        learners |= {"context": self.context, "networks": self.networks}
        super().__init__(learners, optimiser, draws)

    def train_step(self) -> Losses:
        """One optimiser step; gives its losses."""
        for group in self._optimiser.param_groups:
            group["lr"] = group["peak"] * self.plan.decay_at(self.drawn)
        windows, frames, is_silent = self._batch()
        inputs = network_scale(windows).flatten(0, 1)[:, None]
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            encoded = [self.encoder(part) for part in inputs.split(_PART_WINDOWS)]
        features = torch.cat(encoded).float().reshape(*frames.shape, -1)
        inner = slice(PAST + BEFORE, PAST + BEFORE + self.plan.frames)
        of_windows = self._loss(
            features[:, inner].flatten(0, 1),
            frames[:, inner].flatten(),
            is_silent.repeat_interleave(self.plan.frames),
        )
        heard = self.context(hidden(features, _DROPOUT, self._draws))
        said = self.networks(ended_early(heard, self._draws))
        targets = self._said.targets[frames[:, inner]] * ~is_silent[:, None, None]
        loss = _NETWORKS_LOSS * loss_of(said, targets)
        self._learn(loss + _WINDOW_LOSS * sum(of_windows.values()), self.plan.batch_sequences)
        return {"networks": loss.item()} | {k: each.item() for k, each in of_windows.items()}

    def _batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """Log-mel windows `[n, t, 80, 16]`, their frames `[n, t]`, and which are silent `[n]`."""
        n = self.plan.batch_sequences
        chosen = torch.randint(len(self._starts), (n,), generator=self._draws)
        frames = self._said.beside(chosen, PAST + BEFORE, self.plan.frames - 1 + AFTER)
        starts = self._starts[frames]
        n_columns = window_start(frames.shape[1]) + WINDOW_COLUMNS
        columns = starts[:, :1] + torch.arange(n_columns)
        last = starts[:, -1:] + WINDOW_COLUMNS - 1
        pieces = self._mel[columns.minimum(last)].float().transpose(1, 2)
        is_silent, is_changed = self._chosen(_SILENT_SHARE), self._chosen(_CHANGED_SHARE)
        pieces = pieces.masked_fill(is_silent[:, None, None], mel.FLOOR)
        pieces = torch.where(is_changed[:, None, None], self._augment(pieces), pieces)
        index = (starts - starts[:, :1])[:, :, None] + torch.arange(WINDOW_COLUMNS)
        rows = torch.arange(n)[:, None, None]
        return pieces.transpose(1, 2)[rows, index].transpose(2, 3), frames, is_silent

    def _chosen(self, share: float) -> Tensor:
        return torch.rand(self.plan.batch_sequences, generator=self._draws) < share


def train_together(work: Path, plan: TogetherPlan) -> None:
    """Train from `work/training.pt` and `work/networks.pt` into `work/hearing.pt`, resumable.

    Raises:
        NotTrainedError: the step `networks` was not run to its end.
    """
    trained = finished_state(work / TRAINING_FILE, "train")
    trained |= finished_state(work / NETWORKS_STATE_FILE, "networks")
    trainer = TogetherTrainer(*training_sounds(work), trained, plan)
    train_to_end(trainer, plan.total_sequences, work / HEARING_FILE, "sequences")
