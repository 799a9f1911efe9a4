"""The playout stream of one epoch, read: what the avatar says about itself and what was heard."""

import asyncio
from collections.abc import Callable

from agent_worker.redis_streams import RedisClient, follow
from agent_worker.sinks import SinkEvents
from agent_worker.tasks import end_tasks, log_failure
from avatar_contracts.codec import StreamMessage
from avatar_contracts.messages import (
    PlayoutAlive,
    PlayoutFinished,
    PlayoutReady,
    PlayoutStarted,
)
from avatar_contracts.streams import playout_key


class PlayoutListener:
    """Turns the entries of an epoch's playout stream into calls.

    Every entry is also a sign of life: `last_sign_s` is the loop time of the newest one.

    Args:
        on_ready: called once, when the avatar's first frame is published.
        events: told about parts.
    """

    def __init__(
        self,
        redis: RedisClient,
        session: str,
        epoch: int,
        *,
        on_ready: Callable[[], None],
        events: SinkEvents,
    ) -> None:
        self.epoch = epoch
        self.is_ready = False
        self.last_sign_s = 0.0
        self._redis = redis
        self._key = playout_key(session, epoch)
        self._on_ready = on_ready
        self._events = events
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._read(), name=f"playout-{self.epoch}")
        self._task.add_done_callback(log_failure)

    async def aclose(self) -> None:
        await end_tasks(self._task)

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        async for _, message in follow(self._redis, self._key):
            self.last_sign_s = loop.time()
            self._tell(message)

    def _tell(self, message: StreamMessage) -> None:
        match message:
            case PlayoutReady():
                if not self.is_ready:
                    self.is_ready = True
                    self._on_ready()
            case PlayoutStarted():
                self._events.on_started(message.segment)
            case PlayoutAlive():
                if message.segment:
                    self._events.on_position(message.segment, message.position_s)
            case PlayoutFinished():
                self._events.on_finished(
                    message.segment, message.position_s, interrupted=message.interrupted
                )
            case _:
                pass  # belongs to another stream
