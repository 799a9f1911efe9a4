"""A publisher with no skew, to measure against: sound and picture handed over at one instant.

No queue anywhere: 10 ms of sound at a time, and with the first of each 40 ms their picture.

    python -m tests.bench.live.control_process URL TOKEN CODEC SIZE
"""

import asyncio
import sys
import time

import cv2
import numpy as np
from livekit import rtc

from avatar_contracts.audio import FRAME_SAMPLES, SAMPLE_RATE_HZ
from avatar_worker.config import VideoCodec
from avatar_worker.engines.base import FrameRequest
from avatar_worker.engines.test_card import CardHearing, TestCard
from avatar_worker.publisher import picture_options, sound_options
from tests.bench.live.pattern import on_off_frames, sound_of

PATTERN_FRAMES = 250
TICK = SAMPLE_RATE_HZ // 100


async def publish(url: str, token: str, codec: VideoCodec, size: int) -> None:
    pcm = sound_of(on_off_frames(PATTERN_FRAMES, seed=99))
    samples = np.frombuffer(pcm, "<i2")
    hearing = CardHearing()
    hearing.push(samples.astype(np.float32) / np.float32(32768))
    card = TestCard(size, size)
    face = card.open({})
    pictures = []
    for frame in range(PATTERN_FRAMES):
        request = FrameRequest(frame, hearing, frame, 1.0, is_sounding=True)
        rgb = card.draw([(face, request)])[0]
        pictures.append(cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420).reshape(-1))
    sound = rtc.AudioSource(SAMPLE_RATE_HZ, 1, queue_size_ms=0)
    video = rtc.VideoSource(size, size)
    room = rtc.Room()
    await room.connect(url, token, rtc.RoomOptions(auto_subscribe=False))
    me = room.local_participant
    audio_track = rtc.LocalAudioTrack.create_audio_track("sound", sound)
    video_track = rtc.LocalVideoTrack.create_video_track("picture", video)
    await me.publish_track(audio_track, sound_options())
    await me.publish_track(video_track, picture_options(codec, 2_000_000))
    began, tick = time.monotonic(), 0
    while True:
        await asyncio.sleep(max(0.0, began + tick * 0.010 - time.monotonic()))
        at = tick * TICK % len(samples)
        if at % FRAME_SAMPLES == 0:
            data = pictures[at // FRAME_SAMPLES].data
            video.capture_frame(rtc.VideoFrame(size, size, rtc.VideoBufferType.I420, data))
        piece = samples[at : at + TICK].tobytes()
        await sound.capture_frame(rtc.AudioFrame(piece, SAMPLE_RATE_HZ, 1, TICK))
        tick += 1


if __name__ == "__main__":
    asyncio.run(publish(sys.argv[1], sys.argv[2], VideoCodec(sys.argv[3]), int(sys.argv[4])))
