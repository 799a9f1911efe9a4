"""Ending asyncio tasks for certain, and hearing of those that fail."""

import asyncio
from typing import Any, Final

from agent_worker.observability import log

RETRY_S: Final = 0.05
GIVE_UP_S: Final = 5.0


async def end_tasks(*tasks: "asyncio.Task[Any] | None") -> None:
    """Cancel tasks until they are done.

    Once is not enough: redis-py (8.1, Python 3.11) swallows a cancellation that meets the moment
    at which an answer arrives (one in four in a tight loop), and the task would run on for ever.
    """
    pending = {task for task in tasks if task is not None and not task.done()}
    deadline_s = asyncio.get_running_loop().time() + GIVE_UP_S
    while pending and asyncio.get_running_loop().time() < deadline_s:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=RETRY_S)
    if pending:
        log().error("tasks do not end", tasks=[task.get_name() for task in pending])


def log_failure(task: "asyncio.Task[Any]") -> None:
    """A done callback: a task that fails says so, and nobody needs to await it."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log().error("task failed", task=task.get_name(), error=type(error).__name__, exc_info=error)
