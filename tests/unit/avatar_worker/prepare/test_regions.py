"""Person, head, neck, torso, background, and the pictures made of them."""

from functools import cache

import cv2
import numpy as np
import pytest

from avatar_worker.prepare.layers import before_still, torso_layer
from avatar_worker.prepare.models.detector import FaceDetector
from avatar_worker.prepare.models.mesh import FaceMesh
from avatar_worker.prepare.models.person import PersonMask
from avatar_worker.prepare.regions.colours import learn, seeds_of, to_lab
from avatar_worker.prepare.regions.labels import BACKGROUND, FACE, HEAD, NECK, TORSO, label
from avatar_worker.prepare.regions.person import Background, fill_holes, sharpen
from avatar_worker.prepare.regions.pictures import face_picture, parsing_picture
from avatar_worker.prepare.regions.place import place_of
from avatar_worker.prepare.steps.background import fill, median_where
from tests.unit.avatar_worker.prepare.footage import mira

pytestmark = pytest.mark.unit


@cache
def labelled() -> np.ndarray:
    """Labels of the character's first picture, without knowledge of the background."""
    picture = mira(0)
    mesh = FaceMesh(FaceDetector())(picture)
    assert mesh is not None
    nothing = Background(picture, np.zeros((512, 512), bool), np.zeros((512, 512), np.float32))
    person = sharpen(PersonMask()(picture), picture, nothing)
    place = place_of(mesh, person.shape)
    colours = learn([seeds_of(to_lab(picture), person, place)])
    assert colours is not None
    return label(picture, person, place, colours)


@pytest.mark.parametrize(
    ("row", "column", "expected"),
    [
        (260, 256, FACE), (180, 256, FACE), (360, 256, FACE),  # nose, forehead, chin
        (90, 256, HEAD), (250, 140, HEAD), (250, 375, HEAD), (340, 150, HEAD),  # hair
        (392, 245, NECK), (470, 256, TORSO), (440, 120, TORSO), (440, 400, TORSO),
        (100, 60, BACKGROUND), (300, 480, BACKGROUND),
    ],
)  # fmt: skip
def test_every_part_of_the_person_has_its_label(row: int, column: int, expected: int) -> None:
    assert labelled()[row, column] == expected


def test_the_parts_hang_together() -> None:
    for which, at_least in ((FACE, 30_000), (TORSO, 30_000), (NECK, 1500)):
        mask = (labelled() == which).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        assert mask.sum() > at_least
        assert stats[1:, cv2.CC_STAT_AREA].max() > 0.97 * mask.sum()


def test_parsing_pictures_have_the_colours_that_the_trainer_looks_for() -> None:
    labels = np.array([[BACKGROUND, FACE, HEAD, NECK, TORSO]], np.uint8)
    assert parsing_picture(labels)[0].tolist() == [
        [255, 255, 255], [0, 0, 255], [0, 0, 255], [0, 255, 0], [255, 0, 0],
    ]  # fmt: skip


def test_the_face_picture_is_blue_inside_with_a_longer_chin_and_soft_edges() -> None:
    labels = np.zeros((200, 200), np.uint8)
    labels[50:120, 60:140] = FACE
    picture = face_picture(labels)
    weight = (255 - picture[:, :, 1].astype(int)) / 255  # as the renderer reads it
    assert weight[80, 100] == 1.0
    assert weight[20, 100] == 0.0
    # Columns 60 … 139: the middle half is 79 // 4 = 19 from each side, 79 … 116; nine rows more.
    assert weight[124, 100] == 1.0
    assert weight[128:131, 100].min() < 0.5
    assert weight[124, 65] == 0.0
    assert 0.3 < weight[80, 60] < 0.7


def test_the_background_is_what_stays_when_the_person_moves() -> None:
    random = np.random.default_rng(0)
    wall = random.integers(60, 200, (40, 60, 3)).astype(np.uint8)
    pictures, free = [], []
    for shift in range(0, 30, 3):
        picture, person = wall.copy(), np.zeros((40, 60), bool)
        person[10:, 10 + shift : 30 + shift] = True
        picture[person] = (200, 30, 30)
        pictures.append(picture)
        free.append(~person)
    still, noise, known = median_where(np.stack(pictures), np.stack(free))
    assert np.array_equal(still[known], wall[known])
    assert known[:10].all()
    assert known[20, 12]
    assert noise.max() == 0


def test_what_is_never_seen_goes_smoothly_from_edge_to_edge() -> None:
    still = np.zeros((64, 64, 3), np.uint8)
    still[:, :20], still[:, 44:] = 100, 140
    known = np.ones((64, 64), bool)
    known[:, 20:44] = False
    filled = fill(still, known)
    assert np.array_equal(filled[known], still[known])
    across = filled[32, :, 0].astype(int)
    assert (np.diff(across) >= 0).all()
    assert np.diff(across).max() <= 12
    assert 110 < across[32] < 130


def test_a_known_background_sharpens_the_edge_of_the_person() -> None:
    wall = np.full((120, 120, 3), 150, np.uint8)
    truth = np.zeros((120, 120), bool)
    truth[30:, 40:80] = True
    truth[20:30, 55:65] = True  # a tuft
    picture = wall.copy()
    picture[truth] = (90, 60, 40)
    rough = np.zeros((120, 120), np.float32)
    rough[26:, 36:85] = 1.0
    behind = Background(wall, np.ones((120, 120), bool), np.ones((120, 120), np.float32))
    found = sharpen(rough, picture, behind)
    assert (found != truth).sum() < 0.02 * truth.sum()


def test_small_holes_are_filled_and_large_ones_kept() -> None:
    mask = np.ones((50, 50), bool)
    mask[10:13, 10:13] = False
    mask[30:45, 30:45] = False
    filled = fill_holes(mask, 20)
    assert filled[11, 11]
    assert not filled[40, 40]


def test_the_frame_stands_before_the_still_background() -> None:
    frame, wall = np.full((4, 4, 3), 9, np.uint8), np.full((4, 4, 3), 77, np.uint8)
    background = np.zeros((4, 4), bool)
    background[:2] = True
    result = before_still(frame, wall, background)
    assert (result[:2] == 77).all()
    assert (result[2:] == 9).all()


def test_neck_and_torso_are_painted_up_behind_the_head() -> None:
    frame = np.zeros((200, 100, 3), np.uint8)
    head = np.zeros((200, 100), bool)
    neck, torso = head.copy(), head.copy()
    head[40:120, 20:80] = True
    neck[120:150, 35:65] = True
    torso[120:200, 65:80] = True
    torso[150:200] = True
    frame[head | neck], frame[torso] = (180, 120, 100), (20, 80, 90)
    layer = torso_layer(frame, head, neck, torso)
    alpha = layer[:, :, 3]
    assert set(np.unique(alpha)) == {0, 255}
    # The neck, grown to row 117, starts 4 px below its top and is painted 53 px upwards: 69 … 121.
    assert alpha[69, 50] == 255
    assert alpha[68, 50] == 0
    # Row 75 is nearly the mean of the grown neck: 33 rows of skin, 3 of the torso below it.
    assert layer[75, 50, :3] == pytest.approx((168, 117, 99), abs=2)
    # The torso's own upper edge beside the neck goes up 8 px, a little darker each.
    assert alpha[112, 72] == 255
    assert alpha[111, 72] == 0
    assert layer[112, 72, 1] == round(80 * 0.98**8)
    assert (layer[alpha == 0] == 0).all()
