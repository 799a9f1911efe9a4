"""`bc.jpg`: what is behind the person, and how sure each of its pixels is."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from avatar_worker.prepare.errors import FootageError
from avatar_worker.prepare.files import write_array, write_picture
from avatar_worker.prepare.job import Job, Report
from avatar_worker.prepare.models.person import PersonMask
from avatar_worker.prepare.pose.first import evenly

MAX_FRAMES: Final = 100
MIN_SEEN: Final = 3
"""Times that a pixel must be seen without the person."""

PERSON_SHARE: Final = 0.1
MARGIN_PX: Final = 9
"""Round the person: loose hair, and the blur between it and what is behind."""

ROWS: Final = 64


def write_background(job: Job, report: Report) -> None:
    """Median of each pixel over the frames in which the person is not there.

    What is never seen is filled in from around; it only shows where a drawn head is smaller than
    the real one.

    Raises:
        FootageError: the person fills every picture.
    """
    numbers = job.with_face()
    some = numbers[evenly(len(numbers), MAX_FRAMES)]
    person = PersonMask()
    grown = np.ones((2 * MARGIN_PX + 1,) * 2, np.uint8)
    pictures, free = [], []
    for done, number in enumerate(some):
        picture = job.read_original(int(number))
        mask = (person(picture) > PERSON_SHARE).astype(np.uint8)
        pictures.append(picture)
        free.append(cv2.dilate(mask, grown) == 0)
        report(done + 1, len(some) + 1)
    still, noise, known = median_where(np.stack(pictures), np.stack(free))
    if not known.any():
        raise FootageError("the person fills the whole picture; some background must be seen")
    write_array(job.by_products / "known.npy", known.astype(np.uint8))
    write_array(job.by_products / "noise.npy", noise)
    write_picture(job.folder / "bc.jpg", fill(still, known))
    report(len(some) + 1, len(some) + 1)


def median_where(
    pictures: NDArray[np.uint8], free: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_]]:
    """Median of each pixel over the pictures in which it is free.

    Args:
        pictures: RGB. [n, H, W, 3]
        free: where they show background. [n, H, W]

    Returns:
        The median [H, W, 3], the typical distance from it in grey levels [H, W], and where it was
        seen often enough [H, W].
    """
    n, height, width = free.shape
    still = np.zeros((height, width, 3), np.uint8)
    noise = np.zeros((height, width), np.float32)
    for top in range(0, height, ROWS):
        band = slice(top, top + ROWS)
        part = np.where(free[:, band, :, None], pictures[:, band], np.float32(np.nan))
        part = np.sort(part, axis=0)  # NaN last
        middle = (free[:, band].sum(axis=0).clip(1) - 1) // 2
        median = np.take_along_axis(part, middle[None, ..., None], axis=0)[0]
        away = np.sort(np.abs(part - median).max(axis=3), axis=0)
        noise[band] = np.nan_to_num(np.take_along_axis(away, middle[None], axis=0)[0])
        still[band] = np.nan_to_num(median).astype(np.uint8)
    return still, noise, free.sum(axis=0) >= min(MIN_SEEN, n)


def fill(still: NDArray[np.uint8], known: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Unknown pixels go smoothly from one known edge to the other. [H, W, 3]

    Halves the picture until nothing is unknown, and takes from each half what the larger one lacks.
    """
    if known.all():
        return still
    share = known.astype(np.float32)[..., None]
    filled = _filled(still.astype(np.float32) * share, share)
    return np.asarray(np.where(known[..., None], still, np.rint(filled)), np.uint8)


def _filled(colours: NDArray[np.float32], share: NDArray[np.float32]) -> NDArray[np.float32]:
    """Colours weighted by how well they are known, 0 … 1 → colours everywhere."""
    height, width = share.shape[:2]
    own = colours / np.maximum(share, 1e-6)
    if min(height, width) < 2:
        mean = colours.sum(axis=(0, 1)) / max(float(share.sum()), 1e-6)
        return np.asarray(np.where(share > 0, own, mean), np.float32)
    half = ((width + 1) // 2, (height + 1) // 2)
    small_share = np.asarray(cv2.resize(share, half, interpolation=cv2.INTER_AREA), np.float32)
    small = np.asarray(cv2.resize(colours, half, interpolation=cv2.INTER_AREA), np.float32)
    filled = _filled(small, small_share[..., None])
    below = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(share * own + (1.0 - share) * below, np.float32)
