"""The world outside the database, behind small protocols.

Services ask `gateways()`; tests put fakes there with `use`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from avatar_platform.errors import UnavailableError
from avatar_platform.gateways.commands import CommandGateway, RedisCommands
from avatar_platform.gateways.livekit import LiveKitRooms, RoomGateway
from avatar_platform.gateways.outbound import HttpOutbound, Outbound
from avatar_platform.gateways.queue import CeleryTaskQueue, ControlTask, TaskQueue
from avatar_platform.observability import log


@dataclass(frozen=True, slots=True)
class Gateways:
    rooms: RoomGateway
    commands: CommandGateway
    tasks: TaskQueue
    outbound: Outbound = field(default_factory=HttpOutbound)


_current: Gateways | None = None


def gateways() -> Gateways:
    """The gateways of this process; the real ones are made at the first call."""
    global _current
    if _current is None:
        _current = Gateways(LiveKitRooms(), RedisCommands(), CeleryTaskQueue())
    return _current


def after_commit(task: ControlTask, *args: Any) -> None:
    """Enqueue a control task once the surrounding transaction has committed.

    A rolled-back change enqueues nothing. A broker that is away does not undo the change: the
    reaper finds in the database what was left undone.
    """

    def send() -> None:
        try:
            gateways().tasks.control(task, *args)
        except UnavailableError as error:
            log().warning("task not sent", task=task.value, error=error.message)

    transaction.on_commit(send)


@contextmanager
def use(replacement: Gateways) -> Iterator[Gateways]:
    """Replace the gateways of this process for a while."""
    global _current
    before, _current = _current, replacement
    try:
        yield replacement
    finally:
        _current = before
