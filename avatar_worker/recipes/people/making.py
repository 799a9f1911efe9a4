"""From nothing to a character in one go: the recipe's steps and the service's own commands.

Every step is a command of its own that goes on where it was, so the whole may be stopped at any
time and called again. Steps that draw run in the environment that has bpy.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from avatar_worker.recipes.people.person import Person
from avatar_worker.slots import SHIPPED_CHARACTER
from avatar_worker.whole_files import write_whole

RECIPE = "avatar_worker.recipes.people"
DRAWING_PYTHON = Path("var/people/venv/bin/python")
HOW_TO_GET_BPY = (
    "uv venv -p 3.11 var/people/venv",
    (
        "uv pip install -p var/people/venv/bin/python --no-deps --require-hashes "
        "-r requirements/recipes.txt"
    ),
)
LOOP_FRAMES = 250
"""Of the bundle's pose loop: ten seconds, 60 kB each."""

CONSENT = "synthetic: nobody's likeness"
LICENCE = "Apache-2.0"

Run = Callable[[Sequence[str]], int]
"""Runs a command line to its end; returns its exit code."""


class MakingError(RuntimeError):
    """A step could not be run, or failed."""


@dataclass(frozen=True)
class Step:
    """One command line."""

    name: str
    command: tuple[str, ...]


def steps_for(who: str, work: Path, python: Path, minutes: float) -> tuple[Step, ...]:
    """What is run, in order, to make the character `who` below `work`.

    Args:
        who: Name of the person.
        work: Folder of all results.
        python: Interpreter of the environment that draws.
        minutes: How long the head is trained.
    """
    own = sys.executable
    film, data, head = (str(work / name) for name in ("film.mp4", "data", "head"))

    def recipe(interpreter: str, name: str) -> Step:
        place = ("--who", who, "--work", str(work))
        return Step(name, (interpreter, "-u", "-m", RECIPE, name, *place))

    def service(name: str, *options: str) -> Step:
        return Step(name, (own, "-m", "avatar_worker", name, *options))

    persona = Path(__file__).parent / "personas" / f"{who}.toml"
    return (
        recipe(own, "plan"),
        recipe(str(python), "plates"),
        recipe(str(python), "draw"),
        recipe(own, "film"),
        service("prepare", "--video", film, "--out", data),
        service("train", "--data", data, "--workspace", head, "--ears", str(SHIPPED_CHARACTER),
                "--minutes", f"{minutes:g}"),
        service("import", "--data", data, "--workspace", head,
                "--name", who, "--out", str(work / f"{who}.zip"), "--persona", str(persona),
                "--loop", "0", str(LOOP_FRAMES), "--licence", LICENCE, "--consent", CONSENT),
    )  # fmt: skip


def require_film(person: Person) -> None:
    """Ends for somebody who is not planned as a film.

    Raises:
        MakingError: with what is meant instead.
    """
    if person.schedule.idle_frames or person.schedule.held_out_lines:
        raise MakingError(
            f"{person.name} is not filmed: the data folder is written from the plan itself, "
            "step by step (see the recipe's README)"
        )


def require_drawing(python: Path) -> None:
    """Ends when the interpreter that draws is not there.

    Raises:
        MakingError: with what brings it.
    """
    if not python.is_file():
        lines = "\n".join(f"    {line}" for line in HOW_TO_GET_BPY)
        raise MakingError(
            f"{python} is missing: an environment with bpy is needed to draw. Make it by\n{lines}\n"
            "or name another one's interpreter with --python"
        )


def run_command(command: Sequence[str]) -> int:
    """Runs it with this process's own streams; Ctrl-C reaches it too, and it is given the time to
    put away what it has."""
    with subprocess.Popen(command) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.wait()
            raise


def make(
    steps: Sequence[Step],
    work: Path,
    *,
    run: Run = run_command,
    clock: Callable[[], float] = time.monotonic,
    say: Callable[[str], None] = print,
) -> None:
    """Runs all steps, and says how long each took; `times.json` adds up over all calls.

    Raises:
        MakingError: a step ended with an error; what it has done is kept.
    """
    times = _Times.read(work / "times.json")
    for step in steps:
        say(f"== {step.name}")
        started_s = clock()
        try:
            code = run(step.command)
        finally:
            times.add(step.name, clock() - started_s)
        if code != 0:
            raise MakingError(
                f"{step.name} ended with code {code}; the same command goes on where it was"
            )
    for step in steps:
        say(f"{step.name:8} {_clock_time(times.seconds[step.name])}")
    say(f"{'together':8} {_clock_time(sum(times.seconds.values()))}")


@dataclass(frozen=True)
class _Times:
    """Seconds spent in each step, in all calls together."""

    path: Path
    seconds: dict[str, float]

    @classmethod
    def read(cls, path: Path) -> _Times:
        body: Mapping[str, float] = json.loads(path.read_text()) if path.is_file() else {}
        return cls(path, dict(body))

    def add(self, step: str, seconds: float) -> None:
        self.seconds[step] = round(self.seconds.get(step, 0.0) + seconds, 1)
        write_whole(self.path, (json.dumps(self.seconds, indent=1) + "\n").encode())


def _clock_time(seconds: float) -> str:
    minutes, left = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02d} min {left:02d} s"
