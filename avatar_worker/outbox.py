"""Writes a session's playout stream: what was really heard, for the agent worker."""

import asyncio
from collections import deque
from typing import Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from avatar_contracts.codec import encode
from avatar_contracts.messages import PlayoutAlive, PlayoutMessage
from avatar_contracts.streams import PLAYOUT_MAX_ENTRIES, STREAM_TTL_S

RETRY_S: Final = 0.1
FAREWELL_S: Final = 1.0
"""How long a session that ends waits for its last words to be written."""

log = structlog.get_logger()


class Outbox:
    """Appends in order, and keeps trying while Redis is away. Signs of life never pile up."""

    def __init__(self, redis: Redis, key: str) -> None:
        self._redis = redis
        self._key = key
        self._unsent: deque[PlayoutMessage] = deque(maxlen=PLAYOUT_MAX_ENTRIES)
        self._news = asyncio.Event()
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    def put(self, message: PlayoutMessage) -> None:
        if isinstance(message, PlayoutAlive) and self._unsent:
            return
        self._unsent.append(message)
        self._is_empty.clear()
        self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        is_reachable = True
        while True:
            await self._news.wait()
            self._news.clear()
            while self._unsent:
                try:
                    await self._write(self._unsent[0])
                except (RedisError, OSError) as error:
                    if is_reachable:
                        log.warning("playout stream unreachable", error=type(error).__name__)
                    is_reachable = False
                    await asyncio.sleep(RETRY_S)
                    continue
                is_reachable = True
                self._unsent.popleft()
            self._is_empty.set()

    async def drain(self) -> None:
        """Until all is written, or for a second."""
        try:
            async with asyncio.timeout(FAREWELL_S):
                await self._is_empty.wait()
        except TimeoutError:
            log.warning("playout stream not written to its end", left=len(self._unsent))

    async def _write(self, message: PlayoutMessage) -> None:
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.xadd(
                self._key,
                dict(encode(message)),  # type: ignore[arg-type]  # invariant key type in the stubs
                maxlen=PLAYOUT_MAX_ENTRIES,
                approximate=True,
            )
            pipe.expire(self._key, STREAM_TTL_S)
            await pipe.execute()
