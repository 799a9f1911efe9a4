"""Paints the neck upwards behind the jaw, so that nothing empty shows when the head moves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from avatar_worker.recipes.people.masks import ClassMask

UPWARDS_PX = 53
START_BELOW_PX = 4


def extend_neck(rgba: NDArray[np.uint8], mask: ClassMask) -> NDArray[np.uint8]:
    """Torso picture [H, W, 4] → the same with the neck extended under the head.

    In each column where the head sits on the neck, the colour a few pixels below the seam fades
    upwards into the neck's mean colour.
    """
    picture = rgba.astype(np.float64)
    mean = picture[mask.neck][:, :3].mean(axis=0)
    fade = np.linspace(1.0, 0.0, UPWARDS_PX)[:, None]
    for column in range(rgba.shape[1]):
        rows = np.flatnonzero(mask.neck[:, column])
        if len(rows) < 3 or rows[0] == 0 or not mask.head[rows[0] - 1, column]:
            continue
        start = rows[0] + min(len(rows) - 1, START_BELOW_PX)
        top = max(0, start - UPWARDS_PX + 1)
        painted = picture[start, column, :3] * fade + mean * (1 - fade)
        picture[top : start + 1, column, :3] = painted[: start + 1 - top][::-1]
        picture[top : start + 1, column, 3] = 255
    picture[picture[..., 3] == 0] = 0
    return np.rint(picture).astype(np.uint8)


def own_neck(
    plate: NDArray[np.uint8], picture: NDArray[np.uint8], mask: ClassMask
) -> NDArray[np.uint8]:
    """The torso plate [H, W, 4] with the neck as one frame [H, W, 3] shows it, extended upwards.

    The neck's light follows the head; against the plate's it would end in a line.
    """
    rgba = plate.copy()
    rgba[mask.neck] = 255
    rgba[mask.neck, :3] = picture[mask.neck]
    return extend_neck(rgba, mask)
