"""Which pixels belong to a person, roughly."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from avatar_worker.prepare.models.network import Network

INPUT_PX: Final = 256


class PersonMask:
    """Tells people from what is behind them."""

    def __init__(self) -> None:
        self._network = Network("person")

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Share of a person in each pixel of an RGB picture, 0 … 1. [H, W]"""
        height, width = picture.shape[:2]
        small = cv2.resize(picture, (INPUT_PX, INPUT_PX), interpolation=cv2.INTER_AREA)
        share = self._network(small.astype(np.float32) / 255.0)[0][..., 0]
        large = cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(large.clip(0.0, 1.0), np.float32)
