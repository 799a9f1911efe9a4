"""`SyncTalkVideoGenerator`: our face behind livekit-agents' own avatar runner.

For people who want only that: `AvatarRunner(room, audio_recv=…, video_gen=generator,
options=generator.options)`. The project's workers have a runner of their own.

Sound of a segment leaves in pieces of 40 ms, each right after its picture, at the rate it came
with. Between segments the face goes on through its footage with the mouth at rest; how fast is
up to the runner, which takes pictures at 25 a second.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import soxr
from livekit import rtc
from livekit.agents.voice.avatar import AudioSegmentEnd, AvatarOptions, VideoGenerator
from numpy.typing import NDArray

from avatar_worker.audio.features import AudioFeatureStream, AudioModel, AudioVector
from avatar_worker.audio.mel import SAMPLE_RATE_HZ
from avatar_worker.audio.window import FRAME_RATE_HZ
from avatar_worker.character import Character
from avatar_worker.render.renderer import FrameRequest, Renderer
from avatar_worker.render.scene import mirror_index
from avatar_worker.streaming import parts_of

QUEUED_FRAMES: Final = 250
"""Audio frames that wait at most; a fuller queue makes `push_audio` wait."""

IDLE_WAIT_S: Final = 0.02
"""How long to wait for sound before an idle picture is drawn: half of its 40 ms."""


@dataclass(slots=True)
class _Segment:
    """One utterance: what was heard of it, and what still waits for its picture."""

    features: AudioFeatureStream
    resampler: soxr.ResampleStream
    rate_hz: int
    n_channels: int
    waiting: NDArray[np.int16]

    @property
    def picture_samples(self) -> int:
        return self.rate_hz // FRAME_RATE_HZ

    def push(self, frame: rtc.AudioFrame) -> list[AudioVector]:
        samples = np.frombuffer(frame.data, np.int16).reshape(-1, self.n_channels)
        self.waiting = np.concatenate((self.waiting, samples))
        return self._heard(samples, is_last=False)

    def finish(self) -> list[AudioVector]:
        """Vectors of the rest; never fewer than the waiting sound needs."""
        nothing = np.zeros((0, self.n_channels), np.int16)
        return self._heard(nothing, is_last=True) + self.features.flush()

    def _heard(self, samples: NDArray[np.int16], *, is_last: bool) -> list[AudioVector]:
        mono = samples.mean(axis=1, dtype=np.float32) / np.float32(32768.0)
        return self.features.push(self.resampler.resample_chunk(mono, last=is_last))

    def sound(self) -> rtc.AudioFrame | None:
        """The next 40 ms, or what is left of them."""
        taken, self.waiting = np.split(self.waiting, [self.picture_samples])
        if len(taken) == 0:
            return None
        return rtc.AudioFrame(taken.tobytes(), self.rate_hz, self.n_channels, len(taken))


class SyncTalkVideoGenerator(VideoGenerator):
    """Pictures and sound for livekit-agents.

    Args:
        character: who is shown.
        renderer: may be shared; None makes one.
        sample_rate_hz: of the sound that will be pushed, for `options`.
        n_channels: likewise.
    """

    def __init__(
        self,
        character: Character,
        *,
        renderer: Renderer | None = None,
        sample_rate_hz: int = 24_000,
        n_channels: int = 1,
    ) -> None:
        self._audio: AudioModel
        self._audio, self._scenes = parts_of(character)
        self._renderer = renderer or character.renderer()
        self._rest = self._audio.silence()
        self._queue: asyncio.Queue[rtc.AudioFrame | AudioSegmentEnd] = asyncio.Queue(QUEUED_FRAMES)
        self._segment: _Segment | None = None
        self._n_cleared = 0
        self._n_drawn = 0
        self.options = AvatarOptions(
            video_width=character.width,
            video_height=character.height,
            video_fps=FRAME_RATE_HZ,
            audio_sample_rate=sample_rate_hz,
            audio_channels=n_channels,
        )

    async def push_audio(self, frame: rtc.AudioFrame | AudioSegmentEnd) -> None:
        """Take sound of a segment, or its end; waits while a lot is queued."""
        await self._queue.put(frame)

    def clear_buffer(self) -> None:
        """Forget the sound that waits; the mouth comes to rest with the next picture."""
        while not self._queue.empty():
            self._queue.get_nowait()
        self._segment = None
        self._n_cleared += 1

    async def __aiter__(self) -> AsyncIterator[rtc.VideoFrame | rtc.AudioFrame | AudioSegmentEnd]:
        """Pictures and sound in step, without end."""
        while True:
            try:
                async with asyncio.timeout(IDLE_WAIT_S):
                    item = await self._queue.get()
            except TimeoutError:
                if self._segment is None:
                    yield await self._picture(self._rest)
                continue
            epoch = self._n_cleared
            vectors = await asyncio.to_thread(self._vectors, item)
            if epoch != self._n_cleared:
                self._segment = None  # cleared while the thread was still listening
                continue
            for vector in vectors:
                if epoch != self._n_cleared:
                    break
                picture = await self._picture(vector)
                segment = self._segment
                if epoch != self._n_cleared or segment is None:
                    break
                sound = segment.sound()
                if sound is None:
                    break
                yield picture
                yield sound
            if isinstance(item, AudioSegmentEnd) and epoch == self._n_cleared:
                self._segment = None
                yield item

    def _vectors(self, item: rtc.AudioFrame | AudioSegmentEnd) -> list[AudioVector]:
        """Audio vectors that became certain; runs in a thread."""
        if isinstance(item, AudioSegmentEnd):
            return self._segment.finish() if self._segment is not None else []
        if self._segment is None:
            self._segment = _Segment(
                features=AudioFeatureStream(self._audio, "silence"),
                resampler=soxr.ResampleStream(item.sample_rate, SAMPLE_RATE_HZ, 1, dtype="float32"),
                rate_hz=item.sample_rate,
                n_channels=item.num_channels,
                waiting=np.zeros((0, item.num_channels), np.int16),
            )
        return self._segment.push(item)

    async def _picture(self, vector: AudioVector) -> rtc.VideoFrame:
        pose_index = mirror_index(self._n_drawn, self._scenes.n_scenes)
        self._n_drawn += 1
        request = FrameRequest(vector, pose_index)
        picture = await asyncio.to_thread(self._renderer.render, request)
        height, width = picture.shape[:2]
        return rtc.VideoFrame(width, height, rtc.VideoBufferType.RGB24, picture.tobytes())
