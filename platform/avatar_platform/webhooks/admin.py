"""Webhooks in the admin, read only: who hears of what, and every message on its way there."""

from typing import Any, Final

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format

from avatar_platform.admin_tools import ReadOnlyAdmin, display
from avatar_platform.webhooks import services
from avatar_platform.webhooks.models import Delivery, Endpoint

TONES: Final = {"delivered": "success", "waiting": "warning", "given up": "danger"}


@admin.register(Endpoint)
class EndpointAdmin(ReadOnlyAdmin):
    """Applications add theirs over REST, where they are shown the secret; here they are removed."""

    list_display = ("url", "account", "hears", "created_at")
    list_filter = ("account",)
    search_fields = ("url",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return admin.ModelAdmin.has_delete_permission(self, request, obj)

    @display(description="Hears of")
    def hears(self, endpoint: Endpoint) -> str:
        return ", ".join(endpoint.events) or "everything"


class _OutcomeFilter(admin.SimpleListFilter):
    title = "outcome"
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(word, word) for word in TONES]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Delivery]
    ) -> QuerySet[Delivery] | None:
        chosen = {
            "delivered": Q(delivered_at__isnull=False),
            "waiting": Q(next_attempt_at__isnull=False),
            "given up": Q(delivered_at=None, next_attempt_at=None),
        }
        return queryset.filter(chosen[value]) if (value := self.value()) in chosen else None


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    """What was given up stays here until somebody has it tried again."""

    list_display = ("state", "kind", "address", "begun", "attempts", "last_outcome")
    list_filter = (_OutcomeFilter, "kind", "account")
    search_fields = ("id", "url")
    actions = ("try_again",)

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("webhooks.change_delivery")

    @display(description="State", label=TONES)
    def state(self, delivery: Delivery) -> str:
        if delivery.delivered_at is not None:
            return "delivered"
        return "given up" if delivery.is_dead else "waiting"

    @display(description="Address", ordering="url", header=True)
    def address(self, delivery: Delivery) -> tuple[str, str]:
        return delivery.url, str(delivery.pk)

    @display(description="Begun", ordering="created_at")
    def begun(self, delivery: Delivery) -> str:
        return date_format(timezone.localtime(delivery.created_at), "j M H:i:s")

    @admin.action(description="Try the selected messages again", permissions=("retry",))
    def try_again(self, request: HttpRequest, chosen: QuerySet[Delivery]) -> None:
        again = sum(services.revive(delivery) for delivery in chosen)
        messages.success(request, f"{again} messages are tried again; the others had arrived.")
