"""A Python subscriber that reads the test card and the sound's edges, with the times they came."""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field

import numpy as np
from livekit import rtc
from numpy.typing import NDArray

RATE_HZ = 48_000
FRAME = RATE_HZ // 100
_LOUD_RMS = 0.03
_EDGE_WINDOW_US = 2500


@dataclass
class Seen:
    """One picture: when it came, its number, whether its level row is white."""

    at_s: float
    number: int
    is_loud: bool


@dataclass
class Viewer:
    """Subscribes to one publisher. `seen` and `edges()` are on `time.monotonic`."""

    identity: str
    seen: list[Seen] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    samples: list[NDArray[np.int16]] = field(default_factory=list)
    tracks: dict[int, rtc.Track] = field(default_factory=dict)
    buffers: list[tuple[float, float, int, float, int]] = field(default_factory=list)
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)
    _room: rtc.Room = field(default_factory=rtc.Room)

    async def join(self, url: str, token: str) -> None:
        self._room.on("track_subscribed", self._subscribe)
        await self._room.connect(url, token)
        self._tasks.append(asyncio.create_task(self._watch_buffers()))

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._room.disconnect()

    def sound_edges(self) -> list[tuple[float, bool]]:
        """When the sound became loud or silent: `(time, is_loud)`.

        The receiver plays at a constant rate, so a sample's time is the straight line under the
        arrivals, taken over 2 s (a late arrival is our event loop, not the sound).
        """
        if not self.samples:
            return []
        arrivals = np.array(self.arrivals)
        line = arrivals - np.arange(len(arrivals)) * 0.010
        window = 200
        lows = np.array([line[max(0, i - window) : i + 1].min() for i in range(len(line))])
        wave = np.concatenate(self.samples).astype(np.float64) / 32768
        return [
            (float(lows[min(i // FRAME, len(lows) - 1)] + (i / FRAME) * 0.010), is_loud)
            for i, is_loud in edges_of(wave, RATE_HZ)
        ]

    def picture_edges(self) -> list[tuple[float, bool]]:
        """When the level row turned white or black; not where that picture is missing."""
        pairs = zip(self.seen, self.seen[1:], strict=False)
        return [
            (b.at_s, b.is_loud)
            for a, b in pairs
            if a.is_loud != b.is_loud and b.number - a.number == 1
        ]

    def buffered_s(self, at: float) -> float:
        """How much longer sound than picture waited in the receiver's buffers at that time."""
        found = 0.0
        for before, after in zip(self.buffers, self.buffers[1:], strict=False):
            sound_s, sounds, picture_s, pictures = (
                b - a for a, b in zip(before[1:], after[1:], strict=True)
            )
            if sounds > 0 and pictures > 0:
                found = sound_s / sounds - picture_s / pictures
            if after[0] > at:
                break
        return found

    async def _watch_buffers(self) -> None:
        """Total seconds spent in the jitter buffers, and by how many samples and frames."""
        while True:
            await asyncio.sleep(0.25)
            if len(self.tracks) == 2:
                sound = await self._buffer(rtc.TrackKind.KIND_AUDIO)
                picture = await self._buffer(rtc.TrackKind.KIND_VIDEO)
                self.buffers.append((time.monotonic(), *sound, *picture))

    async def _buffer(self, kind: int) -> tuple[float, int]:
        for entry in await self.tracks[kind].get_stats():
            if entry.HasField("inbound_rtp"):
                stats = entry.inbound_rtp.inbound
                return stats.jitter_buffer_delay, stats.jitter_buffer_emitted_count
        return 0.0, 0

    def _subscribe(
        self, track: rtc.Track, _: rtc.RemoteTrackPublication, who: rtc.RemoteParticipant
    ) -> None:
        if who.identity != self.identity:
            return
        self.tracks[track.kind] = track
        watch = self._listen if track.kind == rtc.TrackKind.KIND_AUDIO else self._look
        self._tasks.append(asyncio.create_task(watch(track)))

    async def _listen(self, track: rtc.Track) -> None:
        stream = rtc.AudioStream(track, sample_rate=RATE_HZ, num_channels=1, frame_size_ms=10)
        with contextlib.suppress(asyncio.CancelledError):
            async for event in stream:
                self.arrivals.append(time.monotonic())
                self.samples.append(np.frombuffer(event.frame.data, np.int16).copy())

    async def _look(self, track: rtc.Track) -> None:
        stream = rtc.VideoStream(track, format=rtc.VideoBufferType.I420)
        with contextlib.suppress(asyncio.CancelledError):
            async for event in stream:
                now = time.monotonic()
                frame = event.frame
                if frame.width < 32:  # before the first real picture
                    continue
                luma = np.frombuffer(frame.data, np.uint8)[: frame.width * frame.height]
                number, is_loud = read_card(luma.reshape(frame.height, frame.width))
                self.seen.append(Seen(now, number, is_loud))


def edges_of(wave: NDArray[np.float64], rate_hz: int) -> list[tuple[int, bool]]:
    """Where a sound becomes loud or silent: `(sample, is_loud)`.

    A voice has gaps of some ms: a state counts when it holds for 50 ms.
    """
    window = rate_hz * _EDGE_WINDOW_US // 1_000_000
    power = np.convolve(np.square(wave), np.ones(window) / window, "same")
    loud = power > _LOUD_RMS**2
    edges, state, hold = [], False, rate_hz // 20
    for i in (np.flatnonzero(np.diff(loud.astype(np.int8))) + 1).tolist():
        if bool(loud[i]) != state and np.mean(loud[i : i + hold] == loud[i]) > 0.97:
            state = bool(loud[i])
            edges.append((i, state))
    return edges


def read_card(luma: NDArray[np.uint8]) -> tuple[int, bool]:
    """Number and level flag of a test card. [height, width]"""
    height, width = luma.shape
    row = luma[height // 32 : height * 3 // 32]
    number = 0
    for cell in range(16):
        middle = row[:, (4 * cell + 1) * width // 64 : (4 * cell + 3) * width // 64]
        number = number << 1 | int(middle.mean() > 128)
    flag = luma[height * 5 // 32 : height * 7 // 32, width // 8 : width * 7 // 8]
    return number, bool(flag.mean() > 128)
