"""Reads of sessions: for the API, the page, the admin and the tasks."""

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self, TypeVar

from django.db.models import Avg, ExpressionWrapper, F, Q, QuerySet
from django.db.models.fields import DurationField

from avatar_contracts.states import SessionState
from avatar_platform.access.models import Account
from avatar_platform.characters.selectors import is_named
from avatar_platform.config import get_settings
from avatar_platform.errors import NotFoundError
from avatar_platform.fleet.selectors import total_slots
from avatar_platform.sessions.models import OPEN, Session, SessionKey
from avatar_platform.sessions.words import sentence

__all__ = [
    "OPEN",
    "describe",
    "find_session",
    "get_session",
    "list_sessions",
    "open_sessions",
    "queue_place",
    "queue_places",
    "queue_places_of",
]

HOLDING: Final = [
    SessionState.PROVISIONING.value,
    SessionState.READY.value,
    SessionState.ACTIVE.value,
]
ASSUMED_SESSION_S: Final = 120.0
"""How long a session lasts, until some have ended here."""
RECENT_SESSIONS: Final = 50
T = TypeVar("T")


def open_sessions() -> QuerySet[Session]:
    return Session.objects.filter(status__in=OPEN)


def list_sessions(
    *, account: Account, status: str | None = None, character: str | None = None
) -> QuerySet[Session]:
    """An account's sessions, newest first; what was erased is gone. A character by slug or id."""
    found = Session.objects.filter(account=account, erased_at=None)
    if status:
        found = found.filter(status=status)
    if character:
        found = found.filter(is_named(character, "character__"))
    return found.select_related("character").order_by("-created_at", "-pk")


def get_session(*, account: Account, session_id: SessionKey) -> Session:
    """One session of this account.

    Raises:
        NotFoundError: there is none, it was erased, or it is another tenant's.
    """
    found = list_sessions(account=account).filter(pk=session_id).first()
    if found is None:
        raise NotFoundError("no such session")
    return found


def find_session(name: str) -> Session | None:
    """A session by what a worker calls it, of whatever account; None when there is none."""
    try:
        key = uuid.UUID(name)
    except ValueError:
        return None
    return Session.objects.select_related("character", "version").filter(pk=key).first()


def queue_place(session: Session) -> dict[str, Any] | None:
    """Position (1 is next) and the estimated wait of a queued session; None for any other.

    The estimate is how long sessions lately lasted, divided by the slots that serve them. It is
    None when no worker serves at all.
    """
    if session.state is not SessionState.QUEUED:
        return None
    ahead = Session.objects.filter(
        Q(queued_at__lt=session.queued_at) | Q(queued_at=session.queued_at, pk__lt=session.pk),
        status=SessionState.QUEUED.value,
        worker_class=session.worker_class,
    ).count()
    return _Service.of(session.worker_class).place(ahead)


def queue_places(limit: int) -> list[tuple[Session, dict[str, Any]]]:
    """The first waiting sessions, each with its place; a handful of queries for all together."""
    first = _waiting().select_related("character")[:limit]
    return list(_places((session, session.worker_class) for session in first))


def queue_places_of(account: Account) -> dict[uuid.UUID, dict[str, Any]]:
    """The place of each waiting session of an account; a handful of queries for all together."""
    mine = set(_waiting().filter(account=account).values_list("pk", flat=True))
    if not mine:
        return {}
    return {
        pk: at for pk, at in _places(_waiting().values_list("pk", "worker_class")) if pk in mine
    }


def _waiting() -> QuerySet[Session]:
    """All that wait, the next one first."""
    waiting = Session.objects.filter(status=SessionState.QUEUED.value)
    return waiting.order_by("queued_at", "pk")


def _places(line: Iterable[tuple[T, str]]) -> Iterator[tuple[T, dict[str, Any]]]:
    """The place of each in the line, given with its worker class; the line has no gaps."""
    services: dict[str, _Service] = {}
    ahead: Counter[str] = Counter()
    for who, name in line:
        if name not in services:
            services[name] = _Service.of(name)
        yield who, services[name].place(ahead[name])
        ahead[name] += 1


@dataclass(frozen=True, slots=True)
class _Service:
    """How fast the workers of a class serve: their slots, those in use, how long sessions last."""

    slots: int
    held: int
    duration_s: float

    @classmethod
    def of(cls, worker_class: str) -> Self:
        held = Session.objects.filter(status__in=HOLDING, worker_class=worker_class).count()
        return cls(total_slots(worker_class), held, _recent_duration_s())

    def place(self, ahead: int) -> dict[str, Any]:
        free = max(0, self.slots - self.held)
        if self.slots == 0:
            eta_s = None
        elif ahead < free:
            eta_s = 0
        else:
            eta_s = round(self.duration_s * (ahead + 1 - free) / self.slots)
        return {"position": ahead + 1, "eta_s": eta_s}


def _recent_duration_s() -> float:
    recent = (
        Session.objects.filter(ended_at__isnull=False, ready_at__isnull=False)
        .order_by("-ended_at")
        .values("pk")[:RECENT_SESSIONS]
    )
    lasted = ExpressionWrapper(F("ended_at") - F("ready_at"), output_field=DurationField())
    average = Session.objects.filter(pk__in=recent).aggregate(mean=Avg(lasted))["mean"]
    return average.total_seconds() if average else ASSUMED_SESSION_S


def describe(session: Session, place: dict[str, Any] | None = None) -> dict[str, Any]:
    """The body of `GET /sessions/{id}`, ready for JSON; also what watchers are pushed.

    Args:
        place: in the queue, when it is known already.
    """
    state = session.state
    failed = state is SessionState.FAILED
    return {
        "id": str(session.pk),
        "status": session.status,
        "character": session.character.slug if session.character else None,
        "mode": session.mode,
        "expression": session.expression,
        "picture": session.picture,
        "livekit": {"url": get_settings().browser_livekit_url, "room": session.room},
        "queue": place or queue_place(session),
        "end_reason": session.end_reason or None,
        "end_message": sentence(session.end_reason) if session.end_reason else None,
        "failure": (
            {"reason": session.end_reason, "message": sentence(session.end_reason)}
            if failed
            else None
        ),
        "timings": {
            "queued_ms": _between_ms(session.created_at, session.first_claimed_at),
            "provision_ms": _between_ms(session.first_claimed_at, session.ready_at),
            "first_frame_ms": _between_ms(session.created_at, session.first_frame_at),
            "ready_ms": _between_ms(session.created_at, session.ready_at),
        },
        "epoch": session.epoch,
        "max_duration_s": session.max_duration_s,
        "idle_timeout_s": session.idle_timeout_s,
        "created_at": session.created_at.isoformat(),
        "ready_at": _iso(session.ready_at),
        "ended_at": _iso(session.ended_at),
        "metadata": session.metadata,
    }


def _between_ms(start: datetime | None, end: datetime | None) -> int | None:
    return round((end - start).total_seconds() * 1000) if start and end else None


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
