"""Sharpens the rough mask of a person against a background that is known."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]

OUTWARDS_PX, INWARDS_PX = 10, 14
"""How far from its edge the rough mask may be wrong."""

NOISES: Final = 4.0
MIN_DIFFERENCE: Final = 8.0
"""Grey levels in one channel at least; JPEG alone makes 4."""

MAX_HOLE_PX: Final = 400


@dataclass(frozen=True, slots=True)
class Background:
    """What is behind the person.

    Attributes:
        still: RGB. [H, W, 3]
        known: where it was seen. [H, W]
        noise: typical distance of a picture from it, in grey levels. [H, W]
    """

    still: NDArray[np.uint8]
    known: Bools
    noise: NDArray[np.float32]


def sharpen(share: NDArray[np.float32], picture: NDArray[np.uint8], behind: Background) -> Bools:
    """The person in an RGB picture [H, W, 3], from the share of a person in each pixel [H, W]."""
    rough = (share > 0.5).astype(np.uint8)
    doubtful = (cv2.dilate(rough, _disc(OUTWARDS_PX)) > 0) & (
        cv2.erode(rough, _disc(INWARDS_PX)) == 0
    )
    red, green, blue = cv2.split(cv2.absdiff(picture, behind.still))
    difference = np.maximum(np.maximum(red, green), blue)
    limit = np.maximum(MIN_DIFFERENCE, NOISES * behind.noise)
    differs = cv2.medianBlur((difference > limit).astype(np.uint8), 3) > 0
    person = np.where(doubtful & behind.known, differs, rough > 0).astype(np.uint8)
    opened = cv2.morphologyEx(person, cv2.MORPH_OPEN, _disc(1))
    return fill_holes(largest(opened > 0), MAX_HOLE_PX)


def largest(mask: Bools) -> Bools:
    """The largest connected part."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count < 3:
        return mask
    biggest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return np.asarray(labels == biggest)


def fill_holes(mask: Bools, max_px: int) -> Bools:
    """The same without holes of up to so many pixels."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8))
    small = np.zeros(count, bool)
    small[1:] = stats[1:, cv2.CC_STAT_AREA] <= max_px
    return np.asarray(mask | small[labels])


def _disc(radius: int) -> NDArray[np.uint8]:
    size = 2 * radius + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)
