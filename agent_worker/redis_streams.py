"""Redis as this worker uses it: one client per conversation, plain XREAD, explicit ids.

The protocol version is stated and replies are normalised here, so that nobody else depends on what
a redis-py release thinks best. Bytes stay bytes.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final, cast

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from agent_worker.observability import log
from avatar_contracts.codec import ContractError, StreamMessage, decode, encode
from avatar_contracts.streams import STREAM_TTL_S

BLOCK_MS: Final = 2000
"""An XREAD waits this long. It must stay below the socket's time limit."""
SOCKET_TIMEOUT_S: Final = 5.0
RETRY_S: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0)
RedisClient = Redis
CONNECTION_ERRORS: Final = (RedisConnectionError, RedisTimeoutError, OSError)


def connect(url: str) -> RedisClient:
    """A client of this event loop; `await client.aclose()` when done."""
    return Redis.from_url(
        url,
        protocol=2,
        decode_responses=False,
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=SOCKET_TIMEOUT_S,
        health_check_interval=10,
        max_connections=16,
    )


async def append(
    redis: RedisClient, key: str, message: StreamMessage, *, entry_id: str, max_entries: int
) -> None:
    """Append an entry under its own id and renew the stream's life.

    An entry that is already there was written by an earlier try whose answer was lost, and is left.

    Raises:
        redis.exceptions.RedisError: the server cannot be reached, or refuses.
    """
    pipe = redis.pipeline(transaction=False)
    pipe.xadd(key, cast("Any", encode(message)), id=entry_id, maxlen=max_entries, approximate=True)
    pipe.expire(key, STREAM_TTL_S)
    added, _ = await pipe.execute(raise_on_error=False)
    if isinstance(added, ResponseError) and "equal or smaller" in str(added):
        return
    if isinstance(added, Exception):
        raise added


async def last_entry_id(redis: RedisClient, key: str) -> tuple[int, int]:
    """The two numbers of the newest entry's id; (0, 0) when the stream is empty."""
    entries = await redis.xrevrange(key, count=1)
    if not entries:
        return 0, 0
    first, _, second = cast("bytes", entries[0][0]).decode().partition("-")
    return int(first), int(second)


async def follow(
    redis: RedisClient, key: str, *, last_id: bytes = b"0"
) -> AsyncIterator[tuple[bytes, StreamMessage]]:
    """Every message of a stream from after `last_id` on, for ever; outages are waited out.

    Entries that do not follow the contract are logged and passed over.
    """
    tries = 0
    while True:
        try:
            reply = cast(
                "list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]",
                await redis.xread({key: last_id}, count=64, block=BLOCK_MS),
            )
            tries = 0
        except CONNECTION_ERRORS as error:
            if tries == 0:
                log().warning("redis is unreachable", stream=key, error=type(error).__name__)
            await asyncio.sleep(RETRY_S[min(tries, len(RETRY_S) - 1)])
            tries += 1
            continue
        for _, entries in reply or ():
            for entry_id, fields in entries:
                last_id = entry_id
                try:
                    yield entry_id, decode(fields)
                except ContractError as error:
                    log().warning("stream entry is not understood", stream=key, error=str(error))
