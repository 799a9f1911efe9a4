"""The whole road from a video to a folder that the trainer reads; stopped anywhere, it goes on."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatar_worker.__main__ import main as worker_main
from avatar_worker.audio.sound import read_sound
from avatar_worker.prepare import command
from avatar_worker.prepare.command import main
from avatar_worker.prepare.steps.order import STEPS
from avatar_worker.render.data_folder import FootageScenes, read_split
from avatar_worker.render.rays import MISS, box_interval, ray_directions
from avatar_worker.train.dataset import AABB, read_training_data
from avatar_worker.train.footage import head_mask
from avatar_worker.train.hearing import open_encoder
from tests.unit.avatar_worker.mini import ENCODER
from tests.unit.avatar_worker.prepare.footage import film, mira, mira_film, speech, still

pytestmark = [pytest.mark.component, pytest.mark.timeout(300)]

SHORT, LONG = 12, 22


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Twelve frames, and the folder that an undisturbed run makes of them."""
    folder = tmp_path_factory.mktemp("short")
    video = mira_film(folder / "mira.mp4", SHORT)
    assert run(video, folder / "out") == 0
    return video, folder / "out"


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a longer clip."""
    folder = tmp_path_factory.mktemp("long")
    assert run(mira_film(folder / "mira.mp4", LONG), folder / "out") == 0
    return folder / "out"


def run(video: Path, out: Path, *more: str) -> int:
    return main(["--video", str(video), "--out", str(out), "--accept", "length", *more])


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_trainer_reads_the_folder(long: Path) -> None:
    data = read_training_data(
        long, "upper", open_encoder(long, ENCODER), lambda what, done, total: None
    )
    assert len(data.frames) == LONG * 10 // 11
    assert data.size == (512, 512)
    assert data.windows.shape == (len(data.frames), 8, 512)
    assert torch.isfinite(data.windows).all()
    assert 0.02 < data.hull.mean() < 0.9
    for frame in data.frames:
        assert all(len(pixels) > 500 for pixels in frame.regions.values())


def test_both_splits_can_be_drawn_as_portraits(long: Path) -> None:
    for split, n in (("train", 20), ("val", 2)):
        footage = read_split(long, split, "upper")  # type: ignore[arg-type]
        assert len(footage.image_ids) == n
        scenes = FootageScenes(footage, portrait=True)
        scene = scenes.scene(n - 1)
        assert scene.mask is not None
        assert 0.05 < scene.mask.mean() / 255 < 0.25
        assert scene.original is not None
    assert read_split(long, "val", "upper").image_ids == (20, 21)


def test_the_folder_has_every_file_that_the_original_reads(long: Path) -> None:
    for number in range(LONG):
        for name in (f"ori_imgs/{number}.jpg", f"ori_imgs/{number}.lms", f"gt_imgs/{number}.jpg",
                     f"torso_imgs/{number}.png", f"parsing/{number}.png",
                     f"parsing/{number}_face.png"):  # fmt: skip
            assert (long / name).is_file(), name
    assert np.load(long / "bs.npy").shape == (LONG, 52)
    assert read_sound(long / "aud.wav").samples.shape == (1, LONG * 640)
    transforms = json.loads((long / "transforms_train.json").read_text())
    assert {"focal_len", "cx", "cy", "h", "w", "frames"} == set(transforms)
    assert set(transforms["frames"][0]) == {"img_id", "aud_id", "transform_matrix"}


def test_the_whole_head_lies_in_the_renderers_box(long: Path) -> None:
    footage = read_split(long, "train", "upper")
    for index in (0, 10, 19):
        pixels = torch.from_numpy(np.flatnonzero(head_mask(footage, footage.image_ids[index])))
        pose = torch.from_numpy(footage.poses[index])
        rays = ray_directions(pose, footage.intrinsics, width=footage.width, pixels=pixels)
        origins = pose[:3, 3].expand_as(rays)
        near, _ = box_interval(origins, rays, torch.tensor(AABB))
        assert (near < MISS).float().mean() > 0.999
        # The camera is 0.6 … 1.2 m away, four units a metre.
        assert 2.4 < float(torch.linalg.vector_norm(pose[:3, 3])) < 4.8


def test_a_finished_folder_has_nothing_left_to_do(
    short: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a step ran again")

    monkeypatch.setattr(command, "_run", refuse)
    video, out = short
    before = content(out)
    assert run(video, out) == 0
    assert content(out) == before


class KilledError(BaseException):
    """Stands for the end of the process: nothing may clean up after it."""


@contextmanager
def stopping_at(name: str, error: BaseException) -> Iterator[None]:
    """The moment before a file of this name gets its name."""
    rename = Path.replace

    def stop(self: Path, target: Path) -> Path:
        if str(target).endswith(name):
            raise error
        return rename(self, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", stop)
        yield


STOPS = (
    "aud.wav", "ori_imgs/7.jpg", "prepare/mesh/0.npy", "ori_imgs/5.lms", "prepare/noise.npy",
    "bc.jpg", "parsing/6.png", "parsing/8_face.png", "gt_imgs/3.jpg", "torso_imgs/4.png",
    "prepare/template.npz", "prepare/pose/0.npy", "prepare/camera.json", "prepare/poses.npy",
    "bs.npy", "transforms_val.json", "transforms_train.json",
)  # fmt: skip
"""A place in every step."""


def test_killed_in_every_step_it_ends_where_an_undisturbed_run_does(
    short: tuple[Path, Path], tmp_path: Path
) -> None:
    video, whole = short
    for name in STOPS:
        with stopping_at(name, KilledError()), pytest.raises(KilledError):
            run(video, tmp_path / "out")
        assert not (tmp_path / "out" / name).exists()
        assert not (tmp_path / "out/transforms_train.json").exists()
    assert run(video, tmp_path / "out") == 0
    assert content(tmp_path / "out") == content(whole)


def test_every_step_is_among_the_places_of_that_test() -> None:
    assert len(STEPS) == 9
    assert len(STOPS) >= len(STEPS)


def test_killed_between_a_step_and_its_entry_in_the_journal_it_goes_on(
    short: tuple[Path, Path], tmp_path: Path
) -> None:
    video, whole = short
    shutil.copytree(whole, tmp_path / "out")
    journal = tmp_path / "out/prepare/journal.json"
    record = json.loads(journal.read_text())
    while record["done"]:
        record["done"].pop()
        journal.write_text(json.dumps(record))
        with stopping_at("journal.json", KilledError()), pytest.raises(KilledError):
            run(video, tmp_path / "out")
    assert run(video, tmp_path / "out") == 0
    assert content(tmp_path / "out") == content(whole)


def test_a_killed_process_leaves_a_folder_that_can_be_gone_on_with(
    short: tuple[Path, Path], tmp_path: Path
) -> None:
    video, whole = short
    program = f"""
import os, signal, sys
from pathlib import Path
rename = Path.replace
def stop(self, target):
    if str(target).endswith("parsing/5.png"):
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)
Path.replace = stop
from avatar_worker.prepare.command import main
main(["--video", {str(video)!r}, "--out", {str(tmp_path / "out")!r}, "--accept", "length"])
"""
    ended = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True,
                           env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    assert ended.returncode == -signal.SIGKILL
    assert (tmp_path / "out/parsing/.5.png.part").is_file()
    assert run(video, tmp_path / "out") == 0
    assert content(tmp_path / "out") == content(whole)


def test_a_full_disk_is_said_and_can_be_gone_on_from(
    short: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video, whole = short
    full = OSError(errno.ENOSPC, "No space left on device")
    with stopping_at("gt_imgs/6.jpg", full):
        assert run(video, tmp_path / "out") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: the disk is full")
    assert "gt_imgs/6.jpg" in said
    assert not list((tmp_path / "out").rglob("*.part"))
    assert run(video, tmp_path / "out") == 0
    assert content(tmp_path / "out") == content(whole)


def test_control_c_says_that_the_same_command_goes_on(
    short: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    video, whole = short
    with stopping_at("ori_imgs/3.jpg", KeyboardInterrupt()):
        assert run(video, tmp_path / "out") == 130
    assert "goes on where it was" in caplog.text
    assert run(video, tmp_path / "out") == 0
    assert content(tmp_path / "out") == content(whole)


def test_another_video_is_refused_unless_it_is_to_begin_anew(
    short: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, whole = short
    shutil.copytree(whole, tmp_path / "out")
    other = mira_film(tmp_path / "other.mp4", SHORT + 1)
    assert run(other, tmp_path / "out") == 2
    assert "begun with another video" in capsys.readouterr().err
    assert content(tmp_path / "out") == content(whole)
    assert run(other, tmp_path / "out", "--restart") == 0
    assert (tmp_path / f"out/torso_imgs/{SHORT}.png").is_file()


def test_a_damaged_journal_is_refused_and_restart_helps(
    short: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video, whole = short
    shutil.copytree(whole, tmp_path / "out")
    (tmp_path / "out/prepare/journal.json").write_text("{")
    assert run(video, tmp_path / "out") == 2
    assert "--restart" in capsys.readouterr().err
    assert run(video, tmp_path / "out", "--restart") == 0
    assert content(tmp_path / "out") == content(whole)


def test_without_the_networks_the_command_says_how_to_get_them(
    short: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert main(["--video", str(short[0]), "--check"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("Install it with: make models")


@pytest.mark.parametrize("name", ["ori_imgs/0.jpg", "aud.wav", "prepare/notes.txt"])
@pytest.mark.parametrize("more", [(), ("--restart",)])
def test_a_folder_of_other_making_is_left_as_it_is(
    more: tuple[str, ...], name: str, short: tuple[Path, Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = tmp_path / "data" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"precious")
    assert run(short[0], tmp_path / "data", *more) == 2
    said = f"{tmp_path}/data is not empty and was not begun by this command"
    assert said in capsys.readouterr().err
    assert content(tmp_path / "data") == {name: b"precious"}


def test_killed_before_there_is_a_journal_it_can_be_called_again(
    short: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "out/prepare").mkdir(parents=True)
    (tmp_path / "out/prepare/.journal.json.part").touch()
    with stopping_at("aud.wav", KilledError()), pytest.raises(KilledError):
        run(short[0], tmp_path / "out")
    assert set(content(tmp_path / "out")) == {"prepare/journal.json"}


def test_a_file_that_somebody_adds_does_not_stand_in_the_way_of_restart(
    short: tuple[Path, Path], tmp_path: Path
) -> None:
    video, whole = short
    shutil.copytree(whole, tmp_path / "out")
    (tmp_path / "out/notes.txt").write_text("mine")
    for _ in range(2):  # the first is killed with the old things gone and nothing new there
        with stopping_at("aud.wav", KilledError()), pytest.raises(KilledError):
            run(video, tmp_path / "out", "--restart")
        assert set(content(tmp_path / "out")) == {"prepare/journal.json", "notes.txt"}


def test_check_only_reports(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    video = mira_film(tmp_path / "mira.mp4", SHORT)
    assert main(["--video", str(video), "--check"]) == 2
    assert main(["--video", str(video), "--check", "--accept", "length"]) == 0
    assert "refused  length: 0.5 s; at least 20 s are needed" in caplog.text
    assert "accepted length" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["mira.mp4"]


def test_every_fault_is_named_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("INFO")
    two = np.concatenate([mira(0)[:, 60:450], mira(50)[:, 60:450]], axis=1)
    video = film(tmp_path / "v.mp4", [(two * 0.15).astype(np.uint8)] * 12, fps=12)
    assert main(["--video", str(video), "--out", str(tmp_path / "out")]) == 2
    for code in ("frame-rate", "length", "sound", "faces", "dark"):
        assert f"refused  {code}:" in caplog.text
    assert "frame-rate, length, sound" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_nobody_in_the_picture_cannot_be_accepted(tmp_path: Path) -> None:
    video = film(tmp_path / "v.mp4", [still(width=512, height=512)] * 20, sound=speech(0.8))
    assert run(video, tmp_path / "out", "--accept", "no-face") == 2
    assert not (tmp_path / "out").exists()


def test_the_worker_lists_the_command_and_says_what_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        worker_main(["--help"])
    assert "prepare" in capsys.readouterr().out
    assert worker_main(["prepare", "--video", "nowhere.mp4", "--check"]) == 2
    assert capsys.readouterr().err == "error: nowhere.mp4: no such file\n"
    assert worker_main(["prepare", "--video", "nowhere.mp4"]) == 2
    assert "--out DIR is needed" in capsys.readouterr().err


def test_a_folder_that_will_not_fit_is_refused_before_the_work(
    short: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def nearly_full(_: Path) -> Any:
        return shutil._ntuple_diskusage(10**9, 10**9 - 10**6, 10**6)  # type: ignore[attr-defined]

    monkeypatch.setattr(shutil, "disk_usage", nearly_full)
    assert run(short[0], tmp_path / "out") == 2
    # 12 frames of 0.6 MB
    assert "needs about 7 MB for 12 frames; 1 MB are free" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
