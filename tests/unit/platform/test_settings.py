"""Settings: typed, checked, every one of them in `.env.example`."""

from pathlib import Path

import pytest
from pydantic import AliasChoices
from pydantic.fields import FieldInfo

from agent_worker.config import AgentSettings
from avatar_platform.config import PlatformSettings, SettingsError, get_settings
from avatar_platform.database import database_from_url
from avatar_worker.config import WorkerSettings

pytestmark = pytest.mark.unit
EXAMPLE = Path(__file__).parents[3] / ".env.example"


def variable(name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else name.upper()


def documented() -> dict[str, str]:
    lines = [line for line in EXAMPLE.read_text().splitlines() if line and line[0] != "#"]
    return dict(line.split("=", 1) for line in lines)


def known() -> dict[str, set[str]]:
    """Variable → the defaults of all processes that read it, as text."""
    found: dict[str, set[str]] = {}
    for settings in (PlatformSettings, AgentSettings, WorkerSettings):
        for name, field in settings.model_fields.items():
            value = field.get_default()
            text = value.get_secret_value() if hasattr(value, "get_secret_value") else value
            shown = str(text).lower() if isinstance(text, bool) else str(text)
            required = field.is_required() or text is None
            found.setdefault(variable(name, field), set()).add("" if required else shown)
    return found


def test_every_variable_is_documented_and_no_other() -> None:
    assert set(documented()) == set(known())


def test_the_example_shows_the_defaults() -> None:
    wrong = {
        name: (value, known()[name])
        for name, value in documented().items()
        if value not in known()[name]
    }
    assert wrong == {"ALLOWED_HOSTS": wrong["ALLOWED_HOSTS"]} if wrong else True


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("AVATAR_FPS", "30", "only 25 is possible"),
        ("PLATFORM_URL", "avatar.example.org", "expected an address like https://"),
        ("LIVEKIT_URL", "localhost:7880", "expected an address like ws://"),
        ("PLATFORM_CREATE_RATE", "often", "PLATFORM_CREATE_RATE"),
        ("DJANGO_DEBUG", "maybe", "DJANGO_DEBUG"),
        ("AVATAR_WIDTH", "9", "AVATAR_WIDTH"),
    ],
)
def test_a_wrong_value_names_its_variable_and_what_is_expected(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    with pytest.raises(SettingsError) as refused:
        get_settings()
    assert name in str(refused.value)
    assert said in str(refused.value)
    monkeypatch.delenv(name)
    get_settings.cache_clear()


def test_no_secret_shows_in_the_settings_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_TOKEN", "s3cret-token")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:s3cret-word@h/n")
    assert "s3cret" not in repr(PlatformSettings())


def test_the_address_people_use_is_always_an_allowed_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATFORM_URL", "https://avatar.example.org/")
    settings = PlatformSettings()
    assert "avatar.example.org" in settings.hosts
    assert settings.is_secure


def test_sqlite_waits_for_its_write_lock_from_the_beginning(tmp_path: Path) -> None:
    made = database_from_url("sqlite:///var/x.sqlite3", tmp_path)
    assert made["NAME"] == tmp_path / "var" / "x.sqlite3"
    assert made["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    absolute = database_from_url(f"sqlite:///{tmp_path}/y.sqlite3", Path("/elsewhere"))
    assert absolute["NAME"] == tmp_path / "y.sqlite3"


def test_postgresql_parts_are_taken_apart(tmp_path: Path) -> None:
    made = database_from_url("postgresql://a:p%40ss@db:5433/avatar?sslmode=require", tmp_path)
    assert (made["USER"], made["PASSWORD"], made["HOST"], made["PORT"]) == ("a", "p@ss", "db", 5433)
    assert made["OPTIONS"]["sslmode"] == "require"


@pytest.mark.parametrize("url", ["mysql://h/n", "sqlite://", "postgresql://h"])
def test_another_database_is_refused_by_name(url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL"):
        database_from_url(url, tmp_path)
