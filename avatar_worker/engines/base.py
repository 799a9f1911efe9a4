"""What a session draws with, whatever the character is made of.

An `Engine` is one loaded character, shared by all its sessions. A session opens a `Face` (small),
and for each segment of speech the face makes a `Hearing`, which turns sound into what the pictures
need. All of `Hearing.push`, `Hearing.finish` and `Engine.draw` run on the render thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
"""Mono 24 kHz, full scale ±1. [n_samples]"""
Rgb = NDArray[np.uint8]
"""[height, width, 3]"""


class EngineError(RuntimeError):
    """A character cannot be loaded or drawn; the text says why."""


class OptionError(EngineError):
    """An option of a session or a character cannot be; another worker would say the same."""


class Hearing(Protocol):
    """What one segment's sound means for the face, frame by frame."""

    @property
    def frames(self) -> int:
        """How many pictures of the segment are certain: those of index below it can be drawn."""

    def push(self, samples: Samples) -> None:
        """The next samples of the segment, any number of them."""

    def finish(self) -> None:
        """No more will come: silence follows, and every picture of the segment becomes certain."""


@dataclass(frozen=True, slots=True)
class FrameRequest:
    """One picture of a session.

    `slot` counts the session's pictures from 0, one per 40 ms, idle ones included: pose and blinks
    follow it. With a `hearing`, the mouth is that of its `frame`, blended with the idle face by
    `weight` (1: only speech). `is_sounding` is false in the pictures that let the mouth close after
    the sound has ended.
    """

    slot: int
    hearing: Hearing | None = None
    frame: int = 0
    weight: float = 0.0
    is_sounding: bool = False


class Face(Protocol):
    """One session's state of a character."""

    def listen(self) -> Hearing:
        """A fresh segment."""


class Engine(Protocol):
    """A loaded character."""

    name: str

    @property
    def max_batch(self) -> int:
        """How many pictures of different sessions one `draw` should get at most."""

    @property
    def size_bytes(self) -> int:
        """About how much memory of this machine the character holds now."""

    def open(self, options: dict[str, Any]) -> Face:
        """A face for one session.

        Raises:
            OptionError: an option cannot be. An engine that has none ignores them all.
        """

    def draw(self, wanted: Sequence[tuple[Face, FrameRequest]]) -> list[Rgb]:
        """The pictures, in order. Calls come from one thread.

        Raises:
            EngineError: a picture could not be drawn, or is not a picture (NaN).
        """

    def close(self) -> None:
        """Give memory back. No draw follows."""
