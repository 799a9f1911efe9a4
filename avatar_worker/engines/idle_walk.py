"""Which pose a picture of a live session shows: forth and back through the character's own frames.

Recorded pictures follow the original (`scene.mirror_index`: every frame, end frames twice). Live,
nobody must see where the walk turns: it turns where the head moves least near either end of the
track, shows the last frame once, and, as far as the head still moves there, slows down like
something thrown upwards. On the way through a turn poses lie between two frames; everywhere else
pictures show whole frames, one after the other.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

EASE_SLOTS: Final = 12
"""Slots in which the walk comes to rest from its median speed, and as many to get going again."""
SEARCH_SHARE: Final = 0.25
"""Of the track, at either end, in which a place to turn is looked for …"""
SEARCH_FRAMES: Final = 100
"""… but not more than 4 s."""
_SPEED_WINDOW: Final = 3


@dataclass(frozen=True, slots=True)
class WalkPosition:
    """Between scene `index` (share 0) and the next one (share 1, which does not occur)."""

    index: int
    share: float = 0.0


class IdleWalk:
    """Position by slot; no state.

    Args:
        speed: how far the head moves from each frame of the track to the next. [n − 1]
    """

    def __init__(self, speed: NDArray[np.float64]) -> None:
        self.first, self.last = 0, len(speed)
        self._ease_first = self._ease_last = 0
        if len(speed) == 0:
            return
        around = np.pad(speed, _SPEED_WINDOW // 2, mode="edge")
        smooth = np.convolve(around, np.full(_SPEED_WINDOW, 1 / _SPEED_WINDOW), "valid")
        reach = min(int(SEARCH_SHARE * len(speed)), SEARCH_FRAMES)
        self.first = int(smooth[: reach + 1].argmin())
        self.last = len(speed) - int(smooth[::-1][: reach + 1].argmin())
        median = float(np.median(smooth))
        self._ease_first = self._ease(float(smooth[self.first]), median)
        self._ease_last = self._ease(float(smooth[self.last - 1]), median)

    @property
    def slots_one_way(self) -> int:
        """From one turn to the next."""
        return self.last - self.first + (self._ease_first + self._ease_last) // 2

    def __call__(self, slot: int) -> WalkPosition:
        """Where the walk is in this slot; at its first turn in slot 0."""
        way = self.slots_one_way
        if way == 0:
            return WalkPosition(self.first)
        since = slot % (2 * way)
        since = min(since, 2 * way - since)
        if since < self._ease_first:
            place = self.first + since**2 / (2 * self._ease_first)
        elif since > way - self._ease_last:
            place = self.last - (way - since) ** 2 / (2 * self._ease_last)
        else:
            place = self.first + since - self._ease_first // 2
        index = int(place)
        return WalkPosition(index, float(place - index))

    def _ease(self, speed: float, median: float) -> int:
        """Slots of slowing down at a turn with this speed; even, so that whole frames follow."""
        share = min(1.0, speed / median) if median > 0 else 0.0
        longest = (self.last - self.first) // 2
        return 2 * min(round(EASE_SLOTS / 2 * share), longest)
