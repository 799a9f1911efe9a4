"""Accounts, keys and operators in the admin. A key's secret is shown once, when it is made."""

from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as StockGroupAdmin
from django.contrib.auth.admin import UserAdmin as StockUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from avatar_platform.access import services
from avatar_platform.access.models import ALL_SCOPES, Account, ApiKey
from avatar_platform.admin_tools import display
from avatar_platform.errors import PlatformError
from avatar_platform.sessions.models import OPEN

SCOPE_WORDS: Final = {
    "sessions:read": "see sessions, transcripts and events",
    "sessions:write": "start and end sessions, let characters speak",
    "characters:read": "see characters and voices",
    "characters:write": "add and change characters",
    "fleet:read": "see workers",
}

STATE_TONES: Final = {"in use": "success", "revoked": "danger", "expired": "warning"}


@admin.register(Account)
class AccountAdmin(ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    list_display = ("name", "slug", "is_active", "sessions_open", "usable_keys")
    list_filter = ("is_active",)
    search_fields = ("name", "slug")
    prepopulated_fields = {"slug": ("name",)}
    fields = ("name", "slug", "max_sessions", "is_active")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Account]:
        found: QuerySet[Account] = super().get_queryset(request)
        unexpired = Q(keys__expires_at=None) | Q(keys__expires_at__gt=timezone.now())
        return found.annotate(
            running=Count("sessions", filter=Q(sessions__status__in=OPEN), distinct=True),
            keys_in_use=Count("keys", filter=unexpired & Q(keys__revoked_at=None), distinct=True),
        )

    def has_delete_permission(self, request: HttpRequest, obj: Account | None = None) -> bool:
        """Deleting would take every session and character along; an account is switched off."""
        return False

    @display(description="Open sessions")
    def sessions_open(self, account: Account) -> str:
        return f"{account.running} of {account.max_sessions}"  # type: ignore[attr-defined]

    @display(description="Keys in use")
    def usable_keys(self, account: Account) -> int:
        return int(account.keys_in_use)  # type: ignore[attr-defined]  # annotated


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]  # generic at type-checking time only
    scopes = forms.MultipleChoiceField(
        choices=[(scope, f"{scope}: {SCOPE_WORDS[scope]}") for scope in ALL_SCOPES],
        initial=ALL_SCOPES,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="What a holder of this key may do, within its account.",
    )


@admin.register(ApiKey)
class ApiKeyAdmin(ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    """A key is issued, rotated and revoked; nothing of it can be edited."""

    form = ApiKeyForm
    list_display = ("state", "what", "account", "may", "last_used_at", "expires_at")
    list_display_links = ("what",)
    list_filter = ("account", ("revoked_at", admin.EmptyFieldListFilter))
    list_select_related = ("account",)
    search_fields = ("name", "prefix", "account__name")
    actions = ("rotate", "revoke")

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        chosen = ("account", "name", "scopes", "expires_at")
        return (*chosen, "prefix", "created_at", "last_used_at", "revoked_at") if obj else chosen

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    def has_issue_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("access.add_apikey")

    @display(description="State", label=STATE_TONES)
    def state(self, key: ApiKey) -> str:
        if key.revoked_at is not None:
            return "revoked"
        over = key.expires_at is not None and key.expires_at <= timezone.now()
        return "expired" if over else "in use"

    @display(description="Key", ordering="name", header=True)
    def what(self, key: ApiKey) -> tuple[str, str]:
        return key.name, f"{key.prefix}.…"

    @display(description="May")
    def may(self, key: ApiKey) -> str:
        return "everything" if set(key.scopes) == set(ALL_SCOPES) else ", ".join(key.scopes)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        """Issue the key. `response_add` shows its secret, which is kept nowhere else."""
        key, secret = services.issue_key(
            account=obj.account, name=obj.name, scopes=obj.scopes, expires_at=obj.expires_at
        )
        obj.pk = key.pk
        request.issued = (key, secret)  # type: ignore[attr-defined]  # for this one answer

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        page: HttpResponse
        try:
            page = super().add_view(request, form_url, extra_context)
        except PlatformError as error:
            messages.error(request, f"No key was made: {error.message}.")
            # The same page again, empty, with the reason on top.
            request.method = "GET"
            page = super().add_view(request, form_url, extra_context)
        return page

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        key, secret = request.issued  # type: ignore[attr-defined]  # set by save_model
        return self._show_once(request, [(key, secret)])

    @admin.action(
        description="Rotate: issue a second key; revoke the old one when replaced",
        permissions=("issue",),
    )
    def rotate(self, request: HttpRequest, chosen: QuerySet[ApiKey]) -> HttpResponse | None:
        issued = []
        for key in chosen.select_related("account"):
            try:
                issued.append(
                    services.issue_key(account=key.account, name=key.name, scopes=key.scopes)
                )
            except PlatformError as error:
                messages.error(request, f"{key.name}: {error.message}.")
        return self._show_once(request, issued) if issued else None

    @admin.action(description="Revoke now", permissions=("issue",))
    def revoke(self, request: HttpRequest, chosen: QuerySet[ApiKey]) -> None:
        for key in chosen:
            services.revoke_key(key=key)
        messages.success(request, "Revoked: these keys open nothing any more.")

    def _show_once(self, request: HttpRequest, issued: list[tuple[ApiKey, str]]) -> HttpResponse:
        """The secrets in the answer itself: no cookie, no session, no log holds them."""
        context = {
            **self.admin_site.each_context(request),
            "issued": issued,
            "title": "Your new key",
        }
        response = TemplateResponse(request, "web/admin/key_issued.html", context)
        response.headers["Cache-Control"] = "no-store"
        return response


admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(StockUserAdmin, ModelAdmin):  # type: ignore[misc, type-arg]  # unfold is untyped
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(StockGroupAdmin, ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    pass
