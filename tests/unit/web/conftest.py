"""The platform without engines: fake gateways, memory for cache and channel layer."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from django.core.cache import cache

from avatar_platform import gateways
from avatar_platform.access.models import Account
from avatar_platform.access.services import demo_account
from avatar_platform.characters.models import Character, CharacterVersion, ConsentKind
from avatar_platform.characters.services import publish, record_consent
from avatar_platform.config import get_settings
from tests.fakes.gateways import FakeCommands, FakeTasks
from tests.fakes.livekit import FakeRooms


@dataclass(frozen=True)
class World:
    """Everything around the platform."""

    rooms: FakeRooms
    commands: FakeCommands
    tasks: FakeTasks


@pytest.fixture(autouse=True)
def world(settings, monkeypatch: pytest.MonkeyPatch, tmp_path) -> Iterator[World]:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    settings.MEDIA_ROOT = tmp_path
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick
    monkeypatch.setenv("DEMO_PAGE", "true")
    get_settings.cache_clear()
    cache.clear()
    made = World(FakeRooms(), FakeCommands(), FakeTasks())
    with gateways.use(gateways.Gateways(made.rooms, made.commands, made.tasks)):
        yield made
    get_settings.cache_clear()
    cache.clear()


@pytest.fixture
def demo(db) -> Account:
    return demo_account()


def published(slug: str, name: str, account: Account | None = None) -> Character:
    """A character that may be shown now."""
    character = Character.objects.create(
        slug=slug, name=name, account=account, description=f"{name} answers questions."
    )
    version = CharacterVersion.objects.create(character=character, number=1, engine="synctalk")
    record_consent(character=character, kind=ConsentKind.SYNTHETIC, subject="a drawing")
    publish(version=version)
    return character


@pytest.fixture
def mira(db) -> Character:
    return published("mira", "Mira")
