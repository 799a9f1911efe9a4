"""`/healthz`: the process answers. `/readyz`: it can serve. `/metrics`: figures for Prometheus."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

from django.db import Error, connection
from django.db.models import Count, F, Sum
from django.http import HttpRequest, HttpResponse, JsonResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from avatar_contracts.states import SessionState
from avatar_platform import clock
from avatar_platform.errors import UnavailableError
from avatar_platform.fleet.leases import REAPER
from avatar_platform.fleet.models import PlatformProcess
from avatar_platform.fleet.selectors import living_workers
from avatar_platform.gateways import gateways
from avatar_platform.sessions.models import Session

REAPER_SILENT_AFTER_S: Final = 10


def healthz(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> HttpResponse:
    """503 while a session could not even be requested; the rest is told beside it."""
    needed = {"database": _check_database, "redis": check_redis}
    told = {
        "livekit": check_livekit,
        "control_worker": check_control_worker,
        "avatar_worker": check_avatar_worker,
    }
    found = {name: outcome(check) for name, check in {**needed, **told}.items()}
    is_ready = all(found[name] == "ok" for name in needed)
    return JsonResponse(
        {"status": "ok" if is_ready else "unavailable", "checks": found},
        status=200 if is_ready else 503,
    )


def outcome(check: Callable[[], None]) -> str:
    """`ok`, or what a check found wrong."""
    try:
        check()
    except UnavailableError as error:
        return error.message
    except Error as error:
        return f"the database does not answer ({type(error).__name__})"
    return "ok"


def _check_database() -> None:
    connection.ensure_connection()
    PlatformProcess.objects.exists()


def check_redis() -> None:
    gateways().commands.ping()


def check_livekit() -> None:
    gateways().rooms.list_rooms()


def check_control_worker() -> None:
    recent = clock.now() - timedelta(seconds=REAPER_SILENT_AFTER_S)
    if not PlatformProcess.objects.filter(name=REAPER, seen_at__gt=recent).exists():
        raise UnavailableError("no control worker with a beat is running")


def check_avatar_worker() -> None:
    if not living_workers().exists():
        raise UnavailableError("no avatar worker is alive")


class DatabaseFigures(Collector):
    """What the database knows, read at each scrape: true whichever process is asked."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        sessions = GaugeMetricFamily(
            "avatar_sessions",
            "Sessions by state; the over ones of the last hour.",
            labels=["state"],
        )
        recent = Session.objects.exclude(ended_at__lt=clock.now() - timedelta(hours=1))
        counted = dict(recent.order_by().values_list("status").annotate(Count("pk")))
        for state in SessionState:
            sessions.add_metric([state.value], counted.get(state.value, 0))
        yield sessions
        requeues = recent.aggregate(sum=Sum(F("epoch") - 1))["sum"] or 0
        yield GaugeMetricFamily(
            "avatar_session_requeues", "Hand-overs of these sessions to another worker.", requeues
        )
        workers = list(living_workers())
        yield GaugeMetricFamily("avatar_workers", "Avatar workers alive.", len(workers))
        slots = GaugeMetricFamily("avatar_slots", "Slots of the living workers.", labels=["use"])
        used = sum(worker.used for worker in workers)
        slots.add_metric(["taken"], used)
        slots.add_metric(["free"], sum(worker.slots for worker in workers) - used)
        yield slots

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing is known before the first scrape."""
        return []


REGISTRY.register(DatabaseFigures())


def metrics(request: HttpRequest) -> HttpResponse:
    return HttpResponse(generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)
