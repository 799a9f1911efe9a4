"""A broken data folder is refused with everything that is wrong; the original's are accepted."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from avatar_worker.train.dataset import read_training_data
from avatar_worker.train.errors import BrokenFolderError
from avatar_worker.train.folder_check import require_whole_folder
from avatar_worker.train.hearing import open_encoder, open_hearing
from tests.unit.avatar_worker import mini
from tests.unit.avatar_worker.mini import DATA, ENCODER

pytestmark = [
    pytest.mark.unit,
    pytest.mark.skipif(
        not mini.HAS_TRAINING_FILES,
        reason="what only training reads is not among the committed data",
    ),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "data"
    shutil.copytree(DATA, copy, copy_function=shutil.copyfile)
    for path in (copy, *[p for p in copy.rglob("*") if p.is_dir()]):
        path.chmod(0o755)
    return copy


def silent(*_: object) -> None:
    pass


def look_at(
    folder: Path, eye: str = "upper", *, head: bool = True, ave: Path = ENCODER
) -> list[str]:
    return require_whole_folder(
        folder, eye, lambda: open_hearing(folder, ave), head=head, threads=2, report=silent
    )  # type: ignore[arg-type]


def problems_of(folder: Path, eye: str = "upper", ave: Path = ENCODER) -> list[str]:
    with pytest.raises(BrokenFolderError) as refusal:
        look_at(folder, eye, ave=ave)
    return refusal.value.problems


def test_a_whole_folder_is_accepted_without_a_word(folder: Path):
    assert look_at(folder) == []


def test_everything_that_is_missing_or_wrong_is_listed_at_once(folder: Path):
    for number in (3, 4, 5, 9):
        (folder / f"parsing/{number}.png").unlink()
    cv2.imwrite(str(folder / "torso_imgs/7.png"), np.zeros((64, 32, 4), np.uint8))
    cv2.imwrite(str(folder / "parsing/11.png"), np.full((128, 128, 3), 255, np.uint8))
    (folder / "gt_imgs/2.jpg").write_bytes((folder / "gt_imgs/2.jpg").read_bytes()[:40])
    (folder / "ori_imgs/12.lms").write_text("1 2\n")
    (folder / "bc.jpg").unlink()
    np.save(folder / "bs.npy", np.zeros((20, 52)))
    (folder / "aud.wav").write_bytes(b"no sound")
    transforms = json.loads((folder / "transforms_train.json").read_text())
    transforms["frames"][6]["transform_matrix"] = [[1, 2], [3, 4]]
    del transforms["frames"][8]["img_id"]
    (folder / "transforms_train.json").write_text(json.dumps(transforms))
    problems = "\n".join(problems_of(folder, ave=folder / "nowhere.pth"))
    for said in (
        "parsing/<id>.png is absent: frames 3–5, 9",
        "torso_imgs/<id>.png is 32 × 64 px; the cameras say 128 × 128: frames 7",
        "parsing/<id>.png shows no head: frames 11",
        "gt_imgs/<id>.jpg is no picture that can be decoded",
        "ori_imgs/<id>.lms has shape (1, 2); expected (68, 2): frames 12",
        "bc.jpg is absent",
        "bs.npy the expression track has 20 rows; frame 31 has none",
        "aud.wav cannot be decoded as sound",
        "transforms_train.json holds a transform_matrix that is not 4 × 4 numbers: frames 6",
        "entry 8 of frames has no numbers: KeyError('img_id')",
        "the ear: no audio encoder",
    ):
        assert said in problems
    assert len(problems.splitlines()) == 11


def test_a_folder_that_does_not_exist_or_names_no_frame_is_refused(folder: Path, tmp_path: Path):
    assert "no folder" in problems_of(tmp_path / "elsewhere")[0]
    (folder / "transforms_train.json").write_text("{")
    (folder / "transforms_val.json").unlink()
    assert "transforms_train.json is not JSON" in problems_of(folder)[0]
    shutil.rmtree(folder / "gt_imgs")
    (folder / "transforms_train.json").write_bytes((DATA / "transforms_train.json").read_bytes())
    assert "no frame that has a picture" in problems_of(folder)[0]


def test_a_torso_needs_neither_landmarks_nor_sound(folder: Path):
    shutil.rmtree(folder / "ori_imgs")
    shutil.rmtree(folder / "parsing")
    for name in ("aud.wav", "bs.npy"):
        (folder / name).unlink()
    assert look_at(folder, head=False) == []


def test_a_folder_as_the_original_scripts_leave_it_is_accepted(folder: Path):
    # By-products, and more rows in the expression track than there are pictures.
    for name in ("track_params.pt", "bundle_adjustment.pt", "keypoints.txt", "track_xys.npy"):
        (folder / name).write_bytes(b"whatever")
    (folder / "flow_result").mkdir()
    (folder / "face_mask").mkdir()
    track = np.load(folder / "bs.npy")
    np.save(folder / "bs.npy", np.concatenate([track, track[:3]]).astype(np.float64))
    rows = "".join(f"{k}, 1.00, {0.1 * k:.2f}\n" for k in range(len(track)))
    (folder / "au.csv").write_text("frame, confidence, AU45_r\n" + rows)
    # A frame that lost its picture does not exist; a background of another size is scaled.
    (folder / "gt_imgs/5.jpg").unlink()
    cv2.imwrite(str(folder / "bc.jpg"), np.zeros((200, 240, 3), np.uint8))
    # Focal length and principal point as the original writes them: no size of the picture.
    transforms = json.loads((folder / "transforms_train.json").read_text())
    assert {"h", "w"}.isdisjoint(transforms)
    assert look_at(folder) == [
        "1 frames of transforms_train.json have no picture in gt_imgs and are left out"
    ]
    assert len(look_at(folder, "au45")) == 1
    data = read_training_data(folder, "au45", open_encoder(folder, ENCODER), silent)
    assert len(data.frames) == 23
    assert data.size == (128, 128)
    assert data.eyes[3].item() == pytest.approx(0.15)


def test_without_held_out_frames_training_is_possible_and_says_so(folder: Path):
    (folder / "transforms_val.json").unlink()
    assert "transforms_val.json is absent" in look_at(folder)[0]


def test_sound_that_ends_early_is_mentioned(folder: Path):
    transforms = json.loads((folder / "transforms_val.json").read_text())
    transforms["frames"][-1]["aud_id"] = 131  # 132 frames are 5.28 s; there are 1.28 s
    (folder / "transforms_val.json").write_text(json.dumps(transforms))
    assert "aud.wav ends 4.0 s before the pictures" in look_at(folder)[0]
