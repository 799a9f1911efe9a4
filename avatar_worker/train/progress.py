"""Where a run is: kept with its state, shown in its bar."""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(slots=True)
class Progress:
    """What every kind of run knows of itself.

    Attributes:
        step: steps done.
        seconds: time spent in steps.
        loss: running mean of the colour loss.
        best: highest held-out score so far, in dB.
        best_step: after how many steps it was reached.
        n_worse: scorings since then.
    """

    step: int = 0
    seconds: float = 0.0
    loss: float = math.nan
    best: float = -math.inf
    best_step: int = 0
    n_worse: int = 0

    def note_loss(self, loss: float) -> None:
        """Take the loss of the step that is being done into the mean."""
        weight = 1.0 / min(self.step + 1, 100)
        self.loss = loss if self.step == 0 else self.loss + weight * (loss - self.loss)

    def note_score(self, decibels: float) -> bool:
        """Take a held-out score; true if it is the best so far."""
        if decibels > self.best:
            self.best, self.best_step, self.n_worse = decibels, self.step, 0
            return True
        self.n_worse += 1
        return False


def on_cpu(state: Any) -> Any:
    """A state with its tensors on the CPU, so that it can be resumed on any device."""
    if isinstance(state, Tensor):
        return state.detach().cpu()
    if isinstance(state, dict):
        return {key: on_cpu(value) for key, value in state.items()}
    if isinstance(state, list):
        return [on_cpu(value) for value in state]
    return state
