"""Where speech can be played: by the avatar (over Redis), or as plain sound in the room.

A sink is given *parts*. A part is what one sink plays of one utterance; it has a number of its own
(the `segment` of the wire) and begins anywhere in the utterance, so that a second sink can go on
where the first one was lost.
"""

import asyncio
from typing import Final, Protocol

from redis.exceptions import RedisError

from agent_worker.errors import SinkLostError
from agent_worker.observability import log
from agent_worker.redis_streams import RedisClient, append, last_entry_id
from avatar_contracts.messages import AudioChunk, AudioMessage, ClearBuffer, Flush
from avatar_contracts.streams import AUDIO_MAX_ENTRIES, audio_key, entry_id

WRITE_TRIES_S: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0)
"""Pauses between tries to append; an outage longer than their sum loses the sink."""
LEAVE_TIMEOUT_S: Final = 0.5


class SinkEvents(Protocol):
    """What a sink tells about a part. Positions are seconds from the part's beginning."""

    def on_started(self, part: int) -> None: ...
    def on_position(self, part: int, position_s: float) -> None: ...
    def on_finished(self, part: int, position_s: float, *, interrupted: bool) -> None: ...


class SpeechSink(Protocol):
    """Plays parts in the order of their numbers, and reports on them through `SinkEvents`.

    `chunk` counts from 1 within a part, over chunks, flush and clear alike. All may raise
    `SinkLostError`. `leave` gives everything up without reporting; it may be called twice.
    """

    async def open_part(self) -> int: ...
    async def send(self, part: int, chunk: int, pcm: bytes) -> None: ...
    async def flush(self, part: int, chunk: int) -> None: ...
    async def clear(self, part: int, chunk: int) -> None: ...
    async def leave(self) -> None: ...


class AvatarSink:
    """The audio stream of one epoch; what was heard comes back on the playout stream.

    Parts are numbered on from what the stream holds already, so an agent that was dispatched again
    does not write into the utterances of the one before it, which it clears first.
    """

    def __init__(self, redis: RedisClient, session: str, epoch: int) -> None:
        self.epoch = epoch
        self._redis = redis
        self._key = audio_key(session, epoch)
        self._last_part: int | None = None
        self._left = False

    async def open_part(self) -> int:
        if self._last_part is None:
            self._last_part = await self._take_over()
        self._last_part += 1
        return self._last_part

    async def send(self, part: int, chunk: int, pcm: bytes) -> None:
        await self._append(AudioChunk(part, chunk, pcm))

    async def flush(self, part: int, chunk: int) -> None:
        await self._append(Flush(part, chunk))

    async def clear(self, part: int, chunk: int) -> None:
        await self._append(ClearBuffer(part, chunk))

    async def leave(self) -> None:
        """Silence the avatar of this epoch, should it still live."""
        if self._left:
            return
        self._left = True
        if self._last_part:
            try:
                async with asyncio.timeout(LEAVE_TIMEOUT_S):
                    await self._write(ClearBuffer(self._last_part + 1, 1))
            except (RedisError, OSError, TimeoutError) as error:
                log().warning("avatar could not be silenced", error=type(error).__name__)

    async def _take_over(self) -> int:
        """The number to go on from; what somebody else left on the stream is cleared.

        The clear takes a number of its own: an agent that still writes is refused from then on.
        """
        try:
            part, _ = await last_entry_id(self._redis, self._key)
        except (RedisError, OSError) as error:
            raise SinkLostError(f"audio stream: {type(error).__name__}") from error
        if part:
            part += 1
            await self._append(ClearBuffer(part, 1))
        return part

    async def _append(self, message: AudioMessage) -> None:
        for pause_s in (*WRITE_TRIES_S, None):
            if self._left:
                raise SinkLostError("the audio stream was given up")
            try:
                await self._write(message)
                return
            except (RedisError, OSError) as error:
                if pause_s is None:
                    raise SinkLostError(f"audio stream: {type(error).__name__}") from error
                await asyncio.sleep(pause_s)

    async def _write(self, message: AudioMessage) -> None:
        await append(
            self._redis,
            self._key,
            message,
            entry_id=entry_id(message.segment, message.chunk),
            max_entries=AUDIO_MAX_ENTRIES,
        )
