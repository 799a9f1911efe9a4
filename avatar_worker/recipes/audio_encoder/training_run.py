"""What the training steps share: their sounds, and a run that goes on where it stopped."""

from __future__ import annotations

import math
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from avatar_worker.recipes.audio_encoder.corpus import line_files, load_line
from avatar_worker.recipes.audio_encoder.feature_step import Windows
from avatar_worker.recipes.audio_encoder.noise_bank import noise_bank

TRAINING_FILE, NETWORKS_STATE_FILE = "training.pt", "networks.pt"
HEARING_FILE, SETTLED_FILE = "hearing.pt", "settled.pt"
"""States of the steps `train`, `networks`, `together` and `settle`, in the recipe's folder."""

_SAVE_EVERY_S = 60.0
_LONGEST_GRADIENT = 2.0
_BABBLE_LINES = 20
"""Of each training set; they talk across each other in the noise."""

Losses = dict[str, float]


class NotTrainedError(RuntimeError):
    """A step that comes before was not run to its end."""


class Learner(Protocol):
    """What has weights: a module, or like one."""

    def state_dict(self) -> dict[str, Any]:
        """The weights by name."""

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:
        """Takes over weights of `state_dict`."""


class Run(ABC):
    """Networks, their optimiser and their draws.

    Args:
        learners: the networks by name.
        optimiser: of all their weights.
        draws: source of everything drawn but dropout.

    Attributes:
        drawn: how much was learned from.
    """

    def __init__(
        self, learners: Mapping[str, Learner], optimiser: Optimizer, draws: Generator
    ) -> None:
        self._learners, self._optimiser, self._draws = learners, optimiser, draws
        self.drawn = 0

    @abstractmethod
    def train_step(self) -> Losses:
        """One optimiser step; gives its losses."""

    def _learn(self, loss: Tensor, drawn: int) -> None:
        """Moves all weights against a loss on so much."""
        weights = [each for group in self._optimiser.param_groups for each in group["params"]]
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's
        nn.utils.clip_grad_norm_(weights, _LONGEST_GRADIENT)
        self._optimiser.step()
        self.drawn += drawn

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {name: learner.state_dict() for name, learner in self._learners.items()} | {
            "drawn": self.drawn,
            "optimiser": self._optimiser.state_dict(),
            "draws": self._draws.get_state(),
            "dropout": torch.get_rng_state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`."""
        for name, learner in self._learners.items():
            learner.load_state_dict(state[name])
        self.drawn = state["drawn"]
        self._optimiser.load_state_dict(state["optimiser"])
        self._draws.set_state(state["draws"])
        torch.set_rng_state(state["dropout"])


def cosine_decay(drawn: int, total: int) -> float:
    """Share of a rate after so much of a run: falls from 1 to 1 % along a cosine."""
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, drawn / total)))
    return 0.99 * cosine + 0.01


def training_sets(work: Path) -> list[Path]:
    """Feature files of the training sets."""
    return sorted((work / "features").glob("train-*.npz"))


def training_windows(work: Path) -> Windows:
    """All training windows."""
    return Windows.joined([Windows.load(path) for path in training_sets(work)])


def training_sounds(work: Path) -> tuple[Windows, Tensor]:
    """All training windows, and a noise bank `[frames, 80]`."""
    sets, windows = training_sets(work), training_windows(work)
    print(f"{len(windows.starts)} windows from {', '.join(path.stem for path in sets)}", flush=True)
    folders = [work / "speech" / path.stem for path in sets]
    spoken = [path for folder in folders for path in line_files(folder)[:_BABBLE_LINES]]
    bank = noise_bank([load_line(path).utterance.samples for path in spoken])
    return windows, torch.from_numpy(bank)


def train_to_end(run: Run, total: int, path: Path, what: str) -> None:
    """Step until so much is drawn; goes on from the state in `path`, which is renewed each minute.

    Args:
        run: what is trained.
        total: where its `drawn` ends.
        path: file of the state.
        what: is drawn, for the log.
    """
    use_threads()
    if path.exists():
        run.restore(torch.load(path, weights_only=True))
        print(f"goes on after {run.drawn} {what}", flush=True)
    began_s, began = time.monotonic(), run.drawn
    saved_s, recent = began_s, list[Losses]()
    while run.drawn < total:
        recent.append(run.train_step())
        now_s = time.monotonic()
        if now_s - saved_s > _SAVE_EVERY_S or run.drawn >= total:
            unfinished = path.with_suffix(".unfinished")
            torch.save(run.state() | {"total": total}, unfinished)
            unfinished.replace(path)
            means = (f"{k} {sum(each[k] for each in recent) / len(recent):.4f}" for k in recent[0])
            rate = (run.drawn - began) / (now_s - began_s)
            left_min = (total - run.drawn) / rate / 60
            print(
                f"{run.drawn} {what}: {', '.join(means)}; {rate:.1f} a second, "
                f"{left_min:.0f} min left",
                flush=True,
            )
            saved_s, recent = now_s, []


def use_threads() -> None:
    """As many as `OMP_NUM_THREADS` says, else one."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


def finished_state(path: Path, step: str) -> dict[str, Any]:
    """The state at the end of a run.

    Raises:
        NotTrainedError: there is none, or it is one on the way.
    """
    if not path.is_file():
        raise NotTrainedError(f"{path} is missing: run the step `{step}` first")
    state: dict[str, Any] = torch.load(path, weights_only=True)
    if state["drawn"] < state["total"]:
        raise NotTrainedError(
            f"{path} is at {state['drawn']} of {state['total']}: "
            f"run the step `{step}` again, it goes on"
        )
    return state
