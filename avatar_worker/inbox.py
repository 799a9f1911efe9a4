"""Reads a session's audio stream: order, duplicates, ends and clears.

The reader takes everything at once into memory and never waits for the renderer, because a clear
must not queue behind sound. Sound with a hole is not played: the segment ends before the hole.
"""

import asyncio
from typing import Any, Final, Protocol, assert_never

import structlog
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from avatar_contracts.audio import READ_AHEAD_MAX_S
from avatar_contracts.codec import ContractError, StreamMessage, decode
from avatar_contracts.messages import AudioChunk, ClearBuffer, Flush

BLOCK_MS: Final = 1000
"""Shorter than the client's socket time-out."""
READ_COUNT: Final = 128
RETRY_MIN_S: Final = 0.05
RETRY_MAX_S: Final = 1.0
HELD_MAX_S: Final = 1.5 * READ_AHEAD_MAX_S
"""A producer that keeps its limit never gets here; one that does not is left in Redis meanwhile."""

log = structlog.get_logger()


class Listener(Protocol):
    """What the inbox tells; the playout is one."""

    @property
    def queued_s(self) -> float: ...
    def chunk(self, number: int, pcm: bytes) -> None: ...
    def flush(self, number: int) -> None: ...
    def break_off(self, number: int) -> None: ...
    def clear(self, up_to: int) -> None: ...


class Ordering:
    """Stream messages → what the listener is told. Pure; no Redis."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._segment = 0
        self._chunk = 0
        self._is_broken = False

    def handle(self, message: StreamMessage) -> None:
        """Messages come in the stream's order, perhaps twice, perhaps with holes."""
        if isinstance(message, ClearBuffer):
            self._advance(message.segment, message.chunk)
            self._listener.clear(message.segment)
        elif isinstance(message, AudioChunk | Flush):
            if (message.segment, message.chunk) <= (self._segment, self._chunk):
                return  # seen
            has_hole = self._has_hole_before(message)
            self._advance(message.segment, message.chunk)
            if has_hole or self._is_broken:
                if not self._is_broken:
                    log.warning("audio lost", segment=message.segment, before=message.chunk)
                self._is_broken = True
                self._listener.break_off(message.segment)
            elif isinstance(message, AudioChunk):
                self._listener.chunk(message.segment, message.pcm)
            elif isinstance(message, Flush):
                self._listener.flush(message.segment)
            else:
                assert_never(message)
        else:
            log.warning("unexpected message on the audio stream", kind=type(message).__name__)

    def _has_hole_before(self, message: AudioChunk | Flush) -> bool:
        if message.segment == self._segment:
            return message.chunk != self._chunk + 1
        # a new segment begins with 1; the first one we ever see may be a resumed one
        return message.chunk != 1 and self._segment != 0

    def _advance(self, segment: int, chunk: int) -> None:
        if segment != self._segment:
            self._is_broken = False
        if (segment, chunk) > (self._segment, self._chunk):
            self._segment, self._chunk = segment, chunk


class Inbox:
    """The one reader of one audio stream. After a lost connection it goes on from its last id."""

    def __init__(self, redis: Redis, key: str, listener: Listener) -> None:
        self._redis = redis
        self._key = key
        self._listener = listener
        self._ordering = Ordering(listener)
        self._last_id = b"0-0"

    async def run(self) -> None:
        """Until cancelled."""
        retry_s = 0.0
        while True:
            try:
                entries = await self._read()
                retry_s = 0.0
            except (RedisConnectionError, RedisTimeoutError, RedisError, OSError) as error:
                if retry_s == 0.0:
                    log.warning("audio stream unreachable", error=type(error).__name__)
                retry_s = min(RETRY_MAX_S, max(RETRY_MIN_S, 2 * retry_s))
                await asyncio.sleep(retry_s)
                continue
            for entry_id, entry in entries:
                self._last_id = entry_id
                self._handle(entry)
            while self._listener.queued_s > HELD_MAX_S:  # noqa: ASYNC110  # a rare brake
                await asyncio.sleep(RETRY_MIN_S)

    async def _read(self) -> list[tuple[bytes, dict[bytes, bytes]]]:
        reply: Any = await self._redis.xread(
            {self._key: self._last_id}, count=READ_COUNT, block=BLOCK_MS
        )
        return reply[0][1] if reply else []

    def _handle(self, entry: dict[bytes, bytes]) -> None:
        try:
            message = decode(entry)
        except ContractError as error:
            log.warning("audio entry refused", error=str(error))
            return
        self._ordering.handle(message)
