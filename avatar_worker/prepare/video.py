"""What a video file holds, and its pictures at an even pace.

Times count from the first picture. Pictures are turned upright as the file says.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np
import soxr
from numpy.typing import NDArray

from avatar_worker.prepare.errors import FootageError
from avatar_worker.sentence import reason

FPS: Final = 25
"""Of the data folder: the audio windows of every SyncTalk program belong to 40 ms."""

SOUND_RATE_HZ: Final = 16_000

MAX_PIXELS: Final = 8192 * 4320
MAX_DURATION_S: Final = 3600
"""An hour is ten times what training needs, and a damaged file may claim anything."""

MAX_MISSING_AT_END: Final = 5
"""Pictures that encoders announce and do not write when a recording is stopped."""

QUARTER_TURNS: Final = {
    90: cv2.ROTATE_90_COUNTERCLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_CLOCKWISE,
}


@dataclass(frozen=True, slots=True)
class Video:
    """What a file holds.

    Attributes:
        path: the file.
        width: of an upright picture, in pixels.
        height: likewise.
        turn_deg: how far the stored pictures are turned to be upright, anticlockwise.
        stamps: when each picture appears on the file's own clock, ascending. int64 [n]
        tick_s: unit of that clock.
        has_sound: whether there is a sound track.
    """

    path: Path
    width: int
    height: int
    turn_deg: int
    stamps: NDArray[np.int64]
    tick_s: float
    has_sound: bool

    @property
    def times_s(self) -> NDArray[np.float64]:
        """When each picture appears; the first at 0. [n]"""
        return np.asarray((self.stamps - self.stamps[0]) * self.tick_s)

    @property
    def start_s(self) -> float:
        """When the first picture appears on the file's own clock."""
        return float(self.stamps[0]) * self.tick_s

    @property
    def fps(self) -> float:
        """Pictures a second, over the whole file."""
        length_s = (self.stamps[-1] - self.stamps[0]) * self.tick_s
        return float((len(self.stamps) - 1) / length_s) if length_s > 0 else 0.0

    @property
    def duration_s(self) -> float:
        """To the end of the last picture."""
        return float(self.times_s[-1]) + 1 / self.fps if self.fps else 0.0

    @property
    def n_frames(self) -> int:
        """Pictures of 40 ms that fit."""
        return int(self.duration_s * FPS + 1e-6)


def open_video(path: Path) -> Video:
    """Read what a file holds, without decoding more than a picture.

    Raises:
        FootageError: no file, no video, nothing that can be decoded.
    """
    if path.is_dir():
        raise FootageError(f"{path} is a folder; a video is expected")
    if not path.is_file():
        raise FootageError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise FootageError(f"{path} is empty; a video is expected")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise FootageError(f"{path} holds no pictures; a video is expected")
            stream = container.streams.video[0]
            base = float(stream.time_base or 0)
            # What an editor cut away is still in the file, marked to be thrown away.
            stamps = sorted(
                p.pts for p in container.demux(stream) if p.pts is not None and not p.is_discard
            )
        with av.open(str(path)) as container:
            first = next(iter(container.decode(container.streams.video[0])), None)
            has_sound = bool(container.streams.audio)
    except (av.FFmpegError, ValueError) as error:
        raise FootageError(f"{path} cannot be decoded as a video: {reason(error)}") from None
    if first is None or not stamps or base <= 0:
        raise FootageError(f"{path} holds no picture that can be decoded")
    if first.width * first.height > MAX_PIXELS:
        raise FootageError(f"{path} has pictures of {first.width} × {first.height} px; too large")
    if (length_s := (stamps[-1] - stamps[0]) * base) > MAX_DURATION_S:
        raise FootageError(f"{path} lasts {length_s / 60:.0f} minutes; at most 60 are read")
    turn = round(first.rotation / 90) * 90 % 360
    width, height = first.width, first.height
    if turn in (90, 270):
        width, height = height, width
    return Video(path, width, height, turn, np.array(stamps, np.int64), base, has_sound)


def even_frames(video: Video) -> Iterator[NDArray[np.uint8]]:
    """`n_frames` upright RGB pictures [H, W, 3], one for each 40 ms: the one nearest to it in time.

    A picture that cannot be decoded is stood in for by the next one, or at the very end by the
    last one.

    Raises:
        FootageError: the file ends early or is damaged.
    """
    chosen = video.stamps[nearest_pictures(video.times_s, video.n_frames)]
    given = 0
    picture: NDArray[np.uint8] | None = None
    for frame in _frames(video):
        if given < len(chosen) and frame.pts is not None and chosen[given] <= frame.pts:
            picture = _upright(frame, video.turn_deg)
            while given < len(chosen) and chosen[given] <= frame.pts:
                yield picture
                given += 1
    if picture is None or len(chosen) - given > MAX_MISSING_AT_END:
        raise FootageError(
            f"{video.path} can be decoded up to {given / FPS:.1f} s only; "
            f"it says it lasts {video.duration_s:.1f} s"
        )
    for _ in range(len(chosen) - given):
        yield picture


def chosen_frames(
    video: Video, numbers: Sequence[int]
) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Some of the stored pictures, by their ascending numbers: time in seconds and upright RGB."""
    wanted = set(video.stamps[list(numbers)].tolist())
    for frame in _frames(video):
        if frame.pts is not None and frame.pts in wanted:
            time_s = (frame.pts - int(video.stamps[0])) * video.tick_s
            yield time_s, _upright(frame, video.turn_deg)
            if frame.pts == video.stamps[numbers[-1]]:
                return


def nearest_pictures(times_s: NDArray[np.float64], n_frames: int) -> NDArray[np.int64]:
    """Which stored picture is nearest to each 40 ms step. [n_frames]"""
    steps = np.arange(n_frames) / FPS
    after = np.searchsorted(times_s, steps).clip(1, max(len(times_s) - 1, 1))
    is_before = steps - times_s[after - 1] <= times_s[after.clip(max=len(times_s) - 1)] - steps
    return np.asarray(np.where(is_before, after - 1, after), np.int64)


def read_speech(video: Video) -> NDArray[np.float32]:
    """The sound at 16 kHz, mono, beginning with the first picture; empty without a sound track.

    Raises:
        FootageError: it cannot be decoded.
    """
    if not video.has_sound:
        return np.zeros(0, np.float32)
    parts: list[NDArray[np.float32]] = []
    start_s, rate_hz = 0.0, SOUND_RATE_HZ
    try:
        with av.open(str(video.path)) as container:
            stream = container.streams.audio[0]
            rate_hz = int(stream.rate)
            to_floats = av.AudioResampler("fltp", "mono", rate_hz)
            for frame in container.decode(stream):
                if not parts:
                    start_s = float(frame.time or 0.0)
                frame.pts = None  # its own gaps and jumps would be filled or refused
                parts += [part.to_ndarray()[0] for part in to_floats.resample(frame)]
            parts += [part.to_ndarray()[0] for part in to_floats.resample(None)]
    except (av.FFmpegError, ValueError) as error:
        raise FootageError(
            f"the sound of {video.path} cannot be decoded: {reason(error)}"
        ) from None
    samples = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    samples = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0)
    late = round((start_s - video.start_s) * rate_hz)
    samples = np.concatenate([np.zeros(late, np.float32), samples]) if late > 0 else samples[-late:]
    return np.asarray(soxr.resample(samples, rate_hz, SOUND_RATE_HZ, quality="HQ"), np.float32)


def longest_gap(times_s: NDArray[np.float64]) -> tuple[float, float]:
    """The longest time that one picture stands, and when it begins, in seconds."""
    gaps = [(after - before, before) for before, after in pairwise(times_s)]
    return max(gaps, default=(0.0, 0.0))


def _frames(video: Video) -> Iterator[av.VideoFrame]:
    try:
        with av.open(str(video.path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            yield from container.decode(stream)
    except (av.FFmpegError, ValueError) as error:
        raise FootageError(f"{video.path} is damaged: {reason(error)}") from None


def _upright(frame: av.VideoFrame, turn_deg: int) -> NDArray[np.uint8]:
    picture = frame.to_ndarray(format="rgb24")
    if turn_deg in QUARTER_TURNS:
        return np.asarray(cv2.rotate(picture, QUARTER_TURNS[turn_deg]), np.uint8)
    return np.asarray(picture, np.uint8)
