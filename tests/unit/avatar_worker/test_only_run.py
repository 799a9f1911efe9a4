"""Two runs of a long command never write to one folder."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from avatar_worker.only_run import FolderBusyError, only_run
from avatar_worker.prepare.command import main as prepare
from avatar_worker.recipes.audio_encoder.__main__ import main as make_encoder
from avatar_worker.train.command import main as train

pytestmark = pytest.mark.unit

HOLD = """
import sys, pathlib
from avatar_worker.only_run import only_run
with only_run(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_is_refused_until_the_first_is_over(tmp_path: Path) -> None:
    with only_run(tmp_path):
        with pytest.raises(FolderBusyError, match=f"another run is at work in {tmp_path}"):
            only_run(tmp_path).__enter__()
        with only_run(tmp_path / "another folder"):
            pass
    with only_run(tmp_path):
        pass


def test_a_killed_run_holds_nothing(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(FolderBusyError):
            only_run(tmp_path).__enter__()
        os.kill(process.pid, signal.SIGKILL)
    with only_run(tmp_path):
        pass


def test_a_refused_run_leaves_no_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="refused"), only_run(tmp_path / "new"):
        raise ValueError("refused")
    assert not (tmp_path / "new").exists()
    with only_run(tmp_path / "new"):
        (tmp_path / "new" / "result").touch()
    assert (tmp_path / "new" / "result").exists()


@pytest.mark.parametrize(
    ("command", "options"),
    [(train, ["--data", "x", "--workspace"]), (prepare, ["--video", "x", "--out"])],
)
def test_a_file_is_no_folder_to_work_in(
    command: Callable[[list[str]], int], options: list[str], tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("avatar_worker.prepare.command.open_video", lambda path: None)
    (tmp_path / "file").touch()
    assert command([*options, str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path}/file: is a file; a folder is expected\n"


def test_the_long_commands_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avatar_worker.prepare.command.open_video", lambda path: None)
    with only_run(tmp_path):
        assert train(["--data", "nowhere", "--workspace", str(tmp_path)]) == 2
        assert f"another run is at work in {tmp_path}" in capsys.readouterr().err
        assert prepare(["--video", "talk.mp4", "--out", str(tmp_path)]) == 2
        assert f"another run is at work in {tmp_path}" in capsys.readouterr().err
        monkeypatch.setattr(sys, "argv", ["audio_encoder", "gate", "--work", str(tmp_path)])
        with pytest.raises(SystemExit, match="another run is at work"):
            make_encoder()
