"""Everybody in the cast is described completely and plausibly."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest

from avatar_worker.recipes import people
from avatar_worker.recipes.people.camera import FPS, Pose, project_world
from avatar_worker.recipes.people.cast import PEOPLE
from avatar_worker.recipes.people.mesh import BODY_VERTICES
from avatar_worker.recipes.people.person import Person
from avatar_worker.recipes.people.plan import Frame
from avatar_worker.recipes.people.window import HEAD_WINDOW
from avatar_worker.recipes.people.window_check import HAIR_PX, overhang_px

pytestmark = pytest.mark.unit

everybody = pytest.mark.parametrize("person", PEOPLE.values(), ids=lambda person: person.name)


def colours(value: object) -> Iterator[str]:
    """All strings in a description that look like colours, at any depth."""
    if is_dataclass(value):
        for field in fields(value):
            yield from colours(getattr(value, field.name))
    elif isinstance(value, tuple):
        for part in value:
            yield from colours(part)
    elif isinstance(value, str) and value.startswith("#"):
        yield value


@everybody
def test_every_colour_can_be_read(person: Person) -> None:
    found = list(colours(person.look))

    assert len(found) >= 20
    assert all(re.fullmatch("#[0-9a-f]{6}", code) for code in found)


@everybody
def test_lines_to_interpolate_rise_in_their_first_row(person: Person) -> None:
    look = person.look
    lines = [look.hair.hairline, look.brows.across, look.brows.rise, look.brows.spread]
    if look.skin.beard is not None:
        lines += [look.skin.beard.upper, look.skin.beard.lower]
    for places, values in lines:
        assert len(places) == len(values)
        assert list(places) == sorted(set(places))
    assert [at for at, _ in look.iris] == sorted(at for at, _ in look.iris)


@everybody
def test_stubble_ends_below_where_it_begins(person: Person) -> None:
    beard = person.look.skin.beard
    if beard is not None:
        azimuth = np.linspace(0, 90, 46)
        assert (np.interp(azimuth, *beard.lower) < np.interp(azimuth, *beard.upper) - 0.3).all()


@everybody
def test_shape_weights_are_shares_and_the_macro_shapes_add_up(person: Person) -> None:
    assert all(0 < weight <= 1 for weight in person.shape.values())
    regions = [w for n, w in person.shape.items() if re.match("macrodetails/[a-z]+-f?e?male-", n)]
    bodies = [w for n, w in person.shape.items() if n.startswith("macrodetails/universal")]
    assert sum(regions) - sum(bodies) == pytest.approx(1.0)
    assert sum(bodies) == pytest.approx(1.0)
    assert set(person.teeth_shift_dm) == {
        "helper-upper-teeth",
        "helper-lower-teeth",
        "helper-tongue",
    }


@everybody
def test_everybody_has_a_name_a_persona_and_something_to_say(person: Person) -> None:
    path = Path(people.__path__[0]) / "personas" / f"{person.name}.toml"
    persona = tomllib.loads(path.read_text())

    assert PEOPLE[person.name] is person
    assert person.name.capitalize() in persona["persona"]["greeting"]
    assert len(person.script) > person.schedule.held_out_lines
    seconds = person.schedule.speaking_frames / FPS
    assert 3 < seconds / len(person.script) < 5, "a sentence and its pause"


def test_no_two_look_alike() -> None:
    mira, jonas = PEOPLE["mira"].look, PEOPLE["jonas"].look

    assert not set(mira.backdrop) & set(jonas.backdrop)
    assert not set(mira.sweater.yarn) & set(jonas.sweater.yarn)
    assert mira.hair.style != jonas.hair.style
    assert mira.iris != jonas.iris


class Speck:
    """A mesh of one point that turns about the camera's axis: its place is easy to work out."""

    def __init__(self, column: float, row: float) -> None:
        self._at = column, row

    def vertices(self, units: object, pose: Pose) -> np.ndarray:
        """[N, 3] dm, so that the point is drawn at its pixel, moved aside by the yaw in pixels."""
        column, row = self._at
        # The plane at the origin of z: 1 px is 0.992 m / 1332.6.
        x = (column + pose.yaw_deg - 256) * 9.92 / 1332.6
        y = 6.45475 - (row - 256) * 9.92 / 1332.6
        return np.tile([x, y, 0.0], (BODY_VERTICES, 1))


def frame(yaw: float) -> Frame:
    return Frame(0, "speech", 0, 0, Pose(yaw_deg=yaw), {})


def test_the_speck_is_drawn_where_it_says() -> None:
    seen = project_world(Speck(300, 200).vertices({}, Pose(yaw_deg=5.0)))

    np.testing.assert_allclose(seen[0], (305, 200))


def test_a_head_that_leaves_its_window_is_found() -> None:
    inner = HEAD_WINDOW.right - HEAD_WINDOW.feather_px - HAIR_PX

    inside = overhang_px(Speck(inner - 20, 200), [frame(5.0)], HEAD_WINDOW)
    outside = overhang_px(Speck(inner - 20, 200), [frame(5.0), frame(23.0)], HEAD_WINDOW)

    assert inside == pytest.approx(-15)
    assert outside == pytest.approx(3)


def test_what_does_not_move_may_lie_outside_of_the_window() -> None:
    assert overhang_px(Speck(20, 500), [frame(0.5)], HEAD_WINDOW) == -np.inf
