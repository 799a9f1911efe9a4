"""`python manage.py prepare_demo`: what `make demo` needs in the database, at every start."""

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from avatar_contracts.codec import to_json
from avatar_platform.access.services import adopt_key, demo_account
from avatar_platform.characters.models import Character, ConsentKind
from avatar_platform.characters.services import ensure_test_card
from avatar_platform.refusals import in_a_sentence
from avatar_platform.sessions.assignments import persona_of

VARIABLES: Final = ("ADMIN_USERNAME", "ADMIN_PASSWORD", "DEMO_API_KEY")
SHIPPED_CHARACTERS: Final = Path("avatar_worker/characters")


class Command(BaseCommand):
    help = (
        "Tables, admin user (ADMIN_USERNAME, ADMIN_PASSWORD), API key of the demo account "
        "(DEMO_API_KEY), the shipped characters, and the one that SYNCTALK_DATA_PATH points at; "
        "writes down their personas. Safe to repeat."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--personas", type=Path, required=True, help="folder to write them to")

    def handle(self, *args: Any, **options: Any) -> None:
        if unset := [name for name in VARIABLES if not os.environ.get(name)]:
            raise CommandError(f"{', '.join(unset)}: expected in the environment, and not set")
        call_command("migrate", interactive=False, verbosity=0)
        user, _ = get_user_model().objects.get_or_create(
            username=os.environ["ADMIN_USERNAME"],
            defaults={"is_staff": True, "is_superuser": True},
        )
        if not user.check_password(os.environ["ADMIN_PASSWORD"]):
            user.set_password(os.environ["ADMIN_PASSWORD"])
            user.save()
        with in_a_sentence():
            adopt_key(account=demo_account(), name="make demo", key=os.environ["DEMO_API_KEY"])
        ensure_test_card()
        for bundle in sorted(SHIPPED_CHARACTERS.glob("*/character.toml")):
            call_command(
                "import_character",
                str(bundle.parent),
                consent=ConsentKind.SYNTHETIC.value,
                stdout=self.stdout,
            )
        call_command("import_character", from_settings=True, stdout=self.stdout)
        options["personas"].mkdir(parents=True, exist_ok=True)
        for character in Character.objects.exclude(published_version=None):
            path = options["personas"] / f"{character.slug}.json"
            path.write_text(to_json(persona_of(character, {})))
