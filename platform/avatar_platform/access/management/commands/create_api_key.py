"""`python manage.py create_api_key NAME [--account SLUG] [--scope …] [--days N]`."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from avatar_platform import clock
from avatar_platform.access.models import ALL_SCOPES
from avatar_platform.access.services import issue_key, open_account
from avatar_platform.errors import PlatformError


class Command(BaseCommand):
    help = "Issue an API key. It is printed once and cannot be shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="what will use it")
        parser.add_argument("--account", default="default", help="slug; made when it is new")
        parser.add_argument(
            "--scope", action="append", choices=ALL_SCOPES, help="repeatable; default: all"
        )
        parser.add_argument("--days", type=int, help="days until it expires; default: never")

    def handle(self, *args: Any, **options: Any) -> None:
        slug = options["account"]
        expires_at = clock.now() + timedelta(days=options["days"]) if options["days"] else None
        try:
            _, secret = issue_key(
                account=open_account(name=slug, slug=slug),
                name=options["name"],
                scopes=options["scope"] or ALL_SCOPES,
                expires_at=expires_at,
            )
        except PlatformError as error:
            raise CommandError(error.message) from error
        self.stdout.write(secret)
