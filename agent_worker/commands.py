"""The session's command stream: what the platform wants of the agent.

It is read from the beginning, so an agent that was dispatched again learns the current epoch and
whether the session is over. What must not happen twice (saying, interrupting) is marked as done in
the agent's hash, before it is carried out: rather a line lost in a crash than said again.
"""

from collections.abc import AsyncIterator
from typing import Final, cast

from redis.exceptions import RedisError

from agent_worker.observability import log
from agent_worker.redis_streams import RedisClient, follow
from avatar_contracts.messages import (
    AvatarAssignedCommand,
    CommandMessage,
    EndCommand,
    InterruptCommand,
    SayCommand,
)
from avatar_contracts.streams import STREAM_TTL_S, agent_key, commands_key

_DONE_FIELD: Final = "commands_done"
_GREETED_FIELD: Final = "greeted"


class AgentMemory:
    """The few things about a session that survive this process."""

    def __init__(self, redis: RedisClient, session: str) -> None:
        self._redis = redis
        self._key = agent_key(session)

    async def commands_done(self) -> tuple[int, int]:
        """Id of the last command that was carried out."""
        raw = cast("bytes | None", await self._redis.hget(self._key, _DONE_FIELD))
        return _entry_number(raw) if raw else (0, 0)

    async def mark_command(self, entry: bytes) -> None:
        await self._set(_DONE_FIELD, entry)

    async def first_greeting(self) -> bool:
        """Whether nobody has greeted yet; the second call is answered no."""
        first = await self._redis.hsetnx(self._key, _GREETED_FIELD, b"1")
        await self._redis.expire(self._key, STREAM_TTL_S)
        return bool(first)

    async def _set(self, field: str, value: bytes) -> None:
        await self._redis.hset(self._key, field, value)
        await self._redis.expire(self._key, STREAM_TTL_S)


async def read_commands(
    redis: RedisClient, session: str, memory: AgentMemory
) -> AsyncIterator[CommandMessage]:
    """Every command that is to be carried out, for ever."""
    try:
        done = await memory.commands_done()
    except (RedisError, OSError):
        done = (0, 0)
    async for entry, message in follow(redis, commands_key(session)):
        match message:
            case SayCommand() | InterruptCommand():
                if _entry_number(entry) <= done:
                    continue
                try:
                    await memory.mark_command(entry)
                except (RedisError, OSError) as error:
                    log().warning("command cannot be marked", error=type(error).__name__)
                yield message
            case AvatarAssignedCommand() | EndCommand():
                yield message
            case _:
                pass  # belongs to another stream


def _entry_number(entry: bytes) -> tuple[int, int]:
    """An entry id as two numbers, which order as the entries do."""
    first, _, second = entry.decode().partition("-")
    return int(first), int(second or 0)
