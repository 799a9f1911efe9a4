"""The bodies of the character calls."""

import uuid
from typing import Annotated, Any, Final

from ninja import Schema
from pydantic import AfterValidator, Field, StringConstraints

from avatar_platform.schemas import Strict, Text

SLUG: Final = r"^[a-z0-9][a-z0-9_-]{0,59}$"


def _no_id(slug: str) -> str:
    """What reads as an id is looked for among the ids only."""
    try:
        uuid.UUID(slug)
    except ValueError:
        return slug
    raise ValueError(f"expected a slug that cannot be taken for an id, found {slug!r}")


Slug = Annotated[str, StringConstraints(pattern=SLUG), AfterValidator(_no_id)]


class KnowledgeIn(Strict):
    questions: list[Text] = Field(min_length=1, max_length=50)
    answer: Text = Field(min_length=1, max_length=4_000)


class CharacterIn(Strict):
    slug: Slug
    name: Text = Field(min_length=1, max_length=120)
    description: Text = Field("", max_length=4_000)
    instructions: Text = Field("", max_length=20_000)
    voice: Text = Field("", max_length=120)
    language: Text = Field("en-US", max_length=20)
    greeting: Text = Field("", max_length=2_000)
    knowledge: list[KnowledgeIn] = Field(default_factory=list, max_length=1_000)


class CharacterPatch(Strict):
    """What is left out stays as it is."""

    name: Text | None = Field(None, min_length=1, max_length=120)
    description: Text | None = Field(None, max_length=4_000)
    instructions: Text | None = Field(None, max_length=20_000)
    voice: Text | None = Field(None, max_length=120)
    language: Text | None = Field(None, max_length=20)
    greeting: Text | None = Field(None, max_length=2_000)
    knowledge: list[KnowledgeIn] | None = Field(None, max_length=1_000)


class VersionOut(Schema):
    id: str
    number: int
    engine: str
    width: int
    height: int
    size_bytes: int
    licence: str


class CharacterOut(Schema):
    id: str
    slug: str
    name: str
    description: str
    voice: str
    language: str
    greeting: str
    instructions: str | None = Field(description="Of your own characters; null for everybody's.")
    knowledge: list[dict[str, Any]] | None = Field(description="Likewise.")
    startable: bool = Field(description="Published, with a valid consent.")
    published_version: VersionOut | None
    preview_url: str | None


class Characters(Schema):
    items: list[CharacterOut]
    next_cursor: str | None


class VoiceOut(Schema):
    id: str
    provider: str
    language: str
    description: str


class Voices(Schema):
    items: list[VoiceOut]
    next_cursor: None = Field(description="They are few, and on one page.")
