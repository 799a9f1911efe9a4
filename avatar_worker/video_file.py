"""Writes pictures one by one to a video (with sound) or `.npz`; nothing but the last is held.

Pictures with transparency go to `.webm` (VP9 with alpha, as browsers show it) or `.mov` (ProRes
4444, as editors take it), their colours not multiplied by opacity.

The file appears under its name only when it is complete.
"""

import secrets
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Final, Self, cast

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from avatar_worker.sentence import reason
from avatar_worker.whole_files import PART

FPS: Final = 25
SOUND_RATE_HZ: Final = 48_000
VIDEO_QUALITY: Final = "10"
"""Constant rate factor, the one that the original's video writer ends up with."""


class PictureWriter(ABC):
    """Takes pictures in order; a context manager.

    Raises:
        OSError: no room, no right, a name that cannot be; it names the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Each run has its own: two may write to one name.
        self._partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")

    def add(self, frame_index: int, picture: NDArray[np.uint8]) -> None:
        """Append one RGB picture."""
        with self._named():
            self._add(frame_index, np.ascontiguousarray(picture))

    @abstractmethod
    def _open(self) -> None:
        """Begin the file."""

    @abstractmethod
    def _add(self, frame_index: int, picture: NDArray[np.uint8]) -> None:
        """Append one RGB picture."""

    @abstractmethod
    def _finish(self) -> None:
        """Write what is still missing and close the file."""

    @abstractmethod
    def _abandon(self) -> None:
        """Close the file as it is."""

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Errors name the file that was asked for, not the hidden one beside it."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, reason(error), str(self._path)) from None

    def __enter__(self) -> Self:
        with self._named():
            # Now: PyAV would only find out at the first picture.
            self._partial.touch(exist_ok=False)
            try:
                self._open()
            except BaseException:
                self._partial.unlink()
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        is_complete = False
        try:
            if kind is None:
                with self._named():
                    self._finish()
                    self._partial.replace(self._path)
                is_complete = True
        finally:
            if not is_complete:
                with suppress(OSError, av.FFmpegError):
                    self._abandon()
                self._partial.unlink(missing_ok=True)


class NpzWriter(PictureWriter):
    """`frames` uint8 [n, H, W, 3], if transparent [n, H, W, 4], and `frame_index` int32 [n]."""

    def __init__(
        self, path: Path, n_frames: int, size: tuple[int, int], *, transparent: bool = False
    ) -> None:
        super().__init__(path)
        width, height = size
        self._indices: list[int] = []
        self._shape = (n_frames, height, width, 4 if transparent else 3)

    def _open(self) -> None:
        self._file = self._partial.open("wb")
        self._archive = zipfile.ZipFile(self._file, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        self._frames = self._archive.open("frames.npy", "w", force_zip64=True)
        header = {"descr": "|u1", "fortran_order": False, "shape": self._shape}
        np.lib.format.write_array_header_1_0(self._frames, header)

    def _add(self, frame_index: int, picture: NDArray[np.uint8]) -> None:
        self._indices.append(frame_index)
        self._frames.write(picture.tobytes())

    def _finish(self) -> None:
        if len(self._indices) != self._shape[0]:
            raise ValueError(f"{len(self._indices)} pictures came; {self._shape[0]} were announced")
        self._frames.close()
        with self._archive.open("frame_index.npy", "w") as file:
            np.lib.format.write_array(file, np.array(self._indices, np.int32))
        self._archive.close()
        self._file.close()

    def _abandon(self) -> None:
        """The file first: what the archive's parts still want to write has no place to go."""
        with suppress(OSError):
            self._file.close()
        for part in (self._frames, self._archive):
            with suppress(ValueError):
                part.close()


@dataclass(frozen=True, slots=True)
class Coding:
    """How a kind of video file is coded; PyAV's names."""

    container: str
    video: str
    pixels: str
    video_options: dict[str, str]
    sound: str
    transparent: bool = False


CODINGS: Final = {
    ".mp4": Coding("mp4", "libx264", "yuv420p", {"crf": VIDEO_QUALITY, "preset": "medium"}, "aac"),
    ".webm": Coding(
        "webm",
        "libvpx-vp9",
        "yuva420p",
        {"crf": "10", "b": "0", "deadline": "good", "cpu-used": "4"},
        "libopus",
        transparent=True,
    ),
    ".mov": Coding(
        "mov", "prores_ks", "yuva444p10le", {"profile": "4444"}, "pcm_s16le", transparent=True
    ),
}
"""By suffix."""


class VideoWriter(PictureWriter):
    """25 frames a second, coded as the path's suffix says (`CODINGS`).

    Args:
        path: of the file.
        size: width and height in pixels.
        sound: mono samples that begin with the first picture, and their rate.
    """

    def __init__(
        self, path: Path, size: tuple[int, int], sound: tuple[NDArray[np.float32], int] | None
    ) -> None:
        super().__init__(path)
        self._size, self._heard = size, sound

    def _open(self) -> None:
        coding = CODINGS[self._path.suffix]
        self._container = av.open(str(self._partial), "w", format=coding.container)
        self._video = cast("av.VideoStream", self._container.add_stream(coding.video, rate=FPS))
        self._video.width, self._video.height = self._size
        is_even = self._size[0] % 2 == 0 and self._size[1] % 2 == 0
        pixels = coding.pixels if is_even else coding.pixels.replace("420p", "444p")
        self._video.pix_fmt = pixels  # 4:2:0 needs even sides
        self._video.options = dict(coding.video_options)
        self._pixels = "rgba" if coding.transparent else "rgb24"
        self._n_frames = 0
        self._samples = np.zeros(0, np.float32)
        self._sound: av.AudioStream | None = None
        if self._heard is not None:
            samples, rate_hz = self._heard
            self._samples = np.asarray(soxr.resample(samples, rate_hz, SOUND_RATE_HZ), np.float32)
            stream = self._container.add_stream(coding.sound, rate=SOUND_RATE_HZ, layout="mono")
            self._sound = cast("av.AudioStream", stream)
            self._sound.bit_rate = 128_000

    def _add(self, frame_index: int, picture: NDArray[np.uint8]) -> None:
        frame = av.VideoFrame.from_ndarray(picture, format=self._pixels)
        frame.pts, frame.time_base = self._n_frames, Fraction(1, FPS)
        self._container.mux(self._video.encode(frame))
        self._n_frames += 1

    def _finish(self) -> None:
        self._container.mux(self._video.encode(None))
        if self._sound is not None:
            self._encode_sound(self._sound)
        self._container.close()

    def _encode_sound(self, stream: av.AudioStream) -> None:
        """The sound, as long as the pictures."""
        n_samples = self._n_frames * SOUND_RATE_HZ // FPS
        samples = np.zeros(n_samples, np.float32)
        samples[: len(self._samples)] = self._samples[:n_samples]
        for start in range(0, n_samples, 1024):
            part = samples[None, start : start + 1024].clip(-1.0, 1.0)
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = SOUND_RATE_HZ, start
            frame.time_base = Fraction(1, SOUND_RATE_HZ)
            self._container.mux(stream.encode(frame))
        self._container.mux(stream.encode(None))

    def _abandon(self) -> None:
        self._container.close()
