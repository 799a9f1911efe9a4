"""The drawing loop can be stopped at any time and goes on where it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatar_worker.recipes.people.draw import Drawings, draw_plan
from avatar_worker.recipes.people.plan import Plan
from avatar_worker.recipes.people.window import HEAD_WINDOW
from tests.unit.recipes.people_cast import FakeRenderer, plan_of, short_track

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(short_track(60), 4)


def quiet(line: str) -> None:
    """Says nothing."""


def test_frames_come_in_the_plans_order(plan: Plan, tmp_path: Path) -> None:
    renderer = FakeRenderer()

    assert draw_plan(plan, lambda: renderer, tmp_path, limit=7, say=quiet) == 7

    assert renderer.drawn == [plan.frames[at] for at in plan.order[:7]]


def test_a_broken_run_leaves_only_whole_frames_and_is_continued(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="memory"):
        draw_plan(plan, lambda: FakeRenderer(breaks_after=3), tmp_path, say=quiet)
    drawings = Drawings(tmp_path)
    assert {f.index for f in drawings.drawn(plan)} == set(plan.order[:3])
    assert not drawings.picture(plan.order[3]).exists()

    second = FakeRenderer()
    drawn = draw_plan(plan, lambda: second, tmp_path, limit=5, say=quiet)

    assert drawn == 5
    assert second.drawn == [plan.frames[at] for at in plan.order[3:8]]


def test_nothing_is_built_when_nothing_is_missing(plan: Plan, tmp_path: Path) -> None:
    draw_plan(plan, FakeRenderer, tmp_path, say=quiet)

    def never() -> FakeRenderer:
        raise AssertionError("the scene was built for nothing")

    assert draw_plan(plan, never, tmp_path, say=quiet) == 0


def test_each_line_tells_the_time_left(plan: Plan, tmp_path: Path) -> None:
    seconds = iter(range(0, 100_000, 60))
    lines: list[str] = []

    draw_plan(plan, FakeRenderer, tmp_path, limit=3, say=lines.append, clock=lambda: next(seconds))

    assert lines[0] == "0 of 64 frames are drawn, 3 now"
    assert lines[1].endswith("in 60.0 s, 1 of 3, 0 h 04 min left")
    assert lines[3].endswith("3 of 3, 0 h 00 min left")


def test_the_window_fades_into_the_plate_and_leaves_the_rest_alone() -> None:
    plate = np.full((512, 512, 3), 100, dtype=np.uint8)
    height, width = HEAD_WINDOW.bottom - HEAD_WINDOW.top, HEAD_WINDOW.right - HEAD_WINDOW.left

    pasted = HEAD_WINDOW.paste(np.full((height, width, 3), 200, dtype=np.uint8), plate)

    assert (pasted[: HEAD_WINDOW.top] == 100).all()
    assert (pasted[:, HEAD_WINDOW.right :] == 100).all()
    assert (pasted[200, 256] == 200).all()
    edge = pasted[256, HEAD_WINDOW.left : HEAD_WINDOW.left + 16, 0].astype(int)
    assert (np.diff(edge) >= 0).all()
    assert edge[0] < 110
    assert (plate == 100).all()
