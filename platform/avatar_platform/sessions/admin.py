"""Sessions in the admin: what they do now, what happened in them, and the way to end them."""

from typing import Any, Final
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.formats import date_format
from django.views.decorators.http import require_POST

from avatar_contracts.states import EndReason, SessionState
from avatar_platform.admin_tools import ReadOnlyAdmin, display
from avatar_platform.sessions import selectors, services, timeline
from avatar_platform.sessions.models import Session
from avatar_platform.sessions.words import sentence

STATE_TONES: Final = {
    SessionState.QUEUED.value: "info",
    SessionState.PROVISIONING.value: "warning",
    SessionState.READY.value: "primary",
    SessionState.ACTIVE.value: "success",
    SessionState.ENDING.value: "warning",
    SessionState.FAILED.value: "danger",
}


@admin.register(Session)
class SessionAdmin(ReadOnlyAdmin):
    """Every change of a session goes through `services.py`; rows stay for the records, their
    content is erased on the session's page."""

    list_display = ("state", "who", "begun", "lasted", "where", "outcome")
    list_filter = ("status", "character", "account", "end_reason", "created_at")
    list_select_related = ("character", "account", "worker")
    search_fields = ("id", "room", "worker__host", "worker__id", "character__name")
    search_help_text = "session id, room, worker or character"
    ordering = ("-created_at",)
    actions = ("end_selected",)
    list_before_template = "web/admin/list_live.html"
    change_form_template = "web/admin/session.html"

    def has_end_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("avatar_sessions.change_session")

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(
                f"<uuid:session_id>/{verb}/",
                self.admin_site.admin_view(view),
                name=f"avatar_sessions_session_{verb}",
            )
            for verb, view in (("end", self.end_view), ("erase", self.erase_view))
        ]
        return [*own, *super().get_urls()]

    # --- the list ---

    @display(description="State", ordering="status", label=STATE_TONES)
    def state(self, session: Session) -> str:
        return session.status

    @display(description="Character", ordering="character__name", header=True)
    def who(self, session: Session) -> tuple[str, str]:
        name = session.character.name if session.character else "deleted character"
        return name, f"for {session.account.name}"

    @display(description="Begun", ordering="created_at")
    def begun(self, session: Session) -> str:
        return date_format(timezone.localtime(session.created_at), "j M H:i:s")

    @display(description="Lasted")
    def lasted(self, session: Session) -> str:
        if session.ready_at is None:
            return "—"
        return timeline.duration_words(session.ready_at, session.ended_at)

    @display(description="Worker", ordering="worker__host")
    def where(self, session: Session) -> str:
        if session.worker is None:
            return "—"
        again = f", attempt {session.epoch}" if session.epoch > 1 else ""
        return f"{session.worker.host or session.worker.pk}{again}"

    @display(description="Outcome", ordering="end_reason")
    def outcome(self, session: Session) -> str:
        return sentence(session.end_reason) if session.end_reason else "—"

    @admin.action(description="End the selected sessions now", permissions=("end",))
    def end_selected(self, request: HttpRequest, chosen: QuerySet[Session]) -> None:
        ended = sum(
            services.end_session(session_id=pk, reason=EndReason.ADMIN_STOPPED)
            for pk in chosen.values_list("pk", flat=True)
        )
        messages.success(request, f"{ended} sessions are ending; the others were over already.")

    # --- the page of one session ---

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        found = self.get_queryset(request).select_related(
            "character", "account", "worker", "version"
        )
        try:
            session = found.filter(pk=object_id).first()
        except ValidationError:  # no UUID
            session = None
        if session is None:
            raise Http404("no such session")
        context = {
            "session": session,
            "shown": selectors.describe(session),
            "tone": STATE_TONES.get(session.status, ""),
            "end_words": sentence(session.end_reason) if session.end_reason else "",
            "expression": timeline.option_words(session.expression),
            "picture": timeline.option_words(session.picture),
            "lasted": timeline.duration_words(session.ready_at, session.ended_at),
            "moments": timeline.moments(session),
            "lines": timeline.lines(session),
            "latencies": timeline.session_latencies(session),
            "figures": timeline.figures(session),
            "may_end": self.has_end_permission(request),
            "title": str(session.character or "Session"),
            "subtitle": None,
            "show_history": False,
        }
        page: HttpResponse = super().change_view(
            request, object_id, form_url, {**context, **(extra_context or {})}
        )
        return page

    @method_decorator(require_POST)
    def end_view(self, request: HttpRequest, session_id: UUID) -> HttpResponse:
        session = self._to_be_changed(request, session_id)
        if services.end_session(session_id=session.pk, reason=EndReason.ADMIN_STOPPED):
            messages.success(request, "The session is ending.")
        else:
            messages.info(request, "The session was ending or over already.")
        return self._back(session)

    @method_decorator(require_POST)
    def erase_view(self, request: HttpRequest, session_id: UUID) -> HttpResponse:
        session = self._to_be_changed(request, session_id)
        services.erase_session(session=session)
        messages.success(request, "What was said and what happened in this session is erased.")
        return self._back(session)

    def _to_be_changed(self, request: HttpRequest, session_id: UUID) -> Session:
        if not self.has_end_permission(request):
            raise PermissionDenied
        session = Session.objects.filter(pk=session_id).first()
        if session is None:
            raise Http404("no such session")
        return session

    def _back(self, session: Session) -> HttpResponse:
        return HttpResponseRedirect(
            reverse("admin:avatar_sessions_session_change", args=[session.pk])
        )
