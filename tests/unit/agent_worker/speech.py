"""Sound and waiting for the tests of this folder."""

import asyncio
from collections.abc import Callable

import numpy as np
from livekit import rtc

from avatar_contracts.audio import SAMPLE_RATE_HZ


def ramp(samples: int, start: int = 0) -> bytes:
    """PCM in which every sample tells its own place, so that a gap or a double is seen."""
    return ((np.arange(start, start + samples) % 32749) + 1).astype("<i2").tobytes()


def frame(pcm: bytes) -> rtc.AudioFrame:
    return rtc.AudioFrame(pcm, SAMPLE_RATE_HZ, 1, len(pcm) // 2)


async def until(condition: Callable[[], object], within_s: float = 30.0) -> None:
    """Wait for a condition; fail when it does not come true in time."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  # the condition is anything
            await asyncio.sleep(0.005)
