"""Appends to a session's command stream, which its agent reads from the beginning."""

from typing import Protocol

import redis
from django.conf import settings

from avatar_contracts import codec, streams
from avatar_contracts.messages import CommandMessage
from avatar_platform.errors import UnavailableError

TIMEOUT_S = 2.0
FORGET_AFTER_S = 60


class CommandGateway(Protocol):
    def append(self, session: str, command: CommandMessage) -> None:
        """Write one command.

        Raises:
            UnavailableError: Redis does not answer.
        """

    def forget(self, session: str, epochs: int) -> None:
        """Let everything the session kept in Redis expire soon; it is over. Never raises."""

    def ping(self) -> None:
        """Raise `UnavailableError` unless Redis answers."""


class RedisCommands:
    """The real one. Each append bounds the length of the stream and renews its life."""

    def __init__(self, url: str | None = None) -> None:
        self._redis: redis.Redis = redis.Redis.from_url(
            url or settings.REDIS_URL,
            protocol=2,
            decode_responses=False,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            health_check_interval=10,
        )

    def append(self, session: str, command: CommandMessage) -> None:
        key = streams.commands_key(session)
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.xadd(
                    key,
                    codec.encode(command),  # type: ignore[arg-type]  # dict is invariant
                    maxlen=streams.COMMANDS_MAX_ENTRIES,
                    approximate=True,
                )
                pipe.expire(key, streams.STREAM_TTL_S)
                pipe.execute()
        except redis.RedisError as error:
            raise UnavailableError("the message stream does not answer") from error

    def forget(self, session: str, epochs: int) -> None:
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.expire(streams.commands_key(session), FORGET_AFTER_S)
                for epoch in range(1, epochs + 1):
                    pipe.expire(streams.audio_key(session, epoch), FORGET_AFTER_S)
                    pipe.expire(streams.playout_key(session, epoch), FORGET_AFTER_S)
                pipe.execute()
        except redis.RedisError:
            return  # the keys have a time to live of their own

    def ping(self) -> None:
        try:
            self._redis.ping()
        except redis.RedisError as error:
            raise UnavailableError("Redis does not answer") from error
