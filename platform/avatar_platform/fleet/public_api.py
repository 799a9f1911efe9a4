"""`GET /workers`: who serves, how much room is left."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema

from avatar_platform import clock
from avatar_platform.access.auth import ApiKeyAuth
from avatar_platform.access.models import Scope
from avatar_platform.fleet.selectors import list_workers
from avatar_platform.paging import DEFAULT_LIMIT, Limit, page
from avatar_platform.problems import answers

router = Router(tags=["workers"])


class WorkerOut(Schema):
    id: str
    host: str
    device: str
    worker_class: str
    alive: bool
    draining: bool
    slots: int
    used: int
    started_at: datetime
    last_beat_at: datetime


class Workers(Schema):
    items: list[WorkerOut]
    next_cursor: str | None


@router.get("", auth=ApiKeyAuth(Scope.FLEET_READ), response={200: Workers, **answers()})
def get_workers(
    request: HttpRequest, cursor: str | None = None, limit: Limit = DEFAULT_LIMIT
) -> dict[str, Any]:
    """The avatar workers, newest first; those that were lost stay listed for a day."""
    now = clock.now()
    fields = ("host", "device", "worker_class", "draining", "slots", "started_at", "last_beat_at")

    def show(worker: Any) -> dict[str, Any]:
        return {
            "id": worker.pk,
            "alive": worker.dead_at is None and worker.lease_until > now,
            "used": worker.used,
            **{field: getattr(worker, field) for field in fields},
        }

    return page(list_workers(), cursor=cursor, limit=limit, show=show, by="-started_at")
