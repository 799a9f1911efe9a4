"""Class masks, the soft paste mask and the neck behind the jaw."""

from __future__ import annotations

import numpy as np
import pytest

from avatar_worker.recipes.people.masks import JAW_DROP_PX, ClassMask, face_picture, paste_area
from avatar_worker.recipes.people.torso import UPWARDS_PX, extend_neck
from tests.unit.recipes.people_cast import class_picture

pytestmark = pytest.mark.unit

MIDDLE = 256


@pytest.fixture
def mask() -> ClassMask:
    return ClassMask.from_picture(class_picture())


def test_classes_do_not_overlap_and_the_face_is_head(mask: ClassMask) -> None:
    assert (mask.head.astype(int) + mask.neck + mask.torso).max() == 1
    assert (mask.head | ~mask.face).all()
    assert mask.face[240, MIDDLE]
    assert mask.head[80, MIDDLE]
    assert not mask.face[80, MIDDLE]
    assert mask.neck[400, MIDDLE]
    assert mask.torso[500, MIDDLE]


def test_a_mixed_edge_of_hair_and_neck_is_no_face() -> None:
    picture = class_picture()
    picture[410, 200:300] = (128, 128, 0)

    assert not ClassMask.from_picture(picture).face[410].any()


def test_the_paste_reaches_below_the_chin_as_far_as_a_jaw_drops(mask: ClassMask) -> None:
    chin = np.flatnonzero(mask.face[:, MIDDLE]).max()

    lowest = np.flatnonzero(paste_area(mask)[:, MIDDLE]).max()

    assert 27 <= JAW_DROP_PX <= 30
    assert lowest == chin + JAW_DROP_PX


def test_the_paste_takes_neither_hair_nor_sweater(mask: ClassMask) -> None:
    area = paste_area(mask, drop_px=100)

    assert not (area & mask.torso).any()
    assert not (area & mask.head & ~mask.face).any()


def test_the_soft_mask_is_full_inside_and_nothing_outside(mask: ClassMask) -> None:
    area = paste_area(mask)

    weight = (255 - face_picture(area)[..., 1].astype(float)) / 255

    assert weight[240, MIDDLE] == 1
    assert weight[40, 40] == 0
    row = weight[240]
    soft = (row > 0) & (row < 1)
    assert 12 <= soft.sum() <= 18, "nine pixels of blur on either side"
    edge = np.flatnonzero(area[240])[0]
    assert 0.4 < row[edge] < 0.7


def test_parsing_colours_are_those_of_the_format(mask: ClassMask) -> None:
    picture = mask.parsing_picture()

    assert tuple(picture[240, MIDDLE]) == (0, 0, 255)
    assert tuple(picture[400, MIDDLE]) == (0, 255, 0)
    assert tuple(picture[500, MIDDLE]) == (255, 0, 0)
    assert tuple(picture[5, 5]) == (255, 255, 255)


def test_the_neck_is_painted_up_behind_the_jaw_and_edges_stay_soft(mask: ClassMask) -> None:
    rgba = np.zeros((512, 512, 4), dtype=np.uint8)
    rgba[mask.neck] = (150, 110, 90, 255)
    rgba[mask.torso] = (40, 90, 100, 255)
    rgba[300, 200] = (10, 10, 10, 100)
    top = np.flatnonzero(mask.neck[:, MIDDLE]).min()

    torso = extend_neck(rgba, mask)

    assert set(np.unique(torso[..., 3])) == {0, 100, 255}
    painted = np.flatnonzero(torso[:top, MIDDLE, 3])
    assert painted.min() == top + 4 - UPWARDS_PX + 1
    np.testing.assert_allclose(torso[painted, MIDDLE, :3], [(150, 110, 90)] * len(painted), atol=1)
    assert (torso[300, 200] == (10, 10, 10, 100)).all()
    assert (torso[500, MIDDLE] == (40, 90, 100, 255)).all()
