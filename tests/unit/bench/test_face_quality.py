"""What the comparison of characters says about pictures that are known."""

import numpy as np
import pytest
from PIL import Image

from avatar_worker.render.pictures import read_rgb
from avatar_worker.train.footage import Rectangle
from tests.bench.face_quality import (
    Comparison,
    eyes_db,
    landmark_distance,
    score_film,
    table,
)
from tests.unit.avatar_worker import mini

pytestmark = pytest.mark.unit

EYES = {"left eye": Rectangle(2, 6, 2, 8), "right eye": Rectangle(2, 6, 12, 18)}


def test_eyes_are_judged_together_and_nothing_else_is():
    target = np.zeros((10, 20, 3), np.uint8)
    drawn = target.copy()
    drawn[8:] = 255
    drawn[2:6, 2:8] = 51
    # One eye of two is wrong by a fifth of the range: 10 · lg(2 · 25) dB.
    assert eyes_db(drawn, target, EYES) == pytest.approx(16.99, abs=0.01)


def test_landmarks_that_are_not_found_say_nothing():
    picture = np.zeros((4, 4, 3), np.uint8)
    assert landmark_distance(lambda _: None, picture, picture) is None


def test_characters_stand_side_by_side_and_what_is_not_known_is_a_dash():
    lines = table({"v1": {"face_db": 30.7, "opaque": 0.94}, "v2": {"face_db": 33.0}}).splitlines()
    assert lines[0].split() == ["v1", "v2"]
    assert lines[1].split() == ["face,", "dB", "30.70", "33.00"]
    assert next(line for line in lines if "opaque" in line).split()[-2:] == ["94.0%", "–"]


def test_a_truth_takes_the_place_of_the_film_for_its_frames_alone(tmp_path):
    filmed = read_rgb(mini.DATA / "gt_imgs/26.jpg")
    Image.fromarray(filmed ^ 1).save(tmp_path / "26.png")
    found = score_film(Comparison(mini.DATA, 60, tmp_path, None))
    assert found["frames"] == 1
    # Every value is one level off: 20 · lg(255) dB.
    assert found["face_db"] == pytest.approx(48.13, abs=0.01)
