"""A microphone for an `AgentSession` without a room: what is put in comes out in real time."""

import asyncio

from livekit import rtc
from livekit.agents.voice.io import AudioInput

from avatar_contracts.audio import SAMPLE_RATE_HZ

FRAME_SAMPLES = SAMPLE_RATE_HZ // 50


class Microphone(AudioInput):
    """20 ms frames, silence when nobody speaks.

    Attributes:
        spoken: set whenever the last sample that was put in has come out.
        ended_at_s: loop time of that moment.
    """

    def __init__(self) -> None:
        super().__init__(label="test microphone")
        self.spoken = asyncio.Event()
        self.ended_at_s = 0.0
        self._pcm = bytearray()
        self._next_s = 0.0

    def speak(self, pcm: bytes) -> None:
        self.spoken.clear()
        self._pcm += pcm

    async def __anext__(self) -> rtc.AudioFrame:
        loop = asyncio.get_running_loop()
        self._next_s = max(self._next_s, loop.time() - 0.2) + FRAME_SAMPLES / SAMPLE_RATE_HZ
        await asyncio.sleep(max(0.0, self._next_s - loop.time()))
        size = 2 * FRAME_SAMPLES
        pcm = bytes(self._pcm[:size]).ljust(size, b"\0")
        if self._pcm:
            del self._pcm[:size]
            if not self._pcm:
                self.ended_at_s = loop.time()
                self.spoken.set()
        return rtc.AudioFrame(pcm, SAMPLE_RATE_HZ, 1, FRAME_SAMPLES)
