"""An event loop whose clock jumps: an hour of playing passes in a second, always the same way."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")


RESOLUTION_S: Final = 1e-9
"""Timers that are due within this run early, as asyncio does; so looking at the clock again must
find it further on, else whoever waits for the rest of it waits for ever."""


class _JumpingSelector(selectors.SelectSelector):
    """Instead of waiting, moves the clock on."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing will ever happen: the loop waits without a timer")
        self.now += max(RESOLUTION_S, timeout)
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run_in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """Like `asyncio.run`, without waiting."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
