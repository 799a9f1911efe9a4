"""Class masks as drawn, and what the data folder makes of them.

Drawn colours: red is hair, ears and scalp, yellow the face, green the neck, blue the sweater.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Bools = NDArray[np.bool_]

JAW_DROP_PX = 30
"""How far below a chin at rest the paste reaches: the widest speaking jaw drops 27 px."""

TOUCH_PX = 3
"""Neck this near to hair or sweater keeps the original, so that their edges stay sharp."""

BLUR_PX, BLUR_SIGMA = 9, 4.0


@dataclass(frozen=True)
class ClassMask:
    """Hard classes of one frame, [H, W] each; they do not overlap."""

    face: Bools
    head: Bools
    neck: Bools
    torso: Bools

    @classmethod
    def from_picture(cls, rgb: Bytes) -> ClassMask:
        """Decodes a drawn mask [H, W, 3], a class owning a pixel it covers by half."""
        red, green, blue = (rgb[..., channel] > 127 for channel in range(3))
        face = red & green & ~blue
        # A pixel between hair and neck mixes to yellow too; it is no face unless it touches one.
        face = cv2.morphologyEx(face.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3))) > 0
        head = red & ~blue
        return cls(face=face, head=head, neck=green & ~head & ~blue, torso=blue & ~red)

    def parsing_picture(self) -> Bytes:
        """[H, W, 3] RGB colours of the parsing file: head blue, neck green, torso red, else white
        (the file format names them in BGR)."""
        picture = np.full((*self.head.shape, 3), 255, dtype=np.uint8)
        for where, colour in (
            (self.head, (0, 0, 255)),
            (self.neck, (0, 255, 0)),
            (self.torso, (255, 0, 0)),
        ):
            picture[where] = colour
        return picture


def paste_area(mask: ClassMask, drop_px: int = JAW_DROP_PX) -> Bools:
    """[H, W] the face, and the neck under it as far as a speaking jaw may reach.

    In portrait mode a speaking face is pasted on a resting frame. Only neck is added below the
    chin: hair and sweater lie before or outside the jaw and stay the original's.
    """
    dropped = np.zeros_like(mask.face)
    for shift in range(1, drop_px + 1):
        dropped[shift:] |= mask.face[:-shift]
    foreign = (mask.torso | (mask.head & ~mask.face)).astype(np.uint8)
    foreign = cv2.morphologyEx(foreign, cv2.MORPH_OPEN, np.ones((3, 3)))  # no specks on the neck
    size = 2 * TOUCH_PX + 1
    near_foreign = cv2.dilate(foreign, np.ones((size, size))) > 0
    return mask.face | (dropped & mask.neck & ~near_foreign)


def face_picture(area: Bools) -> Bytes:
    """[H, W, 3] RGB of `<id>_face.png`: white, the area blue, softened; weight = 1 - green/255."""
    picture = np.full((*area.shape, 3), 255, dtype=np.uint8)
    picture[area] = (0, 0, 255)
    return np.asarray(cv2.GaussianBlur(picture, (BLUR_PX, BLUR_PX), BLUR_SIGMA))
