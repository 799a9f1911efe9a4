"""Redis' command stream and Celery's queues in memory."""

from collections import defaultdict
from typing import Any

from avatar_contracts.messages import CommandMessage
from avatar_platform.errors import UnavailableError
from avatar_platform.gateways.queue import ControlTask
from avatar_platform.sessions import tasks
from avatar_platform.webhooks import tasks as webhook_tasks


class FakeCommands:
    """Implements `CommandGateway`."""

    def __init__(self) -> None:
        self.sent: dict[str, list[CommandMessage]] = defaultdict(list)
        self.forgotten: list[str] = []
        self.is_away = False

    def append(self, session: str, command: CommandMessage) -> None:
        self.ping()
        self.sent[session].append(command)

    def forget(self, session: str, epochs: int) -> None:
        self.forgotten.append(session)

    def ping(self) -> None:
        if self.is_away:
            raise UnavailableError("Redis does not answer (fake)")


class FakeOutbound:
    """Implements `Outbound`; answers with `answer` to everything."""

    def __init__(self) -> None:
        self.answer = "204"
        self.posts: list[tuple[str, bytes, dict[str, str]]] = []

    def post(self, url: str, body: bytes, headers: dict[str, str]) -> str:
        self.posts.append((url, body, headers))
        return self.answer


class FakeTasks:
    """Implements `TaskQueue`; `run` does what the control worker would."""

    def __init__(self) -> None:
        self.offers: list[tuple[str, int, str]] = []
        self.waiting: list[tuple[ControlTask, tuple[Any, ...]]] = []
        self.is_away = False

    def offer_session(self, session: str, epoch: int, worker_class: str) -> None:
        if self.is_away:
            raise UnavailableError("the task queue does not answer (fake)")
        self.offers.append((session, epoch, worker_class))

    def control(self, task: ControlTask, *args: Any) -> None:
        if self.is_away:
            raise UnavailableError("the task queue does not answer (fake)")
        self.waiting.append((task, args))

    def run(self) -> None:
        """Run every waiting control task, and those they enqueue, as the worker would."""
        functions = {
            ControlTask.START_SESSION: tasks.start_session,
            ControlTask.DISPATCH_AGENT: tasks.dispatch_agent,
            ControlTask.LOOK_INTO_ROOM: tasks.look_into_room,
            ControlTask.END_SESSION: tasks.end_session,
            ControlTask.DELIVER: webhook_tasks.deliver,
        }
        while self.waiting:
            task, args = self.waiting.pop(0)
            functions[task](*args)
