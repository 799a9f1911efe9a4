"""The step `train`: encoder and heads on all training windows, resumable at any time.

Two views of each window are drawn; both must give the labels, and their features must agree, so
what changes between them (voice, room, noise, level) is what the encoder learns not to hear.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from avatar_worker.audio.window import WINDOW_COLUMNS
from avatar_worker.recipes.audio_encoder import mel
from avatar_worker.recipes.audio_encoder.augment import Augmentation, network_scale
from avatar_worker.recipes.audio_encoder.feature_step import Windows
from avatar_worker.recipes.audio_encoder.mouth import CLOSE, LABIODENTAL
from avatar_worker.recipes.audio_encoder.network import Encoder, Heads
from avatar_worker.recipes.audio_encoder.training_run import (
    TRAINING_FILE,
    Losses,
    Run,
    cosine_decay,
    train_to_end,
    training_sounds,
)
from avatar_worker.recipes.speech.phones import PHONES
from avatar_worker.recipes.speech.utterance import SILENCE

_INSTANT_WEIGHT = torch.tensor([0.5, 1.0, 0.5])[:, None]
_PARAMETER_WEIGHT = torch.tensor([1.2, 1.5, 1.5, 1.2, 1.0, 1.5, 0.8, 0.8, 0.8])
_CLOSURE_WEIGHT = 1.6
_MOUTH_LOSS, _PHONE_LOSS, _AGREEMENT_LOSS = 10.0, 0.25, 0.1
_WARM_UP_WINDOWS = 14_400


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """How long and how fast; a run may be resumed with another batch.

    Attributes:
        total_windows: Windows to draw; each is seen twice.
        batch_windows: Windows an optimiser step.
        learning_rate: Peak, after a warm-up; falls to 1 % along a cosine.
        silent_share: Share of windows that are replaced by silence with a closed mouth.
        seed: Weights and draws.
    """

    total_windows: int = 400_000
    batch_windows: int = 48
    learning_rate: float = 1.5e-3
    silent_share: float = 0.07
    seed: int = 0

    def rate_at(self, drawn: int) -> float:
        """Learning rate after so many windows."""
        warm_up = min(1.0, drawn / _WARM_UP_WINDOWS + 0.05)
        return self.learning_rate * warm_up * cosine_decay(drawn, self.total_windows)


class Trainer(Run):
    """Encoder and heads from fresh weights.

    Args:
        windows: Training windows.
        noise: Noise bank `[frames, 80]`.
        plan: How to train.
    """

    def __init__(self, windows: Windows, noise: Tensor, plan: TrainingPlan) -> None:
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.encoder = Encoder().to(memory_format=torch.channels_last)
        self.heads = Heads()
        draws = torch.Generator().manual_seed(plan.seed)
        self._augment = Augmentation(noise, draws)
        self._mel = torch.from_numpy(windows.mel)
        self._starts = torch.from_numpy(windows.starts).long()
        self._loss = WindowLoss(self.heads, windows)
        weights = [*self.encoder.parameters(), *self.heads.parameters()]
        optimiser = torch.optim.AdamW(
            weights, plan.learning_rate, betas=(0.9, 0.98), weight_decay=0.03, fused=True
        )
        super().__init__({"encoder": self.encoder, "heads": self.heads}, optimiser, draws)

    def train_step(self) -> Losses:
        """One optimiser step; gives its losses."""
        for group in self._optimiser.param_groups:
            group["lr"] = self.plan.rate_at(self.drawn)
        windows, picked, silent = self._batch()
        views = torch.cat([self._augment(windows), self._augment(windows)])
        inputs = network_scale(views)[:, None].contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            features = self.encoder(inputs).flatten(1)
        features = features.float()
        losses = self._loss(features, picked.repeat(2), silent.repeat(2))
        losses["agreement"] = _AGREEMENT_LOSS * disagreement(features)
        self._learn(torch.stack(list(losses.values())).sum(), self.plan.batch_windows)
        return {name: loss.item() for name, loss in losses.items()}

    def _batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """Log-mel windows `[B, 80, 16]`, their numbers `[B]`, and which were made silent `[B]`."""
        size = (self.plan.batch_windows,)
        picked = torch.randint(len(self._starts), size, generator=self._draws)
        frames = self._starts[picked][:, None] + torch.arange(WINDOW_COLUMNS)
        windows = self._mel[frames].float().transpose(1, 2)
        silent = torch.rand(size, generator=self._draws) < self.plan.silent_share
        return windows.masked_fill(silent[:, None, None], mel.FLOOR), picked, silent


class WindowLoss:
    """What the heads cost: mouth and phone of windows, from their features.

    Args:
        heads: whose.
        windows: with the truth.
    """

    def __init__(self, heads: Heads, windows: Windows) -> None:
        self._heads = heads
        self._targets = torch.from_numpy(windows.targets)
        self._phones = torch.from_numpy(windows.phones).long()
        counts = torch.bincount(self._phones, minlength=len(PHONES)).float().clamp(min=50)
        self._phone_weight = counts.rsqrt() / counts.rsqrt().mean()

    def __call__(self, features: Tensor, numbers: Tensor, silent: Tensor) -> dict[str, Tensor]:
        """Losses of windows; those made silent have a closed mouth.

        Args:
            features: `[B, 512]`.
            numbers: of the windows `[B]`.
            silent: which were made silent `[B]`.
        """
        targets = self._targets[numbers].float().masked_fill(silent[:, None, None], 0)
        phones = self._phones[numbers].masked_fill(silent, PHONES.index(SILENCE))
        mouth, logits = self._heads(features)
        phone = functional.cross_entropy(logits, phones, self._phone_weight, label_smoothing=0.05)
        return {"mouth": _MOUTH_LOSS * mouth_loss(mouth, targets), "phone": _PHONE_LOSS * phone}


def mouth_loss(predicted: Tensor, targets: Tensor) -> Tensor:
    """Weighted squared error of `[B, 3, 9]`; closed lips count more, for they are rare."""
    weight = _INSTANT_WEIGHT * _PARAMETER_WEIGHT * torch.ones_like(targets)
    for parameter in (CLOSE, LABIODENTAL):
        weight[..., parameter] *= 1 + (_CLOSURE_WEIGHT - 1) * (targets[..., parameter] > 0.5)
    return ((predicted - targets).square() * weight).mean()


def disagreement(features: Tensor) -> Tensor:
    """Squared distance of two views' features `[2 B, 512]`, relative to their size."""
    first, second = features.chunk(2)
    size = features.detach().square().sum(1).mean()
    return (first - second).square().sum(1).mean() / size


def train(work: Path, plan: TrainingPlan) -> None:
    """Train from `work/features` into `work/training.pt`; goes on where it stopped."""
    trainer = Trainer(*training_sounds(work), plan)
    train_to_end(trainer, plan.total_windows, work / TRAINING_FILE, "windows")
