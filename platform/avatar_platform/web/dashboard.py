"""What the operator sees first: what runs, whether it fits, what failed lately, how fast it is.

A fixed number of queries however many sessions there are.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Count, Q, QuerySet
from django.db.models.functions import TruncHour
from django.http import HttpRequest
from django.utils import timezone

from avatar_contracts.beat import EventKind
from avatar_contracts.states import OPEN_STATES, SessionState
from avatar_platform.fleet.admin import HEALTH_TONES, age_words, health, pictures_words
from avatar_platform.fleet.models import AvatarWorker, PlatformProcess
from avatar_platform.fleet.selectors import list_workers
from avatar_platform.sessions.admin import STATE_TONES
from avatar_platform.sessions.models import Session, SessionEvent
from avatar_platform.sessions.timeline import LatencyFigures, summarise
from avatar_platform.sessions.words import sentence

DAY: Final = timedelta(hours=24)
HOURS: Final = 24
SHOWN_FAILURES: Final = 8
SHOWN_WORKERS: Final = 12
NEWEST_LATENCIES: Final = 4000
"""Reports looked at for the percentiles; an hour of a busy installation."""
PROCESS_SILENT_S: Final = 5.0
BAR_HEIGHT: Final = 76
_STATES: Final = (
    SessionState.QUEUED,
    SessionState.PROVISIONING,
    SessionState.READY,
    SessionState.ACTIVE,
    SessionState.ENDING,
)


@dataclass(frozen=True, slots=True)
class Bar:
    """Sessions begun within one hour; heights in units of the drawing, `BAR_HEIGHT` the busiest."""

    hour: datetime
    begun: int
    failed: int
    y: int
    failed_y: int


def fill(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's dashboard callback."""
    now = timezone.now()
    workers = _workers(now)
    open_by_state = _open_by_state()
    ended = Session.objects.filter(ended_at__gte=now - DAY)
    over = ended.aggregate(
        all=Count("pk"), failed=Count("pk", filter=Q(status=SessionState.FAILED.value))
    )
    return {
        **context,
        "states": [
            {"name": s.value, "count": open_by_state[s.value], "tone": STATE_TONES[s.value]}
            for s in _STATES
        ],
        "ended": over["all"] - over["failed"],
        "failed": over["failed"],
        "slots": sum(w["slots"] for w in workers if w["health"] == "serving"),
        "used": sum(w["used"] for w in workers if w["health"] in ("serving", "draining")),
        "workers": workers,
        "failures": _failures(now),
        "latencies": _latencies(now),
        "bars": _bars(now),
        "processes": _processes(now),
    }


def _open_by_state() -> Counter[str]:
    counted = (
        Session.objects.filter(status__in=[state.value for state in OPEN_STATES])
        .order_by()
        .values_list("status")
        .annotate(Count("pk"))
    )
    return Counter(dict(counted))


def _workers(now: datetime) -> list[dict[str, Any]]:
    """Everybody who serves, then who was lost within the day."""
    found: QuerySet[AvatarWorker] = list_workers().filter(
        Q(dead_at=None, last_beat_at__gte=now - DAY) | Q(dead_at__gte=now - DAY)
    )
    shown = [
        {
            "row": worker,
            "health": health(worker),
            "tone": HEALTH_TONES[health(worker)],
            "slots": worker.slots,
            "used": worker.used,  # type: ignore[attr-defined]  # annotated
            "pictures": pictures_words(worker),
            "beat": age_words((now - worker.last_beat_at).total_seconds()),
        }
        for worker in found
    ]
    order = list(HEALTH_TONES)
    return sorted(shown, key=lambda w: order.index(str(w["health"])))[:SHOWN_WORKERS]


def _failures(now: datetime) -> list[dict[str, Any]]:
    failed = (
        Session.objects.filter(status=SessionState.FAILED.value)
        .select_related("character")
        .order_by("-ended_at")[:SHOWN_FAILURES]
    )
    return [
        {
            "session": session,
            "words": sentence(session.end_reason),
            "age": age_words((now - (session.ended_at or now)).total_seconds()),
        }
        for session in failed
    ]


def _latencies(now: datetime) -> list[LatencyFigures]:
    """Percentiles of what the workers reported, and of how long sessions took to come up."""
    newest = SessionEvent.objects.filter(kind=EventKind.LATENCY.value, at__gte=now - DAY)
    reported = list(newest.order_by("-id").values_list("data", flat=True)[:NEWEST_LATENCIES])
    begun = (
        Session.objects.filter(first_frame_at__gte=now - DAY)
        .order_by("first_frame_at")
        .values_list("created_at", "first_claimed_at", "first_frame_at")[:NEWEST_LATENCIES]
    )
    stages: list[dict[str, Any]] = []
    for created_at, claimed_at, first_frame_at in begun:
        assert first_frame_at is not None  # filtered
        stages.append({"name": "request to first picture", "ms": _ms(first_frame_at - created_at)})
        if claimed_at is not None:
            stages.append({"name": "request to claim", "ms": _ms(claimed_at - created_at)})
    return summarise([*stages, *reversed(reported)])


def _ms(duration: timedelta) -> float:
    return duration.total_seconds() * 1000


def _bars(now: datetime) -> list[Bar]:
    first = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)
    counted = (
        Session.objects.filter(created_at__gte=first)
        .order_by()
        .annotate(hour=TruncHour("created_at"))
        .values("hour")
        .annotate(n=Count("pk"), lost=Count("pk", filter=Q(status=SessionState.FAILED.value)))
    )
    by_hour = {row["hour"]: (row["n"], row["lost"]) for row in counted}
    most = max((n for n, _ in by_hour.values()), default=1)
    hours = [first + timedelta(hours=i) for i in range(HOURS)]
    return [
        Bar(hour, n, lost, round(BAR_HEIGHT * n / most), round(BAR_HEIGHT * lost / most))
        for hour in hours
        for n, lost in [by_hour.get(hour, (0, 0))]
    ]


def _processes(now: datetime) -> list[dict[str, Any]]:
    """Our own processes: whether they have given a sign of life lately."""
    return [
        {
            "name": process.name,
            "silent": (age_s := (now - process.seen_at).total_seconds()) > PROCESS_SILENT_S,
            "seen": age_words(age_s),
            "up_since": process.up_since,
        }
        for process in PlatformProcess.objects.order_by("name")
    ]
