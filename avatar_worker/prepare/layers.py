"""What is behind a head: the frame before a clean background, and neck and torso by themselves."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Bytes = NDArray[np.uint8]

TORSO_UP_PX, TORSO_FADE = 8, 0.98
NECK_GROWTH_PX: Final = 3
NECK_START_PX, NECK_UP_PX = 4, 53
BLUR_PX, BLUR_SIGMA = 5, 4.0
"""How far neck and torso are painted up behind the head, as the original does: what a drawn head
does not cover must not be a hole."""


def before_still(picture: Bytes, behind: Bytes, background: Bools) -> Bytes:
    """`gt_imgs`: the frame with its background replaced by the still one. RGB [H, W, 3]"""
    return np.asarray(np.where(background[..., None], behind, picture), np.uint8)


def torso_layer(frame: Bytes, head: Bools, neck: Bools, torso: Bools) -> Bytes:
    """`torso_imgs`: neck and torso, painted upwards where the head sits on them. RGBA [H, W, 4]

    Args:
        frame: before the still background, RGB. [H, W, 3]
        head: pixels of the head. [H, W]
        neck: likewise.
        torso: likewise.
    """
    picture = frame.astype(np.float64)
    painted = np.zeros(head.shape, bool)
    _torso_up(picture, painted, head, torso)
    cross = np.zeros((3, 3), np.uint8)
    cross[:, 1] = 1
    grown = cv2.dilate(neck.astype(np.uint8), cross, iterations=NECK_GROWTH_PX) > 0
    neck_painted = _neck_up(picture, frame, head, grown)
    soft = cv2.GaussianBlur(picture, (BLUR_PX, BLUR_PX), BLUR_SIGMA)
    picture[neck_painted] = soft[neck_painted]
    opaque = grown | torso | painted | neck_painted
    layer = np.zeros((*head.shape, 4), np.uint8)
    layer[opaque, :3] = np.rint(picture[opaque]).clip(0, 255)
    layer[opaque, 3] = 255
    return layer


def _torso_up(picture: NDArray[np.float64], painted: Bools, head: Bools, torso: Bools) -> None:
    """Eight more rows where the torso's upper edge touches the head, a little darker each."""
    for column in np.flatnonzero(torso.any(axis=0)):
        top = int(torso[:, column].argmax())
        if top == 0 or not head[top - 1, column]:
            continue
        for up in range(TORSO_UP_PX + 1):
            if top - up < 0:
                break
            picture[top - up, column] = picture[top, column] * TORSO_FADE**up
            painted[top - up, column] = True


def _neck_up(picture: NDArray[np.float64], frame: Bytes, head: Bools, neck: Bools) -> Bools:
    """The neck fades upwards into its mean colour where the head sits on it."""
    painted = np.zeros(neck.shape, bool)
    if not neck.any():
        return painted
    mean = frame[neck].astype(np.float64).mean(axis=0)
    own = np.linspace(1.0, 0.0, NECK_UP_PX)[:, None]
    for column in np.flatnonzero(neck.any(axis=0)):
        rows = np.flatnonzero(neck[:, column])
        if rows[0] == 0 or not head[rows[0] - 1, column]:
            continue
        start = int(rows[0]) + min(len(rows) - 1, NECK_START_PX)
        top = max(0, start - NECK_UP_PX + 1)
        fading = frame[start, column] * own + mean * (1.0 - own)  # from the start upwards
        picture[top : start + 1, column] = fading[: start + 1 - top][::-1]
        painted[top : start + 1, column] = True
    return painted
