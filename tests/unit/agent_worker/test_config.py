"""Settings: defaults, aliases, and errors that name the variable."""

from pathlib import Path

import pytest

from agent_worker.config import AgentSettings
from agent_worker.errors import ProviderUnavailableError, SettingsError
from agent_worker.models import Models
from agent_worker.observability import drop_private
from agent_worker.providers.choice import make_provider
from tests.unit.agent_worker.cast import mira

pytestmark = pytest.mark.unit

NAMES = [
    "AGENT_PROVIDER",
    "GOOGLE_API_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GCP_PROJECT_ID",
    "VERTEX_PROJECT_ID",
    "GCP_REGION",
    "VERTEX_LOCATION",
    "LIVEKIT_URL",
    "PLATFORM_URL",
]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)  # no .env


def test_the_defaults_are_the_documented_ones() -> None:
    settings = AgentSettings.read()
    assert settings.livekit_url == "ws://localhost:7880"
    assert settings.gemini_model == "gemini-live-2.5-flash-preview-native-audio-09-2025"
    assert settings.gcp_region == "us-central1"
    assert settings.provider == "offline"


def test_a_key_makes_gemini_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", "k")
    assert AgentSettings.read().provider == "gemini"


def test_vertex_needs_project_and_service_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERTEX_PROJECT_ID", "p")
    assert AgentSettings.read().provider == "offline"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/etc/key.json")
    assert AgentSettings.read().provider == "gemini"


def test_what_was_asked_for_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", "k")
    monkeypatch.setenv("AGENT_PROVIDER", "offline")
    assert AgentSettings.read().provider == "offline"


def test_a_wrong_value_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_PROVIDER", "alexa")
    monkeypatch.setenv("LIVEKIT_URL", "localhost")
    with pytest.raises(SettingsError, match="LIVEKIT_URL: expected an address") as error:
        AgentSettings.read()
    assert "AGENT_PROVIDER" in str(error.value)


@pytest.mark.parametrize("provider", ["gemini", "openai"])
def test_a_provider_without_credentials_says_so(
    provider: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AGENT_PROVIDER", provider)
    monkeypatch.setenv("AVATAR_CACHE_DIR", str(tmp_path))
    settings = AgentSettings.read()
    with pytest.raises(ProviderUnavailableError) as error:
        make_provider(settings, Models(settings), mira())
    assert error.value.reason == "credentials"


def test_what_was_said_never_reaches_a_log_line() -> None:
    event = {"event": "turn", "lk.pii.user_input": "my secret", "delay": 1}
    assert drop_private(None, "info", event) == {"event": "turn", "delay": 1}
