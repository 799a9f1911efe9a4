"""What happened in a session, in words and with times, for the operator.

Everything is read in a fixed number of queries; a session holds at most a few thousand events.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any, Final

from django.utils import timezone

from avatar_contracts.beat import EventKind
from avatar_platform.sessions.models import Session, SessionEvent, TranscriptLine
from avatar_platform.sessions.words import sentence

SHOWN_EVENTS: Final = 400
SHOWN_LINES: Final = 400

_WORDS: Final[dict[str, str]] = {
    "session.queued": "Waiting for a worker",
    "session.provisioning": "A worker has taken it",
    "session.ready": "Ready: the face is shown, the agent is there",
    "session.active": "The visitor is in a conversation",
    "session.ending": "Ending",
    "session.ended": "Ended",
    "session.failed": "Failed",
    EventKind.AVATAR_JOINED: "Avatar joined the room",
    EventKind.FIRST_FRAME: "First picture published",
    EventKind.SPEAK_STARTED: "Character began to speak",
    EventKind.SPEAK_ENDED: "Character stopped speaking",
    EventKind.AVATAR_LEFT: "Avatar left the room",
    EventKind.AVATAR_FAILED: "Avatar failed",
    EventKind.AGENT_JOINED: "Agent joined the room",
    EventKind.AGENT_LEFT: "Agent left the room",
    EventKind.AGENT_FAILED: "Agent failed",
    EventKind.USER_JOINED: "Visitor joined the room",
    EventKind.USER_LEFT: "Visitor left the room",
    EventKind.USER_SPEAK_STARTED: "Visitor began to speak",
    EventKind.USER_SPEAK_ENDED: "Visitor stopped speaking",
    EventKind.LATENCY: "Latency",
}
_BAD: Final = {"session.failed", EventKind.AVATAR_FAILED, EventKind.AGENT_FAILED}
_WORRYING: Final = {EventKind.AVATAR_LEFT, EventKind.AGENT_LEFT}
_GOOD: Final = {"session.ready", "session.active", EventKind.FIRST_FRAME}


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of the timeline. `offset_s` counts from the session's creation."""

    at: datetime
    offset_s: float
    words: str
    detail: str
    tone: str
    epoch: int


@dataclass(frozen=True, slots=True)
class LatencyFigures:
    """How long something took, over all that was reported of it, in ms."""

    name: str
    count: int
    p50_ms: float
    p95_ms: float
    newest_ms: float

    @property
    def label(self) -> str:
        return self.name.replace("_ms", "").replace("_", " ")


def moments(session: Session) -> list[Moment]:
    """The timeline, oldest first, without the latencies, which have a table of their own."""
    newest = session.events.exclude(kind=EventKind.LATENCY.value).order_by("-id")[:SHOWN_EVENTS]
    return [_moment(session, event) for event in reversed(newest)]


def lines(session: Session) -> list[TranscriptLine]:
    """What was said, oldest first."""
    return list(reversed(session.lines.order_by("-at", "-id")[:SHOWN_LINES]))


def session_latencies(session: Session) -> list[LatencyFigures]:
    """Latencies of one session, by name."""
    return summarise(
        session.events.filter(kind=EventKind.LATENCY.value).values_list("data", flat=True)
    )


def summarise(reported: Iterable[Mapping[str, Any]]) -> list[LatencyFigures]:
    """`{"name", "ms"}` reports, oldest first, to figures by name; what is neither is left out."""
    by_name: dict[str, list[float]] = {}
    for data in reported:
        name, ms = data.get("name"), data.get("ms")
        if isinstance(name, str) and isinstance(ms, int | float):
            by_name.setdefault(name, []).append(float(ms))
    return [
        LatencyFigures(
            name, len(all_ms), percentile(all_ms, 50), percentile(all_ms, 95), all_ms[-1]
        )
        for name, all_ms in sorted(by_name.items())
    ]


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that is not exceeded by `percent` of all (nearest rank).

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("percentile of nothing")
    return sorted(values)[max(0, ceil(len(values) * percent / 100) - 1)]


def figures(session: Session) -> dict[str, Any] | None:
    """How the session was at its worker's last beat; None when no worker told of it."""
    if session.worker is None or not session.state.is_live:
        return None
    for told in session.worker.figures:
        if told.get("session") == str(session.pk) and told.get("epoch") == session.epoch:
            return dict(told)
    return None


def _moment(session: Session, event: SessionEvent) -> Moment:
    return Moment(
        at=event.at,
        offset_s=(event.at - session.created_at).total_seconds(),
        words=_WORDS.get(event.kind, event.kind),
        detail=_detail(event.data),
        tone=_tone(event.kind),
        epoch=event.epoch,
    )


def _tone(kind: str) -> str:
    if kind in _BAD:
        return "bad"
    if kind in _WORRYING:
        return "worrying"
    return "good" if kind in _GOOD else ""


def _detail(data: Mapping[str, Any]) -> str:
    """The numbers and words of an event; a reason becomes its sentence."""
    told = []
    for key, value in data.items():
        if key == "reason":
            told.append(sentence(str(value)))
        elif value not in ("", None, [], {}):
            shown = f"{value:g}" if isinstance(value, float) else str(value)
            told.append(f"{key.replace('_', ' ')}: {shown}")
    return " · ".join(told)[:300]


def option_words(options: Mapping[str, Any]) -> str:
    """What a session asked for beside its character's own: `blink rate 12 · preset attentive`."""
    return " · ".join(
        f"{name.replace('_', ' ')} {f'{value:g}' if isinstance(value, float) else value}"
        for name, value in options.items()
    )


def duration_words(start: datetime | None, end: datetime | None) -> str:
    """How long, until now when it has not ended: `42 s`, `3 min 05 s`, `2 h 10 min`."""
    if start is None:
        return "—"
    total_s = max(0, int(((end or timezone.now()) - start).total_seconds()))
    minutes, seconds = divmod(total_s, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"
