"""`python manage.py doctor`: what a conversation still needs here, and what to do about it."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from avatar_platform import clock, health
from avatar_platform.access.models import ApiKey
from avatar_platform.access.services import demo_account
from avatar_platform.characters.selectors import startable_characters
from avatar_platform.errors import UnavailableError


class Check(NamedTuple):
    """Something that must be so.

    Attributes:
        name: of what is looked at.
        look: raises `UnavailableError` with what is wrong.
        cure: what to do then.
    """

    name: str
    look: Callable[[], None]
    cure: str


def _migrations() -> None:
    executor = MigrationExecutor(connection)
    waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if waiting:
        raise UnavailableError(f"{len(waiting)} migrations have not been applied")


def _characters() -> None:
    if not startable_characters(demo_account()).exists():
        raise UnavailableError("no character is published with a valid consent")


def _keys() -> None:
    if not ApiKey.objects.filter(ApiKey.is_usable_at(clock.now())).exists():
        raise UnavailableError("there is no API key in use")


CHECKS: Final = (
    Check("database", connection.ensure_connection, "start it, or set DATABASE_URL"),
    Check("migrations", _migrations, "python manage.py migrate"),
    Check("Redis", health.check_redis, "start it, or set REDIS_URL"),
    Check("LiveKit", health.check_livekit,
          "start it, or set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET"),
    Check("control worker", health.check_control_worker,
          "celery -A avatar_platform worker -Q control, and celery -A avatar_platform beat"),
    Check("avatar worker", health.check_avatar_worker,
          "python -m avatar_worker run, with this PLATFORM_URL and WORKER_TOKEN"),
    Check("character", _characters,
          "python manage.py import_character BUNDLE --consent person (or synthetic)"),
    Check("API key", _keys, "python manage.py create_api_key NAME"),
)  # fmt: skip
"""Each rests on those before it."""


class Command(BaseCommand):
    help = "Say what a conversation still needs here, and what to do about it."
    requires_system_checks = ()  # what they find stops other commands, this one reports

    def handle(self, *args: Any, **options: Any) -> None:
        faults = 0
        for check in CHECKS:
            found = health.outcome(check.look)
            if found == "ok":
                self.stdout.write(f"ok       {check.name}")
            else:
                faults += 1
                self.stdout.write(f"missing  {check.name}: {found}\n         → {check.cure}")
        if faults:
            raise CommandError(f"{faults} of {len(CHECKS)} are missing")
        self.stdout.write("A conversation can begin.")
