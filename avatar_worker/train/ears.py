"""How a head in training hears: with networks of its own, or with ones that know speech already.

A few minutes of footage teach an audio network its sentences by heart, and little about others.
Networks that were taught on hours of speech are better, but what they hear is never quite what
the mouth on film did; a head that sees only that learns blurred lips, the mean of all mouths that
sound alike. So each frame of the footage has a vector of its own, which begins as what is heard
and is moved by the frame's pictures; from these the head learns what every mouth looks like. The
networks, when they are stored, learn them a little too: a person's voice, not the sentences.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from avatar_worker.audio.threads import one_thread
from avatar_worker.train.audio_networks import audio_vectors, is_audio_weight
from avatar_worker.train.errors import TrainingError
from avatar_worker.train.head import TrainedHead
from avatar_worker.train.schedule import (
    AUDIO_DROPOUT,
    SECOND_MOMENT,
    VECTOR_RATE,
    VECTORS_FROM_STEP,
)

ADAPTING_STEPS: Final = 100
ADAPTING_RATE: Final = 1e-4
ADAPTING_FRAMES: Final = 128


class Ears(Protocol):
    """Audio vectors of training frames."""

    learns: bool
    """Whether the head's audio networks are trained with it."""

    def hear(self, chosen: list[int], random: torch.Generator) -> Float[Tensor, "f 32"]:
        """Vectors of some frames, for a step."""

    def move(self, step: int, decay: float) -> None:
        """After a step's gradients are there; rates have fallen to `decay` of the first."""

    def networks(self) -> dict[str, Tensor]:
        """What of the audio networks is stored otherwise than the head has it."""

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
        return self._head.audio_vectors(hidden(self._windows[chosen], AUDIO_DROPOUT, random))

    def move(self, step: int, decay: float) -> None:
        """The networks are moved with all others."""

    def networks(self) -> dict[str, Tensor]:
        """None: they are the head's."""
        return {}

    def state(self) -> dict[str, Any]:
        """Nothing of its own."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing of its own."""


class BorrowedEars:
    """Audio networks that know speech, and a vector for each frame.

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
        self._borrowed = {k: v for k, v in head.weights.items() if is_audio_weight(k)}
        if networks is not None:
            self._borrow(networks)
        self._windows = windows
        with torch.no_grad():
            self.vectors = head.audio_vectors(windows)
        self._squares = torch.zeros_like(self.vectors)
        self._visits = torch.zeros_like(self.vectors[:, :1])
        self._now: tuple[list[int], Tensor] | None = None

    def _borrow(self, networks: Mapping[str, Tensor]) -> None:
        for name, tensor in self._borrowed.items():
            found = networks.get(name)
            if found is None or found.shape != tensor.shape:
                raise TrainingError(f"the audio networks lack a {name} of {list(tensor.shape)}")
            tensor.detach().copy_(found)

    def hear(self, chosen: list[int], random: torch.Generator) -> Float[Tensor, "f 32"]:
        """The frames' own vectors."""
        vectors = self.vectors[chosen].requires_grad_()
        self._now = chosen, vectors
        return vectors

    @torch.no_grad()
    def move(self, step: int, decay: float) -> None:
        """Vectors of the frames that were heard last, as RMSprop does."""
        if step < VECTORS_FROM_STEP:
            return
        assert self._now is not None
        chosen, vectors = self._now
        assert vectors.grad is not None
        self._visits[chosen] += 1
        squares = self._squares[chosen].lerp(vectors.grad.square(), 1 - SECOND_MOMENT)
        self._squares[chosen] = squares
        mean = squares / (1 - SECOND_MOMENT ** self._visits[chosen])
        self.vectors[chosen] = vectors - VECTOR_RATE * decay * vectors.grad / (mean.sqrt() + 1e-12)

    @one_thread()  # several round differently when the machine is busy
    def networks(self) -> dict[str, Tensor]:
        """The borrowed networks after some steps towards the frames' vectors; always the same."""
        weights = {k: v.detach().clone().requires_grad_() for k, v in self._borrowed.items()}
        optimiser = torch.optim.Adam(weights.values(), lr=ADAPTING_RATE)
        random = torch.Generator().manual_seed(0)
        for _ in range(ADAPTING_STEPS):
            chosen = torch.randperm(len(self._windows), generator=random)[:ADAPTING_FRAMES]
            windows = hidden(self._windows[chosen], AUDIO_DROPOUT, random)
            optimiser.zero_grad()
            error = audio_vectors(weights, windows) - self.vectors[chosen]
            torch.autograd.backward(error.square().mean())
            optimiser.step()
        return {k: v.detach() for k, v in weights.items()}

    def state(self) -> dict[str, Any]:
        """Vectors and their moments; the networks as they were borrowed are the head's."""
        return {"vectors": self.vectors, "squares": self._squares, "visits": self._visits}

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        self.vectors.copy_(state["vectors"])
        self._squares.copy_(state["squares"])
        self._visits.copy_(state["visits"])


def hidden(
    windows: Float[Tensor, "f 8 512"], share: float, random: torch.Generator
) -> Float[Tensor, "f 8 512"]:
    """Features of which some are not heard (dropout)."""
    is_heard = torch.rand(windows.shape, generator=random) >= share
    return windows * is_heard.to(windows.device) / (1.0 - share)
