"""What held-out pictures say: errors, sharpness, landmarks, and whether the mouth is in time."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from avatar_worker.audio.sound import read_sound
from avatar_worker.render.data_folder import read_split
from avatar_worker.train.dataset import audio_windows
from avatar_worker.train.footage import Rectangle
from avatar_worker.train.hearing import open_encoder
from avatar_worker.train.scores import HeldOut, Picture, lmd_px, psnr_db, sharpness
from avatar_worker.train.sync_score import mouth_activity
from tests.unit.avatar_worker import mini

pytestmark = [
    pytest.mark.unit,
    pytest.mark.skipif(
        not mini.HAS_TRAINING_FILES,
        reason="what only training reads is not among the committed data",
    ),
]


def checkpoint_of_fixture() -> dict[str, object]:
    return {"model": mini.checkpoint().state, "mean_density_torso": 0.0}


def held_out(split: str, finder: object = None) -> HeldOut:
    footage = read_split(mini.DATA, split, "upper")  # type: ignore[arg-type]
    windows = audio_windows(footage, open_encoder(mini.DATA, mini.ENCODER), lambda *_: None)
    activity = mouth_activity(read_sound(mini.DATA / "aud.wav").mono())
    return HeldOut(footage, windows, activity, 1, finder)  # type: ignore[arg-type]


def test_the_fixtures_head_scores_what_its_makers_measured():
    scores = held_out("val").score(checkpoint_of_fixture())
    assert scores.values["picture_db"] == pytest.approx(29.1, abs=0.5)
    assert scores.rank_db == (scores.values["face_db"] + scores.values["mouth_db"]) / 2
    assert 0.2 < scores.values["mouth_sharpness"] < 1.5
    assert scores.preview.shape == (256, 256, 3)  # two frames, drawn beside true
    assert "sync_ms" not in scores.values  # eight frames are too few
    assert str(scores).startswith("face ")


def test_the_mouth_of_a_whole_split_is_laid_beside_its_sound(monkeypatch: pytest.MonkeyPatch):
    for module in ("scores", "sync_score"):
        monkeypatch.setattr(f"avatar_worker.train.{module}.MIN_FRAMES", 20)
    judge = held_out("train")
    if judge._kernel is None:
        pytest.skip("without a compiled kernel it would take minutes")
    values = judge.score(checkpoint_of_fixture()).values
    assert values["sync_ms"] in range(-200, 201, 40)
    assert values["sync_margin"] > 0.05


def test_landmarks_are_compared_where_something_finds_them(tmp_path: Path):
    points = np.arange(136, dtype=float).reshape(68, 2)
    seen: list[Picture] = []

    def finder(picture: Picture) -> np.ndarray | None:
        seen.append(picture)
        return points if len(seen) % 2 else points + np.array([3.0, 0.0])

    scores = held_out("val", finder).score(checkpoint_of_fixture())
    assert scores.values["lmd_px"] == pytest.approx(0)  # shifted as a whole
    assert len(seen) == 10
    scores = held_out("val", lambda _: None).score(checkpoint_of_fixture())
    assert "lmd_px" not in scores.values


def test_landmark_distance_is_that_of_the_mouth_around_its_centre():
    points = np.random.default_rng(0).normal(size=(68, 2))
    wider = points.copy()
    wider[48:68] *= 2
    expected = np.linalg.norm(points[48:68] - points[48:68].mean(axis=0), axis=1).mean()
    assert lmd_px(wider, points) == pytest.approx(expected)
    elsewhere = points.copy()
    elsewhere[:48] += 100
    assert lmd_px(elsewhere, points) == 0


def test_a_blurred_picture_is_less_sharp_and_an_equal_one_as_sharp():
    true = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    part = [Rectangle(10, 50, 10, 50)]
    assert sharpness(true, true, part) == 1.0
    assert sharpness(cv2.GaussianBlur(true, (5, 5), 1.5), true, part) < 0.2
    assert psnr_db(true, true) == 100
    assert psnr_db(np.full_like(true, 100), np.full_like(true, 101)) == pytest.approx(
        48.13, abs=0.01
    )


def test_codes_and_networks_come_from_the_checkpoint():
    checkpoint = checkpoint_of_fixture()
    changed = dict(mini.checkpoint().state)
    changed["color_net.net.1.weight"] = torch.zeros_like(changed["color_net.net.1.weight"])
    judge = held_out("val")
    before = judge.score(checkpoint).rank_db
    assert judge.score({"model": changed}).rank_db < before - 3  # a grey head
