"""Whole pictures against the original's."""

import numpy as np
import pytest

from avatar_worker.render.errors import FrameRequestError
from avatar_worker.render.pictures import read_rgb
from avatar_worker.render.renderer import PORTRAIT_CAP, FrameRequest
from avatar_worker.render.scene import mirror_index
from avatar_worker.render.twin import TorchPainter
from tests.unit.avatar_worker import mini

pytestmark = pytest.mark.unit


def test_val_frames_of_the_head_are_those_of_the_original():
    reference, renderer = mini.golden("frames_head"), mini.renderer("val")
    for frame, pose in zip(reference["frame_index"], reference["pose_index"], strict=True):
        drawn = renderer.render(FrameRequest(reference["enc_a"][frame], int(pose)))
        mini.assert_reference_quality(drawn, reference["image_uint8"][frame])


def test_unquantised_pictures_are_those_of_the_original():
    reference, scenes = mini.golden("frames_head"), mini.renderer("val")._scenes
    assert scenes is not None
    for frame in range(min(2, len(reference["image"]))):
        scene = scenes.scene(frame)
        image = mini.painter().image(scene, reference["enc_a"][frame], scene.eye).numpy()
        np.testing.assert_allclose(image.reshape(128, 128, 3), reference["image"][frame], atol=5e-5)


def test_pictures_are_as_far_from_the_footage_as_the_originals():
    reference = mini.golden("frames_head")
    for frame in range(min(2, len(reference["image"]))):
        target = read_rgb(mini.DATA / "gt_imgs" / f"{24 + frame}.jpg") / 255.0
        error = np.mean((reference["image"][frame] - target) ** 2)
        assert -10 * np.log10(error) == pytest.approx(reference["psnr"][frame], abs=1e-3)


def test_portraits_are_those_of_the_original():
    reference, renderer = mini.golden("frames_portrait"), mini.renderer("val", portrait=True)
    enc_a = mini.golden("frames_head")["enc_a"]
    for frame, pose in zip(reference["frame_index"], reference["pose_index"], strict=True):
        drawn = renderer.render(FrameRequest(enc_a[frame], int(pose)))
        mini.assert_reference_quality(drawn, reference["image_uint8"][frame])


def test_portraits_with_a_fixed_cap_stay_close():
    reference = mini.golden("frames_portrait")
    renderer = mini.renderer("val", portrait=True, cap=PORTRAIT_CAP)
    enc_a = mini.golden("frames_head")["enc_a"]
    for frame in (0, 7):  # 7 is fog: the cap matters most there
        drawn = renderer.render(FrameRequest(enc_a[frame], frame))
        assert mini.psnr(drawn, reference["image_uint8"][frame]) >= 48.0


def test_train_frames_are_those_of_the_original():
    reference, renderer = mini.golden("frames_train"), mini.renderer("train")
    rows = range(0, len(reference["frame_index"]), max(1, len(reference["frame_index"]) // 4))
    for row in rows:
        request = FrameRequest(reference["enc_a"][row], int(reference["pose_index"][row]))
        mini.assert_reference_quality(renderer.render(request), reference["image_uint8"][row])


def test_frames_driven_by_another_voice_are_those_of_the_original():
    reference, renderer = mini.golden("cross"), mini.renderer("val")
    for row, frame in enumerate(reference["frame_index"].tolist()):
        if frame not in (0, 8, 13, 39):
            continue
        pose = mirror_index(frame, 8)
        assert pose == reference["pose_index"][row]
        drawn = renderer.render(FrameRequest(reference["enc_a"][row], pose))
        mini.assert_reference_quality(drawn, reference["image_uint8"][row])


def test_portraits_driven_by_another_voice_are_those_of_the_original():
    reference, renderer = mini.golden("cross"), mini.renderer("val", portrait=True)
    vectors = dict(zip(reference["frame_index"].tolist(), reference["enc_a"], strict=True))
    drawable = [(row, int(frame)) for row, frame in enumerate(reference["portrait_index"])
                if int(frame) in vectors]  # fmt: skip
    assert drawable
    for row, frame in drawable[:3]:
        drawn = renderer.render(FrameRequest(vectors[frame], mirror_index(frame, 8)))
        mini.assert_reference_quality(drawn, reference["portrait_uint8"][row])


def test_a_white_background_can_stand_in_for_the_stored_one():
    reference = mini.golden("variants")["bg_white_uint8"]
    renderer = mini.renderer("val", part=(0, 4), background="white")
    drawn = renderer.render(FrameRequest(mini.golden("frames_head")["enc_a"][0]))
    mini.assert_reference_quality(drawn, reference[0])


def test_the_background_of_a_frame_is_its_torso_over_the_still():
    scenes = mini.renderer("val")._scenes
    assert scenes is not None
    expected = mini.golden("frames_head")["background_frame0"]
    np.testing.assert_allclose(scenes.scene(0).background / 255.0, expected, atol=1e-6)


def test_the_same_request_gives_the_same_bytes():
    renderer = mini.renderer("val", portrait=True, cap=PORTRAIT_CAP)
    request = FrameRequest(mini.golden("frames_head")["enc_a"][2], 2)
    assert np.array_equal(renderer.render(request), renderer.render(request))


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (FrameRequest(np.zeros(31, np.float32)), "enc_a has shape"),
        (FrameRequest(np.full(32, np.nan, np.float32)), "32 finite numbers"),
        (FrameRequest(np.zeros(32, np.float32), pose_index=8), "pose 8 does not exist"),
        (FrameRequest(np.zeros(32, np.float32), eye=np.zeros(3, np.float32)), "expected 7"),
    ],
)
def test_impossible_requests_are_refused(request_, sentence):
    with pytest.raises(FrameRequestError, match=sentence):
        mini.renderer("val").render(request_)


def test_a_part_of_the_picture_cannot_follow_the_rule_of_the_whole():
    scenes = mini.renderer("val")._scenes
    assert scenes is not None
    scene = scenes.scene(0)
    painter: TorchPainter = mini.painter()
    with pytest.raises(ValueError, match="cap"):
        painter.sums(scene, np.zeros(32, np.float32), scene.eye, pixels=np.arange(4))
