import asyncio

import numpy as np
import pytest
from livekit import rtc
from livekit.agents.voice.avatar import AudioSegmentEnd

from avatar_worker.render.renderer import FrameRequest
from avatar_worker.trained import open_trained
from avatar_worker.video_generator import SyncTalkVideoGenerator
from tests.unit.avatar_worker import mini

pytestmark = pytest.mark.unit


class FlatPictures:
    """Stands in for a renderer: white while the mouth is at rest, black while it speaks."""

    def __init__(self, silence: np.ndarray) -> None:
        self._silence = silence

    def render(self, frame: FrameRequest) -> np.ndarray:
        at_rest = np.array_equal(frame.enc_a, self._silence)
        return np.full((128, 128, 3), 255 if at_rest else 0, np.uint8)


@pytest.fixture
def generator() -> SyncTalkVideoGenerator:
    trained = open_trained(mini.DATA, mini.WORKSPACE)
    character = trained.character(portrait=True, audio=mini.audio_model())
    pictures = FlatPictures(mini.audio_model().silence())
    return SyncTalkVideoGenerator(character, renderer=pictures)


def tone(n_samples: int) -> np.ndarray:
    t = np.arange(n_samples) / 24_000
    return (8000 * np.sin(2 * np.pi * 300 * t)).astype(np.int16)


def frames_of(samples: np.ndarray) -> list[rtc.AudioFrame]:
    """80 ms chunks at 24 kHz."""
    parts = [samples[i : i + 1920] for i in range(0, len(samples), 1920)]
    return [rtc.AudioFrame(part.tobytes(), 24_000, 1, len(part)) for part in parts]


async def until_end(generator: SyncTalkVideoGenerator) -> list[object]:
    came: list[object] = []
    async with asyncio.timeout(60):
        async for item in generator:
            came.append(item)
            if isinstance(item, AudioSegmentEnd):
                return came
    raise AssertionError("the generator ended")


async def test_a_segment_comes_back_whole_with_a_picture_before_every_40_ms(generator):
    samples = tone(24_000 + 500)
    for frame in frames_of(samples):
        await generator.push_audio(frame)
    await generator.push_audio(AudioSegmentEnd())
    came = await until_end(generator)
    while isinstance(came[0], rtc.VideoFrame) and isinstance(came[1], rtc.VideoFrame):
        came.pop(0)  # idle pictures before the sound
    assert isinstance(came[-1], AudioSegmentEnd)
    spoken = came[:-1]
    assert len(spoken) == 2 * 26  # 24,500 samples: 25 whole pieces of 960, and one of 500
    assert all(isinstance(item, rtc.VideoFrame) for item in spoken[::2])
    sound = np.concatenate([np.frombuffer(item.data, np.int16) for item in spoken[1::2]])
    assert np.array_equal(sound, samples)


async def test_without_sound_the_mouth_rests(generator):
    async with asyncio.timeout(60):
        async for item in generator:
            assert isinstance(item, rtc.VideoFrame)
            assert (item.width, item.height) == (128, 128)
            assert bytes(item.data[:3]) == b"\xff\xff\xff"
            break


async def test_a_clear_ends_the_segment_at_once(generator):
    for frame in frames_of(tone(48_000)):
        await generator.push_audio(frame)
    n_sounds = 0
    async with asyncio.timeout(60):
        async for item in generator:
            if isinstance(item, rtc.AudioFrame):
                n_sounds += 1
                if n_sounds == 3:
                    generator.clear_buffer()
            elif n_sounds == 3:
                # The first picture after the clear is one of rest.
                assert bytes(item.data[:3]) == b"\xff\xff\xff"
                break
    assert n_sounds == 3


def test_options_are_those_of_the_character(generator):
    assert generator.options.video_width == 128
    assert generator.options.video_fps == 25
    assert generator.options.audio_sample_rate == 24_000
