"""`python manage.py export_openapi [--check]`: the API's description as a file."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from avatar_platform.api import api
from avatar_platform.config import REPOSITORY_ROOT

DEFAULT_PATH = REPOSITORY_ROOT / "docs" / "openapi.json"


def openapi_text() -> str:
    """The description, the same bytes for the same code."""
    schema = api.get_openapi_schema(path_prefix="/api/v1/")
    return json.dumps(schema, indent=1, ensure_ascii=False, default=str) + "\n"


class Command(BaseCommand):
    help = "Write docs/openapi.json, or check that it is up to date."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true")
        parser.add_argument("--out", type=Path, default=DEFAULT_PATH)

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["out"]
        if options["check"]:
            if not path.exists() or path.read_text() != openapi_text():
                raise CommandError(f"{path.name} is out of date: run `manage.py export_openapi`")
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(openapi_text())
        self.stdout.write(f"wrote {path}")
