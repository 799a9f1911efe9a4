"""The pixels a head is trained on: the dilated head of every frame, with its regions.

Only pixels that rays reach the hull through are kept in memory (14 bytes each; 1,500 large heads
have 1.9 GB): the rest of a picture teaches a head nothing. Regions get more than their share of
the rays, because they are what people look at.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from avatar_worker.render.data_folder import Footage, FootageScenes
from avatar_worker.render.errors import DataFolderError
from avatar_worker.render.pictures import read_rgb

REFERENCE_WIDTH: Final = 512
"""Distances below are for pictures of this width."""

DILATION_PX: Final = 5
"""Around the head: loose hair, and what must become background."""

HULL_REACH_PX: Final = 14
"""As far beside the head as cells of the hull are seen (measured: 13.6 px at most). Where no ray
is ever trained, what they hold stays in the air."""

BESIDE_STRIDE: Final = 2
"""Of rows and columns, beyond the dilated head: there a quarter of the pixels says it all."""

CORE_PX: Final = 6
"""Further inside the head than this, nothing behind it may show."""

HEAD_RGB: Final = (0, 0, 255)
"""The head in parsing pictures."""

N_LANDMARKS: Final = 68
REGIONS: Final = ("face", "mouth", "eyes")


class Rectangle(NamedTuple):
    """Rows and columns from … to, the last excluded."""

    top: int
    bottom: int
    left: int
    right: int


@dataclass(frozen=True, slots=True)
class FramePixels:
    """What one frame teaches; n pixels, in the order of their numbers.

    Attributes:
        pixel: row · W + column. int32 [n]
        target: the frame over the still background. [n, 3]
        background: what is behind the head. [n, 3]
        is_core: nothing behind the head may show here. [n]
        is_lower_face: between nose tip and chin. [n]
        lips: square around the lips, where it lies in the picture.
        regions: positions in the arrays above, of the pixels of each of `REGIONS`.
    """

    pixel: Int[Tensor, "n"]
    target: UInt8[Tensor, "n 3"]
    background: UInt8[Tensor, "n 3"]
    is_core: Bool[Tensor, "n"]
    is_lower_face: Bool[Tensor, "n"]
    lips: Rectangle
    regions: dict[str, Int[Tensor, "m"]]


def read_frames(footage: Footage) -> Iterator[tuple[FramePixels, Bool[np.ndarray, "H W"]]]:
    """Every frame of a split with its dilated head, one after the other.

    Raises:
        DataFolderError: a picture or landmark file is absent or does not fit.
    """
    scenes = FootageScenes(footage, portrait=False, cache_bytes=0)
    for index, image_id in enumerate(footage.image_ids):
        head = head_mask(footage, image_id)
        target = read_rgb(footage.folder / f"gt_imgs/{image_id}.jpg")
        if target.shape[:2] != head.shape:
            raise DataFolderError(
                f"{footage.folder}: gt_imgs/{image_id}.jpg is {target.shape[1]} × "
                f"{target.shape[0]} px; expected {footage.width} × {footage.height}"
            )
        landmarks = read_landmarks(footage.folder / f"ori_imgs/{image_id}.lms")
        background = scenes.scene(index).background
        near = dilate(head, DILATION_PX)
        yield _frame(head, near, target, background, landmarks), near


def _frame(
    head: Bool[np.ndarray, "H W"],
    near: Bool[np.ndarray, "H W"],
    target: UInt8[np.ndarray, "H W 3"],
    background: UInt8[np.ndarray, "H W 3"],
    landmarks: Float[np.ndarray, "68 2"],
) -> FramePixels:
    height, width = head.shape
    is_kept = near.copy()
    sparse = np.s_[::BESIDE_STRIDE, ::BESIDE_STRIDE]
    is_kept[sparse] |= dilate(head, HULL_REACH_PX)[sparse]
    pixel = np.flatnonzero(is_kept)
    row, column = np.divmod(pixel, width)

    def inside(r: Rectangle) -> Bool[np.ndarray, "n"]:
        return (row >= r.top) & (row < r.bottom) & (column >= r.left) & (column < r.right)

    rectangles = face_rectangles(landmarks, width, height)
    chosen = {
        "face": inside(rectangles["face"]),
        "mouth": inside(rectangles["mouth"]),
        "eyes": inside(rectangles["left eye"]) | inside(rectangles["right eye"]),
    }
    everything = np.arange(len(pixel), dtype=np.int32)
    regions = {
        # A region that is turned away from the camera leaves its rays to the whole head.
        name: torch.from_numpy(everything[is_in] if is_in.any() else everything)
        for name, is_in in chosen.items()
    }
    return FramePixels(
        pixel=torch.from_numpy(pixel.astype(np.int32)),
        target=torch.from_numpy(target.reshape(-1, 3)[pixel]),
        background=torch.from_numpy(background.reshape(-1, 3)[pixel]),
        is_core=torch.from_numpy(_erode(head, CORE_PX).reshape(-1)[pixel]),
        is_lower_face=torch.from_numpy(inside(rectangles["lower face"])),
        lips=lips_square(landmarks, width, height),
        regions=regions,
    )


def face_rectangles(
    landmarks: Float[np.ndarray, "68 2"], width: int, height: int
) -> dict[str, Rectangle]:
    """Parts of a face by its 68 landmarks (iBUG order), with a margin around mouth and eyes."""
    margin = max(2, round(16 * width / REFERENCE_WIDTH))

    def around(points: Float[np.ndarray, "n 2"], margin: int) -> Rectangle:
        left, top = points.min(axis=0).astype(int) - margin
        right, bottom = points.max(axis=0).astype(int) + 1 + margin
        return Rectangle(max(0, top), min(height, bottom), max(0, left), min(width, right))

    face = around(landmarks, 0)
    nose_tip = int(landmarks[30, 1])
    return {
        "face": face,
        "lower face": face._replace(top=nose_tip),
        "mouth": around(landmarks[48:60], margin),
        "left eye": around(landmarks[36:42], margin),
        "right eye": around(landmarks[42:48], margin),
    }


def lips_square(landmarks: Float[np.ndarray, "68 2"], width: int, height: int) -> Rectangle:
    """The square around the outer lips that the original's second stage looks at."""
    left, top = landmarks[48:60].min(axis=0).astype(int).tolist()
    right, bottom = landmarks[48:60].max(axis=0).astype(int).tolist()
    row, column = (top + bottom) // 2, (left + right) // 2
    half = max(bottom - top, right - left) // 2
    return Rectangle(
        max(0, row - half), min(height, row + half), max(0, column - half),
        min(width, column + half),
    )  # fmt: skip


def head_mask(footage: Footage, image_id: int) -> Bool[np.ndarray, "H W"]:
    """Pixels of the head according to the parsing picture.

    Raises:
        DataFolderError: it is absent, of another size, or shows no head.
    """
    path = footage.folder / f"parsing/{image_id}.png"
    if not path.is_file():
        raise DataFolderError(f"{path} is absent; training needs to know where the head is")
    parsing = read_rgb(path)
    if parsing.shape[:2] != (footage.height, footage.width):
        raise DataFolderError(f"{path} has shape {parsing.shape[:2]}; the frames are another size")
    head = is_head(parsing)
    if not head.any():
        raise DataFolderError(f"{path} shows no head")
    return head


def is_head(parsing: UInt8[np.ndarray, "H W 3"]) -> Bool[np.ndarray, "H W"]:
    """Pixels of a parsing picture that have the head's colour."""
    head: Bool[np.ndarray, "H W"] = (parsing == np.array(HEAD_RGB, np.uint8)).all(axis=2)
    return head


def read_landmarks(path: Path) -> Float[np.ndarray, "68 2"]:
    """Landmarks of a frame, x and y in pixels.

    Raises:
        DataFolderError: the file is absent or does not hold 68 points.
    """
    try:
        points = np.loadtxt(path, dtype=np.float64, ndmin=2)
    except (OSError, ValueError) as error:
        raise DataFolderError(f"{path} cannot be read as landmarks: {error}") from None
    if points.shape != (N_LANDMARKS, 2) or not np.isfinite(points).all():
        raise DataFolderError(f"{path} has shape {points.shape}; expected ({N_LANDMARKS}, 2)")
    return points


def dilate(mask: Bool[np.ndarray, "H W"], radius_px: float) -> Bool[np.ndarray, "H W"]:
    """Grow a mask by a distance at `REFERENCE_WIDTH`."""
    return cv2.dilate(mask.astype(np.uint8), _disc(radius_px, mask.shape[1])).astype(bool)


def _erode(mask: Bool[np.ndarray, "H W"], radius_px: float) -> Bool[np.ndarray, "H W"]:
    # Beyond the picture the head goes on.
    return cv2.erode(mask.astype(np.uint8), _disc(radius_px, mask.shape[1])).astype(bool)


def _disc(radius_px: float, width: int) -> UInt8[np.ndarray, "n n"]:
    radius = max(1, round(radius_px * width / REFERENCE_WIDTH))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc: UInt8[np.ndarray, "n n"] = (x**2 + y**2 <= radius**2 + 0.5).astype(np.uint8)
    return disc
