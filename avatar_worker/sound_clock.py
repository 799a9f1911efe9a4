"""When each sample leaves: the clock that pictures follow.

LiveKit's audio source takes 10 ms from its queue at each tick of a timer of its own. The ticks keep
one phase for the life of the source; what cannot be seen is which tick takes which sample. Two
things tell:

- a `capture_frame` that had to wait returns just after the tick that brought the queue down to its
  threshold. The return may be late (a busy loop), never early, so the earliest of many is right;
- a tick that finds the queue empty takes nothing, and everything after it leaves one tick later.
"""

import math
from collections import deque
from typing import Final

from avatar_contracts.audio import SAMPLE_RATE_HZ

TICK_S: Final = 0.010
TICK_SAMPLES: Final = SAMPLE_RATE_HZ // 100
_FIRST_READINGS: Final = 3
_AGREEING: Final = 12
"""So many readings that are all a whole tick later than believed mean that one was missed; a busy
loop makes a few of them late, hardly all."""
_AGREEING_IN_DOUBT: Final = 3
"""After something that easily misses a tick, fewer will do."""


class SoundClock:
    """Times are those of the event loop, in seconds. Samples are media samples (`timeline.py`)."""

    def __init__(self, now: float) -> None:
        self._origin_s = now
        self._readings: deque[float] = deque(maxlen=_AGREEING)
        self._is_rough = True
        self._is_in_doubt = False

    def start(self, now: float) -> None:
        """The first sample is about to be pushed."""
        self._origin_s = now

    def time_of(self, sample: int) -> float:
        """When this sample leaves, or left."""
        return self._origin_s + sample / SAMPLE_RATE_HZ

    def left(self, now: float) -> int:
        """How many samples have left: whole ticks."""
        return (math.floor((now - self._origin_s) / TICK_S + 1e-6) + 1) * TICK_SAMPLES

    def observe(self, now: float, left: int) -> None:
        """The tick that made it `left` samples in all was at `now` or a little before."""
        reading = now - (left / TICK_SAMPLES - 1) * TICK_S
        self._readings.append(reading)
        earliest = min(self._readings)
        if self._is_rough:  # before this, even the phase was a guess
            if len(self._readings) >= _FIRST_READINGS:
                self._origin_s = earliest
                self._is_rough = False
        elif earliest < self._origin_s:
            self._origin_s = earliest
        elif len(self._readings) >= (_AGREEING_IN_DOUBT if self._is_in_doubt else _AGREEING):
            self._is_in_doubt = False
            self._origin_s += math.floor((earliest - self._origin_s) / TICK_S + 0.1) * TICK_S

    def miss(self, samples: int) -> None:
        """The queue was empty for this long: everything pushed from here on leaves later."""
        self._origin_s += math.ceil(samples / TICK_SAMPLES) * TICK_S
        self.doubt()

    def doubt(self) -> None:
        """The queue was cut or ran empty: a tick may have been missed or not."""
        self._readings.clear()
        self._is_in_doubt = True
