"""The loop: when it ends, and that nothing half-written is ever taken for whole."""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatar_worker.train.checkpoints import read_scores, read_state, sweep
from avatar_worker.train.errors import TrainingError
from avatar_worker.train.progress import Progress
from avatar_worker.train.run import Limits, Run
from avatar_worker.train.scores import Scores
from avatar_worker.whole_files import write_whole
from tests.unit.avatar_worker import mini

pytestmark = pytest.mark.unit

needs_training_files = pytest.mark.skipif(
    not mini.HAS_TRAINING_FILES, reason="what only training reads is not among the committed data"
)


class Counter:
    """Learns to count."""

    def __init__(self, stop_at: int | None = None, signals: int = 1) -> None:
        self.progress = Progress()
        self.shares: list[float] = []
        self._stop_at = stop_at
        self._signals = signals

    def step(self, done: float) -> None:
        self.shares.append(done)
        if self.progress.step == self._stop_at:
            for _ in range(self._signals):
                os.kill(os.getpid(), signal.SIGINT)
        self.progress.note_loss(1.0)
        self.progress.step += 1
        self.progress.seconds += 1.0

    def shown(self) -> Mapping[str, str]:
        return {}

    def checkpoint(self) -> dict[str, Any]:
        return {"epoch": 1, "step": self.progress.step, "model": {"w": torch.zeros(30_000)}}

    def state(self) -> dict[str, Any]:
        return {"progress": {"step": self.progress.step}, "w": torch.zeros(10_000)}


class Judge:
    """Says what it was told to say, one score after the other."""

    def __init__(self, *decibels: float) -> None:
        self._decibels = list(decibels)

    def score(self, checkpoint: Mapping[str, Any]) -> Scores:
        value = self._decibels.pop(0)
        return Scores({"face_db": value}, value, np.zeros((8, 16, 3), np.uint8))


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) is before


def test_a_run_takes_its_steps_and_leaves_head_state_scores_and_preview(tmp_path: Path):
    run = Counter()
    Run(run, tmp_path, Limits(steps=4), Judge(30.0)).go()
    assert run.shares == [0.0, 0.25, 0.5, 0.75]
    state = read_state(tmp_path)
    assert state is not None
    assert state["progress"]["step"] == 4
    assert read_scores(tmp_path) == [{"step": 4, "seconds": 4.0, "loss": 1.0, "face_db": 30.0}]
    files = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert files == [
        "checkpoints/ngp.pth", "checkpoints/ngp_ep0001.pth", "previews/000004.jpg",
        "scores.jsonl", "training.pt",
    ]  # fmt: skip


def test_it_stops_when_scores_no_longer_rise_and_keeps_the_best(tmp_path: Path):
    run = Counter()
    limits = Limits(steps=100, patience=2, save_every_s=3)
    Run(run, tmp_path, limits, Judge(30.0, 31.0, 30.5, 30.9)).go()
    assert run.progress.step == 12
    assert (run.progress.best, run.progress.best_step) == (31.0, 6)
    assert torch.load(tmp_path / "checkpoints/ngp.pth", weights_only=True)["step"] == 6
    assert [line["step"] for line in read_scores(tmp_path)] == [3, 6, 9, 12]


def test_it_says_how_long_it_will_still_take(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    now_s = [0.0]
    monkeypatch.setattr("avatar_worker.train.run.time.monotonic", lambda: now_s[0])
    run = Counter()

    class Slow(Judge):
        def score(self, checkpoint: Mapping[str, Any]) -> Scores:
            now_s[0] += 1800.0
            return super().score(checkpoint)

    Run(run, tmp_path, Limits(steps=8, save_every_s=2), Slow(1.0, 1.0, 1.0, 1.0)).go()
    said = capsys.readouterr().err
    assert [line.rpartition("; ")[2] for line in said.splitlines() if "; " in line] == [
        "1 h 30 min left", "1 h 0 min left", "30 min left",
    ]  # fmt: skip


def test_ctrl_c_ends_the_run_after_its_step(tmp_path: Path):
    run = Counter(stop_at=5)
    with pytest.raises(KeyboardInterrupt):
        Run(run, tmp_path, Limits(steps=100), None).go()
    state = read_state(tmp_path)
    assert state is not None
    assert state["progress"]["step"] == run.progress.step == 6  # the step was done to its end


def test_a_second_ctrl_c_is_not_waited_with(tmp_path: Path):
    run = Counter(stop_at=5, signals=2)
    with pytest.raises(KeyboardInterrupt):
        Run(run, tmp_path, Limits(steps=100), None).go()
    assert run.progress.step == 5
    assert read_state(tmp_path) is None


@pytest.fixture
def small_files() -> Iterator[None]:
    """As on a full disk: no file can have more than 50 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files")
def test_a_full_disk_leaves_what_was_there_whole(tmp_path: Path):
    run = Counter()
    with pytest.raises(TrainingError, match=r"cannot take the run's end \(File too large\)"):
        Run(run, tmp_path, Limits(steps=9, save_every_s=3), None).go()
    assert run.progress.step == 9  # what could not be stored on the way did not end it
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == []
    write_whole(tmp_path / "file", b"first")
    with pytest.raises(OSError, match="too large"):
        write_whole(tmp_path / "file", bytes(60_000))
    assert (tmp_path / "file").read_bytes() == b"first"
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["file"]


def test_what_a_killed_run_had_begun_to_write_is_swept_away(tmp_path: Path):
    (tmp_path / "checkpoints").mkdir()
    begun = tmp_path / "checkpoints/.ngp_ep0002.pth.part"
    begun.write_bytes(b"half")
    sweep(tmp_path)
    assert not begun.exists()


def test_lines_of_steps_that_were_lost_are_dropped(tmp_path: Path):
    lines = [{"step": 3}, {"step": 6}, {"step": 9}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "scores.jsonl").write_text(text + '{"step": 1')  # cut short
    run = Counter()
    run.progress.step = 5  # the state that was stored last
    Run(run, tmp_path, Limits(steps=7), None).go()
    assert [line["step"] for line in read_scores(tmp_path)] == [3, 6, 7]


@needs_training_files
@pytest.mark.timeout(400)  # three processes that load PyTorch, on a machine that may be busy
def test_a_command_that_is_killed_at_any_step_ends_where_an_uninterrupted_one_does(tmp_path: Path):
    """SIGKILL while it steps or stores; called again it goes on from what it stored last."""

    def command(workspace: Path, *more: str) -> list[str]:
        return [
            sys.executable, "-m", "avatar_worker", "train", "--data", str(mini.DATA),
            "--ave", str(mini.ENCODER), "--workspace", str(workspace), "--steps", "12",
            "--threads", "1", *more,
        ]  # fmt: skip

    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    first = subprocess.run(command(whole), env=environment, capture_output=True, check=False)
    assert first.returncode == 0, first.stderr
    after_each_step = command(killed, "--save-every", "0.0001")
    process = subprocess.Popen(after_each_step, env=environment, stderr=subprocess.PIPE)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(b"3 steps: "):  # stored: it is killed in the middle of what follows
            process.kill()
            break
    process.stderr.read()
    process.stderr.close()
    assert process.wait() == -signal.SIGKILL
    before = read_state(killed)
    assert before is not None
    assert 3 <= before["progress"]["step"] < 12
    again = subprocess.run(command(killed), env=environment, capture_output=True, check=False)
    assert again.returncode == 0, again.stderr
    states = [read_state(folder) for folder in (whole, killed)]
    assert states[0] is not None
    assert states[1] is not None
    assert torch.equal(states[0]["tables"], states[1]["tables"])
    for key, tensor in states[0]["weights"].items():
        assert torch.equal(tensor, states[1]["weights"][key]), key
