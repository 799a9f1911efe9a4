import json
import shutil

import numpy as np
import pytest

from avatar_worker.render.data_folder import FootageScenes, lay_over, read_split
from avatar_worker.render.errors import DataFolderError
from avatar_worker.render.rays import Intrinsics
from avatar_worker.render.scene import Scene, SceneCache, mirror_index, track_of
from tests.unit.avatar_worker import mini

pytestmark = pytest.mark.unit


def test_the_track_runs_forth_and_back_with_doubled_ends():
    assert [mirror_index(i, 5) for i in range(15)] == [0, 1, 2, 3, 4, 4, 3, 2, 1, 0, 0, 1, 2, 3, 4]


def test_a_track_of_one_scene_stays_there():
    assert [mirror_index(i, 1) for i in range(4)] == [0, 0, 0, 0]


def tiny_scene(n_bytes: int) -> Scene:
    background = np.zeros((1, n_bytes // 3, 3), np.uint8)
    return Scene(np.eye(4, dtype=np.float32), Intrinsics(1, 1, 0, 0), np.zeros(7), background)


def test_the_cache_keeps_what_was_used_last_and_no_more_than_its_bytes():
    loaded: list[int] = []

    def load(index: int) -> Scene:
        loaded.append(index)
        return tiny_scene(300)

    cache = SceneCache(load, max_bytes=600)
    for index in (0, 1, 0, 2, 0, 1):
        cache(index)
    # 2 pushes out 1, which was used before 0; so only 1 is loaded twice.
    assert loaded == [0, 1, 2, 1]


def test_expressions_are_those_of_the_original():
    reference = mini.golden("frames_train")
    eyes = mini.footage("train").eyes[reference["pose_index"]]
    np.testing.assert_array_equal(eyes, reference["eye"])


def test_a_shorter_range_turns_earlier_as_in_the_original():
    reference = mini.golden("variants")
    footage = mini.footage("train").part(0, 12)
    poses = [mirror_index(i, len(footage.image_ids)) for i in range(40)]
    assert poses == reference["mirror_pose_index"].tolist()
    np.testing.assert_array_equal(footage.eyes[poses], reference["mirror_eye"])


def test_scenes_that_do_not_know_their_track_are_asked_one_by_one():
    footage = mini.footage("val")
    track = track_of(FootageScenes(footage, portrait=False))
    np.testing.assert_array_equal(track.poses, footage.poses)
    np.testing.assert_array_equal(track.eyes, footage.eyes)


@pytest.fixture
def copy_of_data(tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(mini.DATA, folder)
    return folder


def test_a_frame_without_target_picture_does_not_exist(copy_of_data):
    (copy_of_data / "gt_imgs" / "26.jpg").unlink()
    footage = read_split(copy_of_data, "val", "upper")
    assert footage.image_ids == (24, 25, 27, 28, 29, 30, 31)
    assert len(footage.poses) == len(footage.eyes) == 7


def test_a_portrait_without_a_mask_is_refused(copy_of_data):
    (copy_of_data / "parsing" / "26_face.png").unlink()
    footage = read_split(copy_of_data, "val", "upper")
    FootageScenes(footage, portrait=False)
    with pytest.raises(DataFolderError, match=r"26_face\.png"):
        FootageScenes(footage, portrait=True)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda d: (d / "transforms_val.json").unlink(), "transforms_val.json cannot be read"),
        (lambda d: (d / "transforms_val.json").write_text("{"), "is not JSON"),
        (lambda d: (d / "transforms_val.json").write_text("{}"), "not as expected"),
        (lambda d: (d / "bs.npy").write_bytes(b""), "bs.npy cannot be read"),
        (lambda d: np.save(d / "bs.npy", np.zeros((3, 52))), "3 rows"),
        (lambda d: np.save(d / "bs.npy", np.zeros((40, 4))), "expected"),
        (lambda d: np.save(d / "bs.npy", np.full((40, 52), np.nan)), "not finite"),
        (lambda d: shutil.rmtree(d / "gt_imgs"), "no frame that has a picture"),
    ],
)
def test_a_damaged_folder_is_refused_with_a_sentence(copy_of_data, damage, sentence):
    damage(copy_of_data)
    with pytest.raises(DataFolderError, match=sentence):
        read_split(copy_of_data, "val", "upper")


def test_a_picture_of_another_size_is_refused(copy_of_data):
    shutil.copy(copy_of_data / "bc.jpg", copy_of_data / "torso_imgs" / "24.png")
    path = copy_of_data / "transforms_val.json"
    transforms = json.loads(path.read_text())
    path.write_text(json.dumps(transforms | {"w": 64, "h": 64, "cx": 32.0, "cy": 32.0}))
    scenes = FootageScenes(read_split(copy_of_data, "val", "upper"), portrait=False)
    with pytest.raises(DataFolderError, match="128 × 128 px; expected 64 × 64"):
        scenes.scene(0)


def test_a_scene_of_another_size_has_a_scaled_camera_and_scaled_pictures():
    scenes = FootageScenes(mini.footage("val"), portrait=True, width=256, height=64)
    scene = scenes.scene(0)
    assert scene.intrinsics == Intrinsics(480.0, 120.0, 128.0, 32.0)
    assert scene.background.shape == (64, 256, 3)
    assert scene.mask is not None
    assert scene.mask.shape == (64, 256)


def test_opaque_and_clear_pixels_are_laid_over_exactly():
    top = np.array([[[10, 20, 30, 255], [10, 20, 30, 0]]], np.uint8)
    below = np.full((1, 2, 3), 77, np.uint8)
    assert lay_over(top, below).tolist() == [[[10, 20, 30], [77, 77, 77]]]


def test_openface_eye_closure_is_read_from_its_table(copy_of_data):
    rows = "\n".join(f"{i + 1}, 0.5, {i / 10:.2f}" for i in range(32))
    (copy_of_data / "au.csv").write_text(f"frame, AU01_r, AU45_r\n{rows}\n")
    footage = read_split(copy_of_data, "val", "au45")
    # Frame 24 has 2.4, limited to 2, halved; frame 0 … would have 0.
    assert footage.eyes.shape == (8, 1)
    assert footage.eyes[0, 0] == 1.0
