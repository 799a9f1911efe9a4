"""Small videos of the shipped character, good and bad ones, written for a test."""

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
import soxr

from avatar_worker.audio.sound import read_sound
from avatar_worker.slots import SHIPPED_CHARACTER
from tests.unit.avatar_worker.mini import CROSS_WAV

N_PICTURES = 103
SOUND_RATE_HZ = 48_000


@cache
def mira(number: int) -> np.ndarray:
    """A picture of the character at rest, RGB. [512, 512, 3]"""
    bgr = cv2.imread(str(SHIPPED_CHARACTER / f"pictures/{number:05d}.original.webp"))
    assert bgr is not None
    return np.ascontiguousarray(bgr[..., ::-1])


def still(grey: int = 90, width: int = 64, height: int = 64) -> np.ndarray:
    return np.full((height, width, 3), grey, np.uint8)


@cache
def speech(seconds: float) -> np.ndarray:
    """Somebody speaking, 48 kHz."""
    sound = read_sound(CROSS_WAV)
    once = np.asarray(soxr.resample(sound.samples[0], sound.rate_hz, SOUND_RATE_HZ), np.float32)
    n = round(seconds * SOUND_RATE_HZ)
    return np.tile(once, n // len(once) + 1)[:n]


def film(
    path: Path,
    pictures: Sequence[np.ndarray],
    *,
    fps: float = 25,
    times_s: Sequence[float] | None = None,
    sound: np.ndarray | None = None,
    sound_start_s: float = 0.0,
    turn_deg: int = 0,
    format_: str = "mp4",
) -> Path:
    """Write an mp4; `turn_deg` is what a player shall turn the pictures by, anticlockwise."""
    base = Fraction(1, 90_000)
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w", format=format_) as container:
        video = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.options = {"preset": "ultrafast", "crf": "12", "bf": "0"}
        video.time_base = video.codec_context.time_base = base
        if turn_deg:
            video.set_display_rotation(turn_deg)
        audio = None
        if sound is not None:
            audio = container.add_stream("aac", rate=SOUND_RATE_HZ, layout="mono")
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            at_s = index / fps if times_s is None else times_s[index]
            frame.pts, frame.time_base = round(at_s / base), base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None:
            assert sound is not None
            for start in range(0, len(sound), 1024):
                part = np.ascontiguousarray(sound[None, start : start + 1024], np.float32)
                block = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
                block.sample_rate = SOUND_RATE_HZ
                block.pts = start + round(sound_start_s * SOUND_RATE_HZ)
                block.time_base = Fraction(1, SOUND_RATE_HZ)
                container.mux(audio.encode(block))
            container.mux(audio.encode(None))
    return path


def mira_film(path: Path, n_frames: int) -> Path:
    """The character for some frames, speaking (her lips do not know)."""
    return film(path, [mira(n) for n in range(n_frames)], sound=speech(n_frames / 25))
