"""Only the part of the picture that changes is traced; the rest is one plate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avatar_worker.recipes.people.camera import SIZE_PX

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Window:
    """A rectangle of the picture in pixels; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int
    feather_px: int = 12

    def paste(self, inner: Bytes, plate: Bytes) -> Bytes:
        """The plate [H, W, 3] with the window [h, w, 3] faded in from its edges."""
        height, width = self.bottom - self.top, self.right - self.left
        rows = _ramp(height, self.feather_px)
        columns = _ramp(width, self.feather_px)
        share = np.minimum(rows[:, None], columns[None, :])[..., None]
        pasted = plate.copy()
        below = plate[self.top : self.bottom, self.left : self.right].astype(np.float64)
        blended = below + share * (inner.astype(np.float64) - below)
        pasted[self.top : self.bottom, self.left : self.right] = np.rint(blended)
        return pasted


def _ramp(length: int, feather: int) -> NDArray[np.float64]:
    from_edge = np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5
    return np.clip(from_edge / feather, 0.0, 1.0)


HEAD_WINDOW = Window(left=88, top=40, right=424, bottom=436)
"""Holds head, hair and neck in every planned pose (the step `check` looks); outside of it the head
only throws a shadow that differs by a quarter of a level."""

WHOLE = Window(0, 0, SIZE_PX, SIZE_PX, feather_px=1)
