"""The data folder: numbering, sound, poses and expression rows agree, and it is resumable."""

from __future__ import annotations

import json
import wave
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from avatar_worker.recipes.people.camera import Pose, head_matrix, transform_matrix
from avatar_worker.recipes.people.data_folder import write_folder
from avatar_worker.recipes.people.draw import Drawings, draw_plan
from avatar_worker.recipes.people.landmarks import VERTICES
from avatar_worker.recipes.people.mesh import VERTICES as MESH_VERTICES
from avatar_worker.recipes.people.plan import Plan
from avatar_worker.recipes.people.script import SpokenTrack
from avatar_worker.recipes.people.units import NAMES
from tests.unit.recipes.people_cast import FakeRenderer, class_picture, plan_of, short_track

pytestmark = pytest.mark.unit

IDLE = 5


class FlatCharacter:
    """All vertices in one point of the head."""

    def vertices(self, units: Mapping[str, float], pose: Pose) -> np.ndarray:
        """[N, 3] dm."""
        return np.tile([0.0, 6.45, 0.42], (MESH_VERTICES, 1))


@pytest.fixture
def track() -> SpokenTrack:
    return short_track(60)


@pytest.fixture
def plan(track: SpokenTrack) -> Plan:
    return plan_of(track, IDLE)


@pytest.fixture
def work(tmp_path: Path, plan: Plan) -> Path:
    """A work folder with the first twelve frames drawn."""
    draw_plan(plan, FakeRenderer, tmp_path, limit=12, say=lambda line: None)
    plates = tmp_path / "plates"
    plates.mkdir()
    classes = class_picture()
    cv2.imwrite(str(plates / "background.png"), np.full((512, 512, 3), 160, dtype=np.uint8))
    cv2.imwrite(str(plates / "mask.png"), classes[..., ::-1])
    torso = np.full((512, 512, 4), 120, dtype=np.uint8)
    torso[..., 3] = 255 * ((classes[..., 1:] > 0).any(axis=2) & (classes[..., 0] == 0))
    cv2.imwrite(str(plates / "torso.png"), torso)
    return tmp_path


def write(plan: Plan, track: SpokenTrack, work: Path) -> Path:
    out = work / "data"
    write_folder(plan, track, FlatCharacter(), work, out, say=lambda line: None)  # type: ignore[arg-type]
    return out


def test_every_listed_frame_has_all_its_files(plan: Plan, track: SpokenTrack, work: Path) -> None:
    out = write(plan, track, work)

    listed = [
        entry["img_id"]
        for split in ("train", "val")
        for entry in json.loads((out / f"transforms_{split}.json").read_text())["frames"]
    ]
    assert sorted(listed) == sorted(plan.order[:12])
    for number in listed:
        for name in (
            f"gt_imgs/{number}.jpg",
            f"ori_imgs/{number}.jpg",
            f"ori_imgs/{number}.lms",
            f"torso_imgs/{number}.png",
            f"parsing/{number}.png",
            f"parsing/{number}_face.png",
        ):
            assert (out / name).is_file(), name
        assert np.loadtxt(out / f"ori_imgs/{number}.lms").shape == (68, 2)
        assert cv2.imread(str(out / f"torso_imgs/{number}.png"), -1).shape == (512, 512, 4)
    assert not list(out.rglob("unfinished-*"))


def test_splits_hold_the_poses_of_the_plan(plan: Plan, track: SpokenTrack, work: Path) -> None:
    out = write(plan, track, work)

    body = {s: json.loads((out / f"transforms_{s}.json").read_text()) for s in ("train", "idle")}
    assert (body["train"]["focal_len"], body["train"]["cx"]) == (1332.6, 256)
    for entry in body["train"]["frames"]:
        assert entry["aud_id"] == entry["img_id"]
        assert entry["img_id"] not in plan.validation
        expected = transform_matrix(head_matrix(plan.frames[entry["img_id"]].pose))
        np.testing.assert_allclose(entry["transform_matrix"], expected)
    assert all(entry["img_id"] < IDLE for entry in body["idle"]["frames"])


def test_the_sound_is_silent_under_the_loop_and_speaks_with_the_marks(
    plan: Plan, track: SpokenTrack, work: Path
) -> None:
    out = write(plan, track, work)

    with wave.open(str(out / "aud.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    assert len(samples) == len(plan.frames) * 640
    assert not samples[: IDLE * 640].any()
    for mark in track.marks:
        if mark.phone != "sil":
            middle_s = IDLE / 25 + (mark.start_s + mark.end_s) / 2
            assert samples[round(middle_s * 16_000)] == pytest.approx(0.5 * 32767, rel=0.02)


def test_expression_rows_follow_the_frame_number(
    plan: Plan, track: SpokenTrack, work: Path
) -> None:
    rows = np.load(write(plan, track, work) / "bs.npy")

    assert rows.shape == (len(plan.frames), 52)
    for frame in plan.frames:
        for name in ("eyeBlinkLeft", "browInnerUp", "jawOpen"):
            weight = frame.units.get(name, 0.0)
            assert rows[frame.index, NAMES.index(name)] == pytest.approx(weight)
    assert not rows[:, -1].any()


def test_a_second_run_adds_only_what_was_drawn_since(
    plan: Plan, track: SpokenTrack, work: Path
) -> None:
    out = write(plan, track, work)
    kept = out / f"ori_imgs/{plan.order[0]}.jpg"
    before = kept.stat().st_mtime_ns
    draw_plan(plan, FakeRenderer, work, limit=3, say=lambda line: None)

    said: list[str] = []
    write_folder(plan, track, FlatCharacter(), work, out, say=said.append)  # type: ignore[arg-type]

    assert said == [f"{out}: 15 of {len(plan.frames)} frames, 3 added now"]
    assert kept.stat().st_mtime_ns == before


def test_landmarks_are_vertices_of_the_mesh_named_once() -> None:
    assert len(set(VERTICES.tolist())) == 68
    assert VERTICES.max() < MESH_VERTICES


def test_a_half_drawn_frame_is_left_out(plan: Plan, track: SpokenTrack, work: Path) -> None:
    Drawings(work).mask(plan.order[5]).unlink()

    out = write(plan, track, work)

    assert not (out / f"ori_imgs/{plan.order[5]}.jpg").exists()
