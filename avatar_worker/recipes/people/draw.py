"""The drawing loop: frame by frame, resumable, says how long it will still take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from avatar_worker.recipes.people.plan import Frame, Plan


class Renderer(Protocol):
    """Draws one state: `blender.renderer.WindowRenderer` or a test's fake."""

    def draw(self, frame: Frame, picture: Path, mask: Path) -> None:
        """Writes the picture and its class mask as PNG."""


@dataclass(frozen=True)
class Drawings:
    """Where the pictures of a plan lie."""

    work: Path

    def picture(self, index: int) -> Path:
        """The colour picture of a frame."""
        return self.work / "frames" / f"{index:04d}.png"

    def mask(self, index: int) -> Path:
        """Its class mask."""
        return self.work / "masks" / f"{index:04d}.png"

    def has(self, index: int) -> bool:
        """Both are there; they appear complete or not at all."""
        return self.picture(index).is_file() and self.mask(index).is_file()

    def drawn(self, plan: Plan) -> list[Frame]:
        """The frames that are there, by index."""
        return [frame for frame in plan.frames if self.has(frame.index)]


def draw_plan(
    plan: Plan,
    renderer: Callable[[], Renderer],
    work: Path,
    *,
    limit: int | None = None,
    say: Callable[[str], None] = print,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Draws what is missing, in the plan's order.

    Args:
        plan: What to draw.
        renderer: Makes the renderer; called only when something is missing, since it takes long.
        work: Folder of the pictures.
        limit: At most this many frames now.
        say: Receives one line per frame.
        clock: Seconds, for the time left.

    Returns:
        How many frames were drawn.
    """
    drawings = Drawings(work)
    for folder in (drawings.picture(0).parent, drawings.mask(0).parent):
        folder.mkdir(parents=True, exist_ok=True)
    missing = [index for index in plan.order if not drawings.has(index)]
    todo = missing[:limit]
    say(f"{len(plan.order) - len(missing)} of {len(plan.order)} frames are drawn, {len(todo)} now")
    if not todo:
        return 0
    hand = renderer()
    started_s = clock()
    for count, index in enumerate(todo, start=1):
        began_s = clock()
        _draw_frame(hand, plan.frames[index], drawings)
        now_s = clock()
        left_s = (now_s - started_s) / count * (len(todo) - count)
        say(
            f"frame {index:04d} ({plan.frames[index].kind}) in {now_s - began_s:.1f} s, "
            f"{count} of {len(todo)}, {_hours(left_s)} left"
        )
    return len(todo)


def _draw_frame(renderer: Renderer, frame: Frame, drawings: Drawings) -> None:
    picture, mask = drawings.picture(frame.index), drawings.mask(frame.index)
    # The suffix stays .png: the renderer appends one otherwise.
    unfinished = [path.with_name(f"unfinished-{path.name}") for path in (picture, mask)]
    renderer.draw(frame, unfinished[0], unfinished[1])
    for written, final in zip(unfinished, (picture, mask), strict=True):
        written.replace(final)


def _hours(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"
