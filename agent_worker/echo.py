"""Echo mode: the avatar repeats what the visitor says, sample for sample.

A gate cuts the microphone's sound into utterances: one opens when a block is loud, and takes the
moment before it along, so that a soft beginning is not lost; it ends after 300 ms of quiet.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from livekit import rtc

from agent_worker.audio_output import RedisAudioOutput
from avatar_contracts.audio import BYTES_PER_SAMPLE, SAMPLE_RATE_HZ

BLOCK_SAMPLES: Final = SAMPLE_RATE_HZ // 100
LOUD_RMS: Final = 0.008
"""Of full scale; above the noise of a quiet room, far below speech."""
PRE_ROLL_SAMPLES: Final = SAMPLE_RATE_HZ // 5
QUIET_END_SAMPLES: Final = SAMPLE_RATE_HZ * 3 // 10
FRAME_MS: Final = 20


@dataclass(frozen=True, slots=True)
class Sound:
    """Samples of the open utterance, s16le."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class End:
    """The utterance is complete."""


class EchoGate:
    """Sound in pieces of any length → utterances; each sample comes out at most once, in order."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._before = bytearray()
        self._is_open = False
        self._quiet_samples = 0

    def push(self, pcm: bytes) -> list[Sound | End]:
        """What is to be repeated now. Whole blocks only; a remainder waits for the next call."""
        self._rest += pcm
        block_bytes = BLOCK_SAMPLES * BYTES_PER_SAMPLE
        out: list[Sound | End] = []
        while len(self._rest) >= block_bytes:
            block = bytes(self._rest[:block_bytes])
            del self._rest[:block_bytes]
            self._take(block, out)
        return out

    def _take(self, block: bytes, out: list[Sound | End]) -> None:
        loud = _rms(block) >= LOUD_RMS
        if not self._is_open:
            self._before += block
            if not loud:
                del self._before[: -PRE_ROLL_SAMPLES * BYTES_PER_SAMPLE]
                return
            self._is_open = True
            self._quiet_samples = 0
            out.append(Sound(bytes(self._before)))
            self._before.clear()
            return
        out.append(Sound(block))
        self._quiet_samples = 0 if loud else self._quiet_samples + BLOCK_SAMPLES
        if self._quiet_samples >= QUIET_END_SAMPLES:
            self._is_open = False
            out.append(End())


async def echo(
    sound: AsyncIterator[bytes], output: RedisAudioOutput, on_speaking: Callable[[bool], None]
) -> None:
    """Repeat a microphone through the output until it ends.

    Args:
        sound: PCM as it comes, s16le, 24 kHz, mono.
        on_speaking: told when an utterance begins and ends.
    """
    gate = EchoGate()
    speaking = False
    try:
        async for pcm in sound:
            for piece in gate.push(pcm):
                if isinstance(piece, End):
                    output.flush()
                    speaking = False
                    on_speaking(False)
                    continue
                if not speaking:
                    speaking = True
                    on_speaking(True)
                samples = len(piece.pcm) // BYTES_PER_SAMPLE
                await output.capture_frame(rtc.AudioFrame(piece.pcm, SAMPLE_RATE_HZ, 1, samples))
    finally:
        if speaking:
            output.flush()
            on_speaking(False)


async def microphone(track: rtc.RemoteTrack) -> AsyncIterator[bytes]:
    """A remote track as 24 kHz mono PCM, until it ends."""
    stream = rtc.AudioStream(
        track, sample_rate=SAMPLE_RATE_HZ, num_channels=1, frame_size_ms=FRAME_MS
    )
    try:
        async for event in stream:
            yield bytes(event.frame.data)
    finally:
        await asyncio.shield(stream.aclose())


def _rms(pcm: bytes) -> float:
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32)
    return float(np.sqrt(np.mean(samples * samples)) / 32768.0)
