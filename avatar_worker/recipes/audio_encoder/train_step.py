"""The step `train`: encoder and heads on all training windows, resumable at any time.

Two views of each window are drawn; both must give the labels, and their features must agree, so
what changes between them (voice, room, noise, level) is what the encoder learns not to hear.
"""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from avatar_worker.audio.window import WINDOW_COLUMNS
from avatar_worker.recipes.audio_encoder import mel
from avatar_worker.recipes.audio_encoder.augment import Augmentation, network_scale
from avatar_worker.recipes.audio_encoder.corpus import line_files, load_line
from avatar_worker.recipes.audio_encoder.feature_step import Windows
from avatar_worker.recipes.audio_encoder.mouth import CLOSE, LABIODENTAL
from avatar_worker.recipes.audio_encoder.network import Encoder, Heads
from avatar_worker.recipes.audio_encoder.noise_bank import noise_bank
from avatar_worker.recipes.speech.phones import PHONES
from avatar_worker.recipes.speech.utterance import SILENCE

_INSTANT_WEIGHT = torch.tensor([0.5, 1.0, 0.5])[:, None]
_PARAMETER_WEIGHT = torch.tensor([1.2, 1.5, 1.5, 1.2, 1.0, 1.5, 0.8, 0.8, 0.8])
_CLOSURE_WEIGHT = 1.6
_MOUTH_LOSS, _PHONE_LOSS, _AGREEMENT_LOSS = 10.0, 0.25, 0.1
_WARM_UP_WINDOWS = 14_400
_SAVE_EVERY_S = 60.0
_BABBLE_LINES = 20
"""Of each training set; they talk across each other in the noise."""


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

    total_windows: int = 600_000
    batch_windows: int = 48
    learning_rate: float = 1.5e-3
    silent_share: float = 0.07
    seed: int = 0

    def rate_at(self, drawn: int) -> float:
        """Learning rate after so many windows."""
        warm_up = min(1.0, drawn / _WARM_UP_WINDOWS + 0.05)
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, drawn / self.total_windows)))
        return self.learning_rate * warm_up * (0.99 * cosine + 0.01)


class Trainer:
    """One run: the networks, the optimiser, the draws, and all of it on disk."""

    def __init__(self, windows: Windows, noise: Tensor, plan: TrainingPlan) -> None:
        """Start from fresh weights.

        Args:
            windows: Training windows.
            noise: Noise bank `[frames, 80]`.
            plan: How to train.
        """
        torch.manual_seed(plan.seed)
        self.plan, self.drawn = plan, 0
        self.encoder = Encoder().to(memory_format=torch.channels_last)
        self.heads = Heads()
        self._draws = torch.Generator().manual_seed(plan.seed)
        self._augment = Augmentation(noise, self._draws)
        self._mel = torch.from_numpy(windows.mel)
        self._starts = torch.from_numpy(windows.starts).long()
        self._targets = torch.from_numpy(windows.targets)
        self._phones = torch.from_numpy(windows.phones).long()
        counts = torch.bincount(self._phones, minlength=len(PHONES)).float().clamp(min=50)
        self._phone_weight = counts.rsqrt() / counts.rsqrt().mean()
        self._parameters = [*self.encoder.parameters(), *self.heads.parameters()]
        self._optimiser = torch.optim.AdamW(
            self._parameters, plan.learning_rate, betas=(0.9, 0.98), weight_decay=0.03, fused=True
        )

    def train_step(self) -> dict[str, float]:
        """One optimiser step; gives its losses."""
        for group in self._optimiser.param_groups:
            group["lr"] = self.plan.rate_at(self.drawn)
        windows, targets, phones = self._batch()
        views = torch.cat([self._augment(windows), self._augment(windows)])
        inputs = network_scale(views)[:, None].contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            features = self.encoder(inputs).flatten(1)
        features = features.float()
        mouth, logits = self.heads(features)
        losses = {
            "mouth": _MOUTH_LOSS * mouth_loss(mouth, torch.cat([targets, targets])),
            "phone": _PHONE_LOSS
            * functional.cross_entropy(
                logits, torch.cat([phones, phones]), self._phone_weight, label_smoothing=0.05
            ),
            "agreement": _AGREEMENT_LOSS * disagreement(features),
        }
        self._optimiser.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        nn.utils.clip_grad_norm_(self._parameters, 2.0)
        self._optimiser.step()
        self.drawn += self.plan.batch_windows
        return {name: loss.item() for name, loss in losses.items()}

    def _batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """Log-mel windows `[B, 80, 16]`, targets `[B, 3, 9]`, phones `[B]`; some made silent."""
        size = (self.plan.batch_windows,)
        picked = torch.randint(len(self._starts), size, generator=self._draws)
        frames = self._starts[picked][:, None] + torch.arange(WINDOW_COLUMNS)
        windows = self._mel[frames].float().transpose(1, 2)
        silent = torch.rand(size, generator=self._draws) < self.plan.silent_share
        windows = windows.masked_fill(silent[:, None, None], mel.FLOOR)
        targets = self._targets[picked].float().masked_fill(silent[:, None, None], 0)
        phones = self._phones[picked].masked_fill(silent, PHONES.index(SILENCE))
        return windows, targets, phones

    def save(self, path: Path) -> None:
        """Write everything that the next step depends on, in one step."""
        state = {
            "drawn": self.drawn,
            "encoder": self.encoder.state_dict(),
            "heads": self.heads.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "draws": self._draws.get_state(),
            "dropout": torch.get_rng_state(),
        }
        unfinished = path.with_suffix(".unfinished")
        torch.save(state, unfinished)
        unfinished.replace(path)

    def resume(self, path: Path) -> None:
        """Go on from a file of `save`."""
        state = torch.load(path, weights_only=True)
        self.drawn = state["drawn"]
        self.encoder.load_state_dict(state["encoder"])
        self.heads.load_state_dict(state["heads"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._draws.set_state(state["draws"])
        torch.set_rng_state(state["dropout"])


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
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    sets = sorted((work / "features").glob("train-*.npz"))
    windows = Windows.joined([Windows.load(path) for path in sets])
    print(f"{len(windows.starts)} windows from {', '.join(path.stem for path in sets)}", flush=True)
    folders = [work / "speech" / path.stem for path in sets]
    spoken = [path for folder in folders for path in line_files(folder)[:_BABBLE_LINES]]
    bank = noise_bank([load_line(path).utterance.samples for path in spoken])
    trainer = Trainer(windows, torch.from_numpy(bank), plan)
    path = work / "training.pt"
    if path.exists():
        trainer.resume(path)
        print(f"goes on after {trainer.drawn} windows", flush=True)
    saved_s, sums, count = time.monotonic(), dict.fromkeys(("mouth", "phone", "agreement"), 0.0), 0
    began_s, began = saved_s, trainer.drawn
    while trainer.drawn < plan.total_windows:
        for name, loss in trainer.train_step().items():
            sums[name] += loss
        count += 1
        now_s = time.monotonic()
        if now_s - saved_s > _SAVE_EVERY_S or trainer.drawn >= plan.total_windows:
            trainer.save(path)
            losses = ", ".join(f"{name} {total / count:.4f}" for name, total in sums.items())
            rate = (trainer.drawn - began) / (now_s - began_s)
            print(f"{trainer.drawn} windows: {losses}; {rate:.1f} a second", flush=True)
            saved_s, sums, count = now_s, dict.fromkeys(sums, 0.0), 0
