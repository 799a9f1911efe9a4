"""Workers in the admin, read only: who lives, what they hold, how their sessions are doing."""

import uuid
from typing import Any, Final

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from avatar_platform.admin_tools import ReadOnlyAdmin, display
from avatar_platform.characters.models import CharacterVersion
from avatar_platform.fleet.models import AvatarWorker
from avatar_platform.fleet.selectors import list_workers

HEALTH_TONES: Final = {
    "serving": "success",
    "draining": "warning",
    "silent": "danger",
    "gone": "",
}


def health(worker: AvatarWorker) -> str:
    """One word: serving, draining, silent (its lease has run out), gone (given up)."""
    if worker.dead_at is not None:
        return "gone"
    if worker.lease_until < timezone.now():
        return "silent"
    return "draining" if worker.draining else "serving"


@admin.register(AvatarWorker)
class AvatarWorkerAdmin(ReadOnlyAdmin):
    """Each row is one incarnation of a process; a restart is another row."""

    list_display = ("state", "what", "slots_taken", "pictures", "last_beat", "worker_class")
    list_filter = ("worker_class", "draining", ("dead_at", admin.EmptyFieldListFilter))
    search_fields = ("id", "host", "device")
    list_before_template = "web/admin/list_live.html"
    change_form_template = "web/admin/worker.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[AvatarWorker]:
        return list_workers()

    @display(description="State", label=HEALTH_TONES)
    def state(self, worker: AvatarWorker) -> str:
        return health(worker)

    @display(description="Worker", ordering="host", header=True)
    def what(self, worker: AvatarWorker) -> tuple[str, str]:
        return worker.host or worker.pk, worker.device or "unknown device"

    @display(description="Slots taken", ordering="slots")
    def slots_taken(self, worker: AvatarWorker) -> str:
        return f"{worker.used} of {worker.slots}"  # type: ignore[attr-defined]  # annotated

    @display(description="Pictures")
    def pictures(self, worker: AvatarWorker) -> str:
        return pictures_words(worker)

    @display(description="Last beat", ordering="last_beat_at")
    def last_beat(self, worker: AvatarWorker) -> str:
        return age_words((timezone.now() - worker.last_beat_at).total_seconds())

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        worker = self.get_queryset(request).filter(pk=object_id).first()
        context = {"worker": worker, **(describe(worker) if worker else {})}
        return super().change_view(
            request, object_id, form_url, {**context, **(extra_context or {})}
        )


def pictures_words(worker: AvatarWorker) -> str:
    """The slowest of its sessions, in pictures a second."""
    rates = [told["fps"] for told in worker.figures if isinstance(told.get("fps"), int | float)]
    return f"{min(rates):.1f} fps" if rates else "—"


def age_words(age_s: float) -> str:
    if age_s < 10:
        return f"{max(0.0, age_s):.1f} s ago"
    if age_s < 120:
        return f"{age_s:.0f} s ago"
    return f"{age_s / 60:.0f} min ago" if age_s < 7200 else f"{age_s / 3600:.0f} h ago"


def describe(worker: AvatarWorker) -> dict[str, Any]:
    """What the worker's page shows beside the row itself."""
    told = {figures.get("session"): figures for figures in worker.figures}
    held = worker.sessions.filter(status__in=["provisioning", "ready", "active"])
    loaded = [name for name in worker.characters if _is_uuid(name)]
    versions = CharacterVersion.objects.filter(pk__in=loaded).select_related("character")
    return {
        "health": health(worker),
        "tone": HEALTH_TONES[health(worker)],
        "beat_age": age_words((timezone.now() - worker.last_beat_at).total_seconds()),
        "held": [
            (session, told.get(str(session.pk)))
            for session in held.select_related("character").order_by("claimed_at")
        ],
        "versions": list(versions),
        "title": worker.host or worker.pk,
        "subtitle": None,
        "show_history": False,
    }


def _is_uuid(name: object) -> bool:
    """What a worker tells is not trusted to be an id."""
    try:
        uuid.UUID(str(name))
    except ValueError:
        return False
    return True
