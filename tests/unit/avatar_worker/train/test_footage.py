"""The pixels that a head is trained on."""

import cv2
import numpy as np
import pytest

from avatar_worker.render.data_folder import Footage
from avatar_worker.render.occupancy import GRID_SIZE
from avatar_worker.train.dataset import AABB, HULL_MARGIN_PX
from avatar_worker.train.footage import BESIDE_STRIDE, dilate, read_frames
from avatar_worker.train.occupancy import hull_of
from tests.unit.avatar_worker.mini import HAS_TRAINING_FILES, footage

pytestmark = [
    pytest.mark.unit,
    pytest.mark.skipif(
        not HAS_TRAINING_FILES, reason="what only training reads is not among the committed data"
    ),
]


def seen_corners(clip: Footage, index: int, corners: np.ndarray) -> np.ndarray:
    """Pixels of one picture, row and column, in which points of the field lie. [n, 2]"""
    pose = clip.poses[index]
    x, y, depth = ((corners - pose[:3, 3]) @ pose[:3, :3]).T
    fx, fy, cx, cy = clip.intrinsics
    pixels = np.stack((np.floor(fy * y / depth + cy), np.floor(fx * x / depth + cx)), -1)
    inside = (depth > 0) & (pixels >= 0).all(1) & (pixels < (clip.height, clip.width)).all(1)
    return pixels[inside].astype(int)


def test_every_cell_that_may_be_occupied_is_seen_by_trained_rays_in_every_frame() -> None:
    clip = footage("train")
    frames = list(read_frames(clip))
    masks = [dilate(mask, HULL_MARGIN_PX) for _, mask in frames]
    hull = hull_of(clip.poses, masks, AABB, clip.intrinsics).reshape((GRID_SIZE,) * 3)
    cells = np.argwhere(hull)[:, None, :]
    corners = (cells + np.indices((2, 2, 2)).reshape(3, 8).T).reshape(-1, 3) * 2 / GRID_SIZE - 1
    for index, (frame, _) in enumerate(frames):
        is_left_out = np.ones((clip.height, clip.width), np.uint8)
        is_left_out.reshape(-1)[frame.pixel.numpy()] = 0
        distance = cv2.distanceTransform(is_left_out, cv2.DIST_L2, 5)
        rows, columns = seen_corners(clip, index, corners).T
        assert distance[rows, columns].max() <= BESIDE_STRIDE
