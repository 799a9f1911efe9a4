"""How a head in training hears: with networks of its own, or with ones that know speech already.

A few minutes of footage teach an audio network its sentences by heart, and little about others.
Networks that were taught on hours of speech are better, but what they hear is never quite what
the mouth did; a head that sees only that learns blurred lips, the mean of all mouths that sound
alike. So each frame of the footage has a correction of its own, which pictures decide: with it
the head learns what every mouth looks like, without it (when drawing) it shows the likeliest one,
sharp.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from avatar_worker.train.audio_networks import is_audio_weight
from avatar_worker.train.errors import TrainingError
from avatar_worker.train.head import TrainedHead
from avatar_worker.train.schedule import AUDIO_DROPOUT, CORRECTION_RATE, SECOND_MOMENT

CORRECTION_DECAY: Final = 1e-5
"""Keeps corrections as small as pictures allow: else frames would not need to be heard."""


class Ears(Protocol):
    """Audio vectors of training frames."""

    learns: bool
    """Whether the head's audio networks are trained."""

    def hear(self, chosen: list[int], random: torch.Generator) -> Float[Tensor, "f 32"]:
        """Vectors of some frames, for a step."""

    def move(self, decay: float) -> None:
        """After the step's gradients are there; rates have fallen to `decay` of the first."""

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""


class OwnEars:
    """The head's audio networks, trained with it.

    Args:
        head: whose.
        windows: features that each frame sees.
    """

    learns = True

    def __init__(self, head: TrainedHead, windows: Float[Tensor, "n 8 512"]) -> None:
        self._head, self._windows = head, windows

    def hear(self, chosen: list[int], random: torch.Generator) -> Float[Tensor, "f 32"]:
        """With some of the features hidden (dropout)."""
        windows = self._windows[chosen]
        is_heard = torch.rand(windows.shape, generator=random) >= AUDIO_DROPOUT
        return self._head.audio_vectors(
            windows * is_heard.to(windows.device) / (1.0 - AUDIO_DROPOUT)
        )

    def move(self, decay: float) -> None:
        """The networks are moved with all others."""

    def state(self) -> dict[str, Any]:
        """Nothing of its own."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing of its own."""


class BorrowedEars:
    """Audio networks that stay as they are, and a correction for each frame.

    Args:
        head: receives the networks.
        windows: features that each frame sees.
        networks: under their names in a checkpoint; None if the head has them already.

    Raises:
        TrainingError: the networks do not fit.
    """

    learns = False

    def __init__(
        self,
        head: TrainedHead,
        windows: Float[Tensor, "n 8 512"],
        networks: Mapping[str, Tensor] | None,
    ) -> None:
        for name, tensor in head.weights.items():
            if networks is None or not is_audio_weight(name):
                continue
            found = networks.get(name)
            if found is None or found.shape != tensor.shape:
                raise TrainingError(f"the audio networks lack a {name} of {list(tensor.shape)}")
            tensor.detach().copy_(found)
        with torch.no_grad():
            self._heard = head.audio_vectors(windows)
        self.corrections = torch.zeros_like(self._heard)
        self._squares = torch.zeros_like(self._heard)
        self._visits = torch.zeros_like(self._heard[:, :1])
        self._now: tuple[list[int], Tensor] | None = None

    def hear(self, chosen: list[int], random: torch.Generator) -> Float[Tensor, "f 32"]:
        """What the networks hear, corrected."""
        corrections = self.corrections[chosen].requires_grad_()
        self._now = chosen, corrections
        return self._heard[chosen] + corrections

    @torch.no_grad()
    def move(self, decay: float) -> None:
        """Corrections of the frames that were heard last, as RMSprop does."""
        assert self._now is not None
        chosen, corrections = self._now
        assert corrections.grad is not None
        grad = corrections.grad + CORRECTION_DECAY * corrections
        self._visits[chosen] += 1
        squares = SECOND_MOMENT * self._squares[chosen] + (1 - SECOND_MOMENT) * grad.square()
        self._squares[chosen] = squares
        mean = squares / (1 - SECOND_MOMENT ** self._visits[chosen])
        self.corrections[chosen] = corrections - CORRECTION_RATE * decay * grad / (
            mean.sqrt() + 1e-12
        )

    def state(self) -> dict[str, Any]:
        """Corrections and their moments; the networks are the head's."""
        return {
            "corrections": self.corrections, "squares": self._squares, "visits": self._visits
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        self.corrections.copy_(state["corrections"])
        self._squares.copy_(state["squares"])
        self._visits.copy_(state["visits"])
