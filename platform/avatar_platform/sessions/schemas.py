"""The bodies of the session calls."""

import json
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from ninja import Schema
from pydantic import AnyHttpUrl, Field, StringConstraints, field_validator

from avatar_contracts.expression import BLINK_RATE_MAX, GAIN_MAX, Preset
from avatar_contracts.picture import BLEND_MAX_PX, COLOUR
from avatar_contracts.states import EndReason, SessionMode, SessionState
from avatar_platform.gateways.outbound import check_url
from avatar_platform.schemas import Strict, Text, WebAddress
from avatar_platform.sessions.joining import Role
from avatar_platform.sessions.services import Wish

MAX_METADATA_BYTES: Final = 16_384
MAX_METADATA_DEPTH: Final = 100
MAX_TEXT_CHARS: Final = 4_000


class PersonaIn(Strict):
    """Overrides the character's persona, field by field."""

    instructions: Text | None = Field(None, max_length=20_000)
    voice: Text | None = Field(None, max_length=120)
    language: Text | None = Field(None, max_length=20)
    greeting: Text | None = Field(None, max_length=2_000)


class ExpressionIn(Strict):
    """How the face is held, instead of as the character's version says. What is left out stays.

    Everything is kept within what the character was filmed with; one without brows or lids of its
    own, such as the test card, is not changed.
    """

    blink_rate: float | None = Field(
        None, ge=0, le=BLINK_RATE_MAX, strict=True, allow_inf_nan=False, description="A minute."
    )
    brow_gain: float | None = Field(
        None, ge=0, le=GAIN_MAX, strict=True, allow_inf_nan=False, description="1 is as filmed."
    )
    eye_gain: float | None = Field(
        None, ge=0, le=GAIN_MAX, strict=True, allow_inf_nan=False, description="Likewise, the lids."
    )
    preset: Preset | None = Field(None, description="Where brows and lids rest.")


class PictureIn(Strict):
    """How pictures are put together, instead of as the character's version says.

    A session whose character cannot be drawn so fails at once with `OPTIONS_REFUSED`.
    """

    blend_width: float | None = Field(
        None, ge=-BLEND_MAX_PX, le=BLEND_MAX_PX, strict=True, allow_inf_nan=False,
        description="Portraits: how much further than the footage's mask the drawn head reaches "
        "into the original frame, in pixels of a picture 512 high; below 0 less far.",
    )  # fmt: skip
    blend_feather: float | None = Field(
        None, ge=0, le=BLEND_MAX_PX, strict=True, allow_inf_nan=False,
        description="Portraits: over how many pixels on either side its edge is softened.",
    )  # fmt: skip
    background: str | None = Field(
        None, pattern=COLOUR,
        description="Heads and torsos, not portraits: the colour behind them, so that a page can "
        "match it or key it out.",
    )  # fmt: skip


class SessionIn(Strict):
    character: Text = Field(min_length=1, max_length=64, description="Slug or id.")
    persona: PersonaIn | None = None
    expression: ExpressionIn | None = None
    picture: PictureIn | None = None
    mode: SessionMode = SessionMode.CONVERSATION
    max_duration_s: int = Field(1800, ge=10, le=6 * 3600)
    idle_timeout_s: int = Field(180, ge=10, le=3600)
    callback_url: WebAddress | None = None
    metadata: dict[str, Any] = Field(default_factory=dict, description="Yours; at most 16 kB.")

    @field_validator("callback_url")
    @classmethod
    def _outside(cls, value: AnyHttpUrl | None) -> AnyHttpUrl | None:
        if value is not None:
            check_url(str(value))
        return value

    @field_validator("metadata")
    @classmethod
    def _small(cls, value: dict[str, Any]) -> dict[str, Any]:
        if (depth := _depth(value)) > MAX_METADATA_DEPTH:
            raise ValueError(f"expected at most {MAX_METADATA_DEPTH} levels, found {depth}")
        try:
            text = json.dumps(value, allow_nan=False, ensure_ascii=False)
            size = len(text.encode())
        except UnicodeEncodeError:
            raise ValueError("expected Unicode, found half of a surrogate pair") from None
        except ValueError:
            raise ValueError("expected numbers of JSON, found NaN or infinity") from None
        if size > MAX_METADATA_BYTES:
            raise ValueError(f"expected at most {MAX_METADATA_BYTES} bytes of JSON, found {size}")
        if "\\u0000" in text:
            raise ValueError("NUL characters are not allowed")
        return value

    def as_wish(self) -> Wish:
        return Wish(
            character=self.character,
            mode=self.mode,
            persona=_given(self.persona),
            expression=_given(self.expression),
            picture=_given(self.picture),
            max_duration_s=self.max_duration_s,
            idle_timeout_s=self.idle_timeout_s,
            metadata=self.metadata,
            callback_url=str(self.callback_url) if self.callback_url else "",
        )


def _depth(value: Any) -> int:
    """How many levels of objects and lists lie within each other; needs no stack of its own."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [
            child for item in level for child in (item.values() if isinstance(item, dict) else item)
        ]
    return depth


def _given(part: Strict | None) -> dict[str, Any]:
    """The fields that were filled in, as they are stored."""
    return part.model_dump(mode="json", exclude_none=True) if part else {}


class TokenIn(Strict):
    role: Role = Role.PARTICIPANT


class SayIn(Strict):
    text: Annotated[Text, StringConstraints(strip_whitespace=True)] = Field(
        min_length=1, max_length=MAX_TEXT_CHARS
    )


class EndIn(Strict):
    # The other reasons say what the platform has seen.
    reason: Literal["API_CLOSED", "USER_CLOSED", "AGENT_HANG_UP", "UNKNOWN"] = "API_CLOSED"


class RoomOut(Schema):
    url: str
    room: str


class JoinOut(RoomOut):
    token: str
    identity: str


class QueueOut(Schema):
    position: int = Field(description="1 is next.")
    eta_s: int | None = Field(description="Estimated; null while no worker serves.")


class FailureOut(Schema):
    reason: str
    message: str


class TimingsOut(Schema):
    """From the creation on, except where said."""

    queued_ms: int | None
    provision_ms: int | None = Field(description="From the claim to ready.")
    first_frame_ms: int | None
    ready_ms: int | None


class SessionOut(Schema):
    id: str
    status: SessionState
    character: str | None
    mode: SessionMode
    expression: dict[str, Any] = Field(description="As asked for; empty: the character's own.")
    picture: dict[str, Any] = Field(description="Likewise.")
    livekit: RoomOut
    queue: QueueOut | None
    end_reason: EndReason | None
    end_message: str | None
    failure: FailureOut | None
    timings: TimingsOut
    epoch: int = Field(description="How often the session was handed to an avatar worker.")
    max_duration_s: int
    idle_timeout_s: int
    created_at: datetime
    ready_at: datetime | None
    ended_at: datetime | None
    metadata: dict[str, Any]


class SessionCreated(SessionOut):
    livekit: JoinOut


class SessionPage(Schema):
    items: list[SessionOut]
    next_cursor: str | None


class LineOut(Schema):
    role: str = Field(description="user or avatar")
    text: str
    at: datetime


class Transcript(Schema):
    items: list[LineOut]
    next_cursor: str | None


class EventOut(Schema):
    kind: str
    at: datetime
    epoch: int
    data: dict[str, Any]


class Events(Schema):
    items: list[EventOut]
    next_cursor: str | None
