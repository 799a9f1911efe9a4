"""One command does everything in order, and goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from avatar_worker.recipes.people.__main__ import main
from avatar_worker.recipes.people.jonas import JONAS
from avatar_worker.recipes.people.making import (
    MakingError,
    Step,
    make,
    require_drawing,
    require_film,
    steps_for,
)
from avatar_worker.recipes.people.mira import MIRA

pytestmark = pytest.mark.unit

PYTHON = Path("var/people/venv/bin/python")
NAMES = ["plan", "plates", "draw", "film", "prepare", "train", "import"]


class Shell:
    """Runs nothing; ten seconds a command, and a code where a step shall fail."""

    def __init__(self, codes: dict[str, int] | None = None) -> None:
        self.ran: list[str] = []
        self.now_s = 0.0
        self._codes = codes or {}

    def run(self, command: Sequence[str]) -> int:
        """Remembers the command's name."""
        self.ran.append(command[0])
        self.now_s += 10.0
        return self._codes.get(command[0], 0)

    def clock(self) -> float:
        """Seconds."""
        return self.now_s


STEPS = [Step(name, (name,)) for name in NAMES]


def test_steps_come_in_order_and_only_drawing_runs_where_bpy_is(tmp_path: Path) -> None:
    steps = steps_for("jonas", tmp_path, PYTHON, 30.0)

    assert [step.name for step in steps] == NAMES
    assert [step.name for step in steps if step.command[0] == str(PYTHON)] == ["plates", "draw"]
    commands = {step.name: step.command for step in steps}
    for name in ("plan", "plates", "draw", "film"):
        assert commands[name][-4:] == ("--who", "jonas", "--work", str(tmp_path))


def test_every_step_reads_what_the_one_before_left(tmp_path: Path) -> None:
    commands = {step.name: step.command for step in steps_for("jonas", tmp_path, PYTHON, 30.0)}

    def option(step: str, name: str) -> str:
        return commands[step][commands[step].index(name) + 1]

    assert option("prepare", "--video") == str(tmp_path / "film.mp4")
    assert option("train", "--data") == option("import", "--data") == option("prepare", "--out")
    assert option("import", "--workspace") == option("train", "--workspace")
    assert option("train", "--minutes") == "30"
    assert option("import", "--out") == str(tmp_path / "jonas.zip")
    assert Path(option("import", "--persona")).is_file()


def test_times_are_said_and_written(tmp_path: Path) -> None:
    shell, said = Shell(), list[str]()

    make(STEPS, tmp_path, run=shell.run, clock=shell.clock, say=said.append)

    assert shell.ran == NAMES
    assert json.loads((tmp_path / "times.json").read_text()) == dict.fromkeys(NAMES, 10.0)
    assert said[-1] == "together 0 h 01 min 10 s"
    assert said[-2] == "import   0 h 00 min 10 s"


def test_a_failed_step_ends_it_and_the_next_call_adds_its_times(tmp_path: Path) -> None:
    broken = Shell({"draw": 1})
    with pytest.raises(MakingError, match="draw ended with code 1"):
        make(STEPS, tmp_path, run=broken.run, clock=broken.clock, say=lambda line: None)
    assert broken.ran == ["plan", "plates", "draw"]

    shell = Shell()
    make(STEPS, tmp_path, run=shell.run, clock=shell.clock, say=lambda line: None)

    assert shell.ran == NAMES
    times = json.loads((tmp_path / "times.json").read_text())
    assert (times["draw"], times["film"]) == (20.0, 10.0)


def test_an_interrupted_steps_time_is_kept(tmp_path: Path) -> None:
    shell = Shell()

    def interrupt(command: Sequence[str]) -> int:
        shell.run(command)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(STEPS, tmp_path, run=interrupt, clock=shell.clock, say=lambda line: None)

    assert json.loads((tmp_path / "times.json").read_text()) == {"plan": 10.0}


def test_without_the_drawing_environment_it_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(MakingError, match=r"uv venv -p 3\.11 .*\n.*uv pip install"):
        require_drawing(tmp_path / "python")


def test_the_command_ends_before_it_begins_without_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="uv venv"):
        main(["make", "--who", "jonas", "--work", str(tmp_path), "--python", "nowhere/python"])


def test_only_who_is_filmed_can_be_made_from_a_film() -> None:
    require_film(JONAS)

    with pytest.raises(MakingError, match="mira is not filmed"):
        require_film(MIRA)
