"""Puts work on Celery's queues: sessions for the avatar workers, control tasks for ourselves."""

from enum import StrEnum
from typing import Any, Protocol

from celery import current_app
from kombu.exceptions import OperationalError

from avatar_contracts.streams import CONTROL_QUEUE, TASK_RUN_SESSION, avatar_queue
from avatar_platform.errors import UnavailableError


class ControlTask(StrEnum):
    """The control worker's tasks, by name, so that a service need not import them."""

    START_SESSION = "avatar_platform.sessions.tasks.start_session"
    DISPATCH_AGENT = "avatar_platform.sessions.tasks.dispatch_agent"
    LOOK_INTO_ROOM = "avatar_platform.sessions.tasks.look_into_room"
    END_SESSION = "avatar_platform.sessions.tasks.end_session"
    REAP = "avatar_platform.sessions.tasks.reap"
    DELIVER = "avatar_platform.webhooks.tasks.deliver"
    RECONCILE = "avatar_platform.sessions.tasks.reconcile"


class TaskQueue(Protocol):
    """Both methods raise `UnavailableError` when the broker does not answer."""

    def offer_session(self, session: str, epoch: int, worker_class: str) -> None:
        """Offer a session to the avatar workers of a class. Offering twice is harmless."""

    def control(self, task: ControlTask, *args: Any) -> None:
        """Enqueue a control task. All of them may run twice."""


class CeleryTaskQueue:
    """The real one: a worker with a free slot pulls the session's task and claims."""

    def offer_session(self, session: str, epoch: int, worker_class: str) -> None:
        self._send(TASK_RUN_SESSION, (session, epoch), avatar_queue(worker_class))

    def control(self, task: ControlTask, *args: Any) -> None:
        self._send(task.value, args, CONTROL_QUEUE)

    @staticmethod
    def _send(name: str, args: tuple[Any, ...], queue: str) -> None:
        try:
            current_app.send_task(name, args=args, queue=queue, ignore_result=True)
        except OperationalError as error:
            raise UnavailableError("the task queue does not answer") from error
