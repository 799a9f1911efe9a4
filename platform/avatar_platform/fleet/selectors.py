"""Reads of the avatar workers."""

from typing import TYPE_CHECKING, TypeAlias, TypedDict

from django.db.models import Count, Q, QuerySet, Sum

from avatar_platform import clock
from avatar_platform.fleet.models import AvatarWorker

if TYPE_CHECKING:
    from django_stubs_ext import WithAnnotations

    class Used(TypedDict):
        """`used`: slots taken."""

        used: int

    Workers: TypeAlias = QuerySet[WithAnnotations[AvatarWorker, Used]]

_HOLDS = Q(sessions__status__in=["provisioning", "ready", "active"])


def living_workers(worker_class: str | None = None) -> "Workers":
    """Workers whose lease runs; each has `used`, the number of slots taken."""
    living = AvatarWorker.objects.filter(dead_at=None, lease_until__gt=clock.now())
    if worker_class is not None:
        living = living.filter(worker_class=worker_class)
    return living.annotate(used=Count("sessions", filter=_HOLDS))


def total_slots(worker_class: str) -> int:
    """Slots of all living workers of a class that take new sessions."""
    taking = living_workers(worker_class).filter(draining=False).order_by()
    return taking.values("slots").aggregate(sum=Sum("slots"))["sum"] or 0


def has_free_slot(worker_class: str) -> bool:
    return any(w.used < w.slots for w in living_workers(worker_class).filter(draining=False))


def list_workers() -> "Workers":
    """The workers that serve, and those that were lost lately, newest first."""
    return AvatarWorker.objects.annotate(used=Count("sessions", filter=_HOLDS)).order_by(
        "-started_at"
    )
