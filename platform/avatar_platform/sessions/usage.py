"""`GET /usage`: how much an account talked."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final

from django.db.models import Count, F, Q, Sum
from django.db.models.fields import DurationField
from django.db.models.functions import TruncDate
from django.http import HttpRequest
from ninja import Query, Router, Schema
from pydantic import AwareDatetime, Field

from avatar_platform import clock
from avatar_platform.access.auth import ApiKeyAuth
from avatar_platform.access.models import Account, Scope
from avatar_platform.errors import InvalidRequestError
from avatar_platform.problems import answers
from avatar_platform.sessions.api import caller_of
from avatar_platform.sessions.models import Session

DEFAULT_DAYS: Final = 30
Moment = Annotated[
    AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), lt=datetime(2200, 1, 1, tzinfo=UTC))
]
router = Router(tags=["usage"])


class Day(Schema):
    day: date
    sessions: int
    ready: int
    failed: int
    seconds: int


class Usage(Schema):
    """`seconds`: with the face on screen, of sessions that are over."""

    since: datetime
    until: datetime
    sessions: int
    ready: int
    failed: int
    seconds: int
    days: list[Day]


def usage_of(account: Account, since: datetime, until: datetime) -> dict[str, Any]:
    """Sessions created in a span, by day (UTC)."""
    shown = Sum(
        F("ended_at") - F("ready_at"),
        filter=Q(ended_at__isnull=False, ready_at__isnull=False),
        output_field=DurationField(),
    )
    rows = (
        Session.objects.filter(account=account, created_at__gte=since, created_at__lt=until)
        .order_by()
        .annotate(day=TruncDate("created_at"))
        .values("day")
        .annotate(
            sessions=Count("pk"),
            ready=Count("pk", filter=Q(ready_at__isnull=False)),
            failed=Count("pk", filter=Q(status="failed")),
            shown=shown,
        )
        .order_by("day")
    )
    days = [
        {
            **{name: row[name] for name in ("day", "sessions", "ready", "failed")},
            "seconds": round((row["shown"] or timedelta()).total_seconds()),
        }
        for row in rows
    ]
    names = ("sessions", "ready", "failed", "seconds")
    totals = {name: sum(day[name] for day in days) for name in names}
    return {"since": since, "until": until, "days": days, **totals}


@router.get("", auth=ApiKeyAuth(Scope.SESSIONS_READ), response={200: Usage, **answers()})
def get_usage(
    request: HttpRequest,
    since: Annotated[Moment | None, Query()] = None,
    until: Annotated[Moment | None, Query()] = None,
) -> dict[str, Any]:
    """Your sessions of the last 30 days, or of a span, by day (UTC)."""
    end = until or clock.now()
    start = since or end - timedelta(days=DEFAULT_DAYS)
    if start > end:
        found = f"{start.isoformat()} after {end.isoformat()}"
        raise InvalidRequestError(f"expected since before until, found {found}", field="since")
    return usage_of(caller_of(request).account, start, end)
