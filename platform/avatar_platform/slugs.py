"""What may be a slug, for those that come in without a form or a schema."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from avatar_platform.errors import InvalidRequestError


def require_slug(field: "models.Field[Any, Any]", slug: str) -> None:
    """Refuse what the column would take and no address can hold.

    Raises:
        InvalidRequestError: it is empty, too long, or has other characters.
    """
    try:
        field.clean(slug, None)
    except ValidationError:
        raise InvalidRequestError(
            f"a slug is 1 to {field.max_length} letters of a to z, digits, - and _; "
            f"found {slug[:80]!r}",
            field="slug",
        ) from None
