"""What the admins share: unfold's `display`, typed, and rows that are only looked at."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.decorators import display as untyped_display

F = TypeVar("F", bound=Callable[..., Any])


def display(**options: Any) -> Callable[[F], F]:
    """`description`, `ordering`, `boolean`, `header` and `label` (a value's tone), as in unfold."""

    def decorate(function: F) -> F:
        decorated: F = untyped_display(**options)(function)
        return decorated

    return decorate


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    """For records that the product writes: long lists, no forms, nothing deleted by hand."""

    list_per_page = 50
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
