"""`python manage.py create_api_key NAME [--account SLUG] [--scope …] [--days N]`."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError

from avatar_platform import clock
from avatar_platform.access.models import ALL_SCOPES
from avatar_platform.access.services import issue_key, open_account
from avatar_platform.refusals import in_a_sentence

MAX_NAME: Final = 120
"""What its column holds."""
MAX_DAYS: Final = 36_500
"""A hundred years; calendars end not long after."""


class Command(BaseCommand):
    help = "Issue an API key. It is printed once and cannot be shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="what will use it")
        parser.add_argument("--account", default="default", help="slug; made when it is new")
        parser.add_argument(
            "--scope", action="append", choices=ALL_SCOPES, help="repeatable; default: all"
        )
        parser.add_argument(
            "--days", type=int, help=f"1 to {MAX_DAYS}, until it expires; default: never"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        slug, name, days = options["account"], options["name"].strip(), options["days"]
        if not 1 <= len(name) <= MAX_NAME:
            raise CommandError(f"expected a name of 1 to {MAX_NAME} characters, found {len(name)}")
        if days is not None and not 1 <= days <= MAX_DAYS:
            raise CommandError(f"expected --days of 1 to {MAX_DAYS}, found {days}")
        with in_a_sentence():
            _, secret = issue_key(
                account=open_account(name=slug, slug=slug),
                name=name,
                scopes=options["scope"] or ALL_SCOPES,
                expires_at=None if days is None else clock.now() + timedelta(days=days),
            )
        self.stdout.write(secret)
