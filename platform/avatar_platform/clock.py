"""The one clock that decides: the database's. Every process judges leases and deadlines by it."""

from datetime import UTC, datetime

from django.db import connection


def now() -> datetime:
    """The database's time (UTC). SQLite has none of its own and uses this machine's.

    A transaction in PostgreSQL does not stop it: the statement's time is taken.
    """
    if connection.vendor != "postgresql":
        return datetime.now(UTC)
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        (value,) = cursor.fetchone()
    return value.astimezone(UTC)  # type: ignore[no-any-return]  # the driver's row is untyped
