"""Says to somebody at a command line in one sentence what the domain or the database refuses."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import CommandError
from django.db import OperationalError, ProgrammingError

from avatar_platform.errors import PlatformError


@contextmanager
def in_a_sentence() -> Iterator[None]:
    """Around what a command does.

    Raises:
        CommandError: something was refused, or the database cannot be used.
    """
    try:
        yield
    except PlatformError as error:
        raise CommandError(error.message) from error
    except (OperationalError, ProgrammingError) as error:
        found = str(error).partition("\n")[0]
        raise CommandError(f"the database says: {found}; did `manage.py migrate` run?") from error
