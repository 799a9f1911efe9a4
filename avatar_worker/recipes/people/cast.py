"""Everybody who can be drawn."""

from __future__ import annotations

from typing import Final

from avatar_worker.recipes.people.jonas import JONAS
from avatar_worker.recipes.people.mira import MIRA
from avatar_worker.recipes.people.person import Person

PEOPLE: Final[dict[str, Person]] = {person.name: person for person in (MIRA, JONAS)}
