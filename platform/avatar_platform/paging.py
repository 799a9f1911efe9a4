"""Cursor paging: newest first, stable while rows are added."""

import base64
import binascii
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from django.db.models import Model, Q, QuerySet

from avatar_platform.errors import InvalidRequestError

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200
M = TypeVar("M", bound=Model)


def page(
    rows: QuerySet[M], *, cursor: str | None, limit: int, show: Callable[[M], dict[str, Any]]
) -> dict[str, Any]:
    """One page of rows that have `created_at` and a UUID: `{items, next_cursor}`.

    The cursor names the last row seen, so a page never repeats or skips one.

    Raises:
        InvalidRequestError: the cursor is not one of ours.
    """
    if cursor:
        created_at, pk = _read(cursor)
        rows = rows.filter(Q(created_at__lt=created_at) | Q(created_at=created_at, pk__lt=pk))
    found = list(rows.order_by("-created_at", "-pk")[: limit + 1])
    more = len(found) > limit
    return {
        "items": [show(row) for row in found[:limit]],
        "next_cursor": _write(found[limit - 1]) if more else None,
    }


def _write(row: Any) -> str:
    return base64.urlsafe_b64encode(f"{row.created_at.isoformat()} {row.pk}".encode()).decode()


def _read(cursor: str) -> tuple[datetime, uuid.UUID]:
    try:
        moment, _, pk = base64.urlsafe_b64decode(cursor.encode()).decode().partition(" ")
        created_at = datetime.fromisoformat(moment)
        if created_at.tzinfo is None:
            raise ValueError("a time without a zone")
        return created_at.astimezone(UTC), uuid.UUID(pk)
    except (binascii.Error, UnicodeError, ValueError, OverflowError) as error:
        raise InvalidRequestError("the cursor is not one of ours", field="cursor") from error
