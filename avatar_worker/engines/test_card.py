"""The test card: a built-in character that measures the path instead of charming anybody.

rows 0 … H/8      16 equal cells, most significant first, white = 1: the picture's number since
                  the session's first, modulo 65,536
rows H/8 … H/4    white exactly when the root mean square of the 40 ms of sound that belong to
                  this picture is at least 0.01 of full scale
below             a mouth that opens with that level
"""

from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np

from avatar_contracts.audio import FRAME_SAMPLES
from avatar_worker.engines.base import EngineError, Face, FrameRequest, Rgb, Samples

LOUD_RMS: Final = 0.01
NUMBER_BITS: Final = 16
FULL_MOUTH_RMS: Final = 0.25
"""The level at which the drawn mouth is wide open; loud speech has about this."""
_SKIN: Final = (222, 178, 150)
_LIPS: Final = (150, 60, 70)
_INSIDE: Final = (60, 20, 30)
_BACKGROUND: Final = (40, 70, 90)


class CardHearing:
    """The level of each whole 40 ms of a segment."""

    def __init__(self) -> None:
        self.levels: list[float] = []
        self._rest = np.zeros(0, np.float32)

    @property
    def frames(self) -> int:
        return len(self.levels)

    def push(self, samples: Samples) -> None:
        heard = np.concatenate([self._rest, samples])
        whole = len(heard) // FRAME_SAMPLES * FRAME_SAMPLES
        for frame in heard[:whole].reshape(-1, FRAME_SAMPLES):
            self.levels.append(float(np.sqrt(np.mean(np.square(frame, dtype=np.float64)))))
        self._rest = heard[whole:]

    def finish(self) -> None:
        if self._rest.size:
            self.push(np.zeros(FRAME_SAMPLES - self._rest.size, np.float32))


class CardFace:
    """Nothing but what it hears."""

    def listen(self) -> CardHearing:
        return CardHearing()


class TestCard:
    """The engine `test-card`, in any even size of at least 32 pixels."""

    __test__ = False  # the name starts with "Test", pytest need not look inside
    name = "test-card"
    max_batch = 1

    def __init__(self, width: int, height: int) -> None:
        if min(width, height) < 2 * NUMBER_BITS:
            raise EngineError(f"a test card needs at least 32 × 32 pixels, not {width} × {height}")
        self._blank = self._paint_face(width, height)

    @property
    def size_bytes(self) -> int:
        return self._blank.nbytes

    def open(self, options: dict[str, Any]) -> CardFace:
        return CardFace()

    def draw(self, wanted: Sequence[tuple[Face, FrameRequest]]) -> list[Rgb]:
        return [self._picture(request) for _, request in wanted]

    def close(self) -> None:
        return

    def _picture(self, request: FrameRequest) -> Rgb:
        level = 0.0
        if isinstance(request.hearing, CardHearing):
            level = request.hearing.levels[request.frame]
        picture = self._blank.copy()
        height, width = picture.shape[:2]
        for cell in range(NUMBER_BITS):
            if request.slot >> (NUMBER_BITS - 1 - cell) & 1:
                left, right = (edge * width // NUMBER_BITS for edge in (cell, cell + 1))
                picture[: height // 8, left:right] = 255
        if request.is_sounding and level >= LOUD_RMS:
            picture[height // 8 : height // 4] = 255
        self._paint_mouth(picture, request.weight * level)
        return picture

    def _paint_face(self, width: int, height: int) -> Rgb:
        picture = np.full((height, width, 3), _BACKGROUND, np.uint8)
        centre = (width // 2, height * 5 // 8)
        cv2.ellipse(picture, centre, (width // 4, height * 11 // 32), 0, 0, 360, _SKIN, -1)
        for side in (-1, 1):
            eye = (width // 2 + side * width // 10, height // 2)
            cv2.circle(picture, eye, max(2, width // 40), _INSIDE, -1)
        picture[: height // 4] = 0
        return picture

    def _paint_mouth(self, picture: Rgb, level: float) -> None:
        height, width = picture.shape[:2]
        opening = min(1.0, level / FULL_MOUTH_RMS)
        centre = (width // 2, height * 3 // 4)
        outer = (width // 10, max(2, round(height * (0.015 + 0.06 * opening))))
        cv2.ellipse(picture, centre, outer, 0, 0, 360, _LIPS, -1)
        if inner := round(height * 0.055 * opening):
            cv2.ellipse(picture, centre, (width // 13, inner), 0, 0, 360, _INSIDE, -1)
