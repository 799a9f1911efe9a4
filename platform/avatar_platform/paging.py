"""Cursor paging: in one order, stable while rows are added."""

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from ninja import Query

from avatar_platform.errors import InvalidRequestError

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
M = TypeVar("M", bound=Model)


def page(
    rows: QuerySet[M],
    *,
    cursor: str | None,
    limit: int,
    show: Callable[[M], dict[str, Any]],
    by: str = "-created_at",
) -> dict[str, Any]:
    """One page of rows: `{items, next_cursor}`.

    The cursor names the last row seen, so a page never repeats or skips one.

    Args:
        by: the field that they are sorted by, and among equals by their key; `-`: descending.

    Raises:
        InvalidRequestError: the cursor is not one of ours.
    """
    sign, name = ("-", by[1:]) if by.startswith("-") else ("", by)
    if cursor:
        further = "lt" if sign else "gt"
        value, pk = _read(rows.model, name, cursor)
        behind = Q((f"{name}__{further}", value))
        rows = rows.filter(behind | Q((name, value), (f"pk__{further}", pk)))
    found = list(rows.order_by(by, f"{sign}pk")[: limit + 1])
    more = len(found) > limit
    return {
        "items": [show(row) for row in found[:limit]],
        "next_cursor": _write(found[limit - 1], name) if more else None,
    }


def _write(row: Any, name: str) -> str:
    value = getattr(row, name)
    value = value.isoformat() if isinstance(value, datetime) else value
    return base64.urlsafe_b64encode(f"{value} {row.pk}".encode()).decode()


def _read(model: Any, name: str, cursor: str) -> tuple[Any, Any]:
    """The field and the key of the last row seen; no time, slug or number has a space."""
    options = model._meta  # noqa: SLF001  # documented, whatever its name
    try:
        place = base64.urlsafe_b64decode(cursor.encode()).decode()
        text, _, pk = place.partition(" ")
        if "\0" in place:
            raise ValueError("PostgreSQL holds no NUL")
        value = options.get_field(name).to_python(text)
        if isinstance(value, datetime):
            if value.tzinfo is None:
                raise ValueError("a time without a zone")
            value = value.astimezone(UTC)
        return value, options.pk.to_python(pk)
    except (binascii.Error, UnicodeError, ValueError, OverflowError, ValidationError) as error:
        raise InvalidRequestError("the cursor is not one of ours", field="cursor") from error
