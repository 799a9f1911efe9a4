"""Speech as plain sound in the room: what is left of a voice when its face is gone.

The track exists only while it is needed, so that a page that plays every track it sees plays
nothing twice. It is published by the agent itself.
"""

import asyncio
from collections import deque
from typing import Final, Protocol

from livekit import rtc

from agent_worker.observability import log
from agent_worker.sinks import SinkEvents
from agent_worker.tasks import end_tasks, log_failure
from avatar_contracts.audio import BYTES_PER_SAMPLE, SAMPLE_RATE_HZ, samples_to_seconds

QUEUE_MS: Final = 200
"""Sound handed to the track ahead of time; a multiple of 10, else the native library aborts."""
FRAME_SAMPLES: Final = SAMPLE_RATE_HZ // 50
SUBSCRIBED_WITHIN_S: Final = 0.5
"""Waiting for somebody to hear the first words; afterwards they are spoken anyway."""


class AudioTrack(Protocol):
    """Something that plays PCM at its own pace; `RoomTrack` in the product."""

    @property
    def queued_s(self) -> float: ...
    async def open(self) -> None: ...
    async def play(self, pcm: bytes) -> None: ...
    async def drained(self) -> None: ...
    def drop(self) -> None: ...
    async def close(self) -> None: ...


class RoomTrack:
    """A microphone track of the agent in a LiveKit room."""

    def __init__(self, room: rtc.Room) -> None:
        self._room = room
        self._source: rtc.AudioSource | None = None
        self._publication: rtc.LocalTrackPublication | None = None

    @property
    def queued_s(self) -> float:
        return self._source.queued_duration if self._source is not None else 0.0

    async def open(self) -> None:
        if self._source is not None:
            return
        source = self._source = rtc.AudioSource(SAMPLE_RATE_HZ, 1, queue_size_ms=QUEUE_MS)
        track = rtc.LocalAudioTrack.create_audio_track("agent_audio", source)
        self._publication = await self._room.local_participant.publish_track(
            track, rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        )
        try:
            async with asyncio.timeout(SUBSCRIBED_WITHIN_S):
                await self._publication.wait_for_subscription()
        except TimeoutError:
            log().info("nobody has subscribed to the agent's track yet")

    async def play(self, pcm: bytes) -> None:
        if self._source is not None:
            samples = len(pcm) // BYTES_PER_SAMPLE
            await self._source.capture_frame(rtc.AudioFrame(pcm, SAMPLE_RATE_HZ, 1, samples))

    async def drained(self) -> None:
        if self._source is not None:
            await self._source.wait_for_playout()

    def drop(self) -> None:
        if self._source is not None:
            self._source.clear_queue()

    async def close(self) -> None:
        source, self._source = self._source, None
        publication, self._publication = self._publication, None
        if publication is not None and self._room.isconnected():
            await self._room.local_participant.unpublish_track(publication.sid)
        if source is not None:
            await source.aclose()


class RoomSink:
    """A `FallbackSink` over an `AudioTrack`."""

    def __init__(self, track: AudioTrack, events: SinkEvents) -> None:
        self._track = track
        self._events = events
        self._last_part = 0
        self._cleared_part = 0
        self._due: deque[tuple[int, bytes | None]] = deque()
        self._work = asyncio.Event()
        self._position = 0
        self._playing = 0
        self._player: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()

    async def prepare(self) -> None:
        async with self._opening:
            try:
                await self._track.open()
            except Exception as error:
                log().warning("agent's own track cannot be published", error=type(error).__name__)

    async def open_part(self) -> int:
        await self.prepare()
        if self._player is None:
            self._player = asyncio.create_task(self._play(), name="room-sink")
            self._player.add_done_callback(log_failure)
        self._last_part += 1
        return self._last_part

    async def send(self, part: int, chunk: int, pcm: bytes) -> None:
        self._due.append((part, pcm))
        self._work.set()

    async def flush(self, part: int, chunk: int) -> None:
        self._due.append((part, None))
        self._work.set()

    async def clear(self, part: int, chunk: int) -> None:
        """Drop this part and all before it, and report each that was not finished."""
        first = min([self._playing or part, *(number for number, _ in self._due)])
        self._cleared_part = max(self._cleared_part, part)
        self._due = deque(item for item in self._due if item[0] > part)
        position_s = self._heard_s()
        if self._playing and self._playing <= part:
            self._track.drop()
        for number in range(first, part + 1):
            heard_s = position_s if number == self._playing else 0.0
            self._events.on_finished(number, heard_s, interrupted=True)

    async def leave(self) -> None:
        await end_tasks(self._player)
        self._player = None
        self._due.clear()
        self._playing = self._position = 0
        self._track.drop()
        async with self._opening:
            await self._track.close()

    async def _play(self) -> None:
        while True:
            while not self._due:
                self._work.clear()
                await self._work.wait()
            part, pcm = self._due.popleft()
            if part != self._playing:
                self._playing, self._position = part, 0
            if pcm is None:
                await self._end_part(part)
                continue
            step = FRAME_SAMPLES * BYTES_PER_SAMPLE
            for start in range(0, len(pcm), step):
                if part <= self._cleared_part:
                    break
                await self._track.play(pcm[start : start + step])
                if self._position == 0:
                    self._events.on_started(part)
                self._position += len(pcm[start : start + step]) // BYTES_PER_SAMPLE
                self._events.on_position(part, self._heard_s())

    async def _end_part(self, part: int) -> None:
        await self._track.drained()
        if part > self._cleared_part:
            position_s = samples_to_seconds(self._position)
            self._events.on_finished(part, position_s, interrupted=False)

    def _heard_s(self) -> float:
        return max(0.0, samples_to_seconds(self._position) - self._track.queued_s)
