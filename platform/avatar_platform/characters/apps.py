from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class CharactersConfig(AppConfig):
    name = "avatar_platform.characters"
    label = "characters"
    verbose_name = "Characters"

    def ready(self) -> None:
        post_migrate.connect(_ensure_built_in, sender=self)


def _ensure_built_in(**_: Any) -> None:
    """The test card is there wherever the tables are."""
    from avatar_platform.characters.services import ensure_test_card

    ensure_test_card()
