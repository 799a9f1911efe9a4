"""`python -m agent_worker`: what is wrong is said at once, in one sentence."""

from pathlib import Path

import pytest
from livekit.agents import AgentServer

from agent_worker import server
from agent_worker.__main__ import main
from agent_worker.config import AgentSettings

pytestmark = pytest.mark.component


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # no .env
    for name in AgentSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr("agent_worker.__main__.settings", AgentSettings.read)
    monkeypatch.setattr("agent_worker.__main__.configure_logging", lambda _: None)


@pytest.mark.parametrize(("argument", "code"), [("--help", 0), ("--nonsense", 2)])
def test_arguments_are_read_before_anything_else(
    argument: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # They were ignored, and the worker tried for two minutes to reach LiveKit.
    monkeypatch.setattr("agent_worker.__main__.settings", lambda: pytest.fail("it went on"))
    with pytest.raises(SystemExit) as ended:
        main([argument])
    assert ended.value.code == code


@pytest.mark.parametrize(
    ("provider", "needed"), [("gemini", "GOOGLE_API_KEY"), ("openai", "OPENAI_BASE_URL")]
)
def test_a_provider_without_credentials_is_refused_at_the_start(
    provider: str, needed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENT_PROVIDER", provider)
    assert main([]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"agent worker: AGENT_PROVIDER={provider} needs {needed}")


def test_without_livekit_the_last_word_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    build = server.build_server

    def impatient(*given: object) -> AgentServer:
        made = build(*given)  # type: ignore[arg-type]
        made._max_retry = 0
        return made

    monkeypatch.setattr(server, "build_server", impatient)
    monkeypatch.setenv("LIVEKIT_URL", "ws://127.0.0.1:9")
    monkeypatch.setenv("AGENT_HEALTH_PORT", "0")
    monkeypatch.setenv("AVATAR_CACHE_DIR", str(tmp_path))
    assert main([]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("agent worker: LIVEKIT_URL ws://127.0.0.1:9: failed to connect")
