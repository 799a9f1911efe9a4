"""What stands around the API: its description, health, metrics, headers, words."""

import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from avatar_contracts.states import EndReason
from avatar_platform.errors import ErrorCode
from avatar_platform.fleet.leases import REAPER, give_sign
from avatar_platform.sessions import words
from avatar_platform.sessions.management.commands.export_openapi import DEFAULT_PATH, openapi_text
from tests import factories
from tests.unit.platform.conftest import Worker, World, bring_up

pytestmark = [pytest.mark.component, pytest.mark.django_db]


def test_the_committed_description_is_the_codes_own() -> None:
    assert DEFAULT_PATH.read_text() == openapi_text(), "run `manage.py export_openapi`"
    call_command("export_openapi", check=True)


def test_the_description_is_written_anywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "o.json"
    call_command("export_openapi", out=path)
    assert path.read_text() == openapi_text()
    assert capsys.readouterr().out == f"wrote {path}\n"


def test_the_demo_names_the_variables_that_it_lacks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ADMIN_PASSWORD", "secret")
    for name in ("ADMIN_USERNAME", "DEMO_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(CommandError, match="ADMIN_USERNAME, DEMO_API_KEY: expected"):
        call_command("prepare_demo", personas=tmp_path)


def test_the_description_is_openapi_3_1_and_errors_are_problems(client) -> None:
    described = client.get("/api/v1/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    create = described["paths"]["/api/v1/sessions"]["post"]
    assert "application/problem+json" in create["responses"]["409"]["content"]
    assert described["components"]["schemas"]["ErrorCode"]["enum"] == [c.value for c in ErrorCode]
    assert create["security"] == [{"ApiKeyAuth": []}]


def test_the_readable_docs_load_nothing_from_elsewhere(client) -> None:
    page = client.get("/api/v1/docs")
    assert page.status_code == 200
    assert b"https://" not in page.content
    policy = page["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe-eval" not in policy


def test_healthz_answers_whatever_else_is_down(client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}


def test_readyz_tells_what_is_missing(client, world: World, worker: Worker) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200, "sessions can be requested, although nobody serves them"
    assert answer.json()["checks"]["avatar_worker"] == "no avatar worker is alive"
    give_sign(REAPER)
    worker.beat()
    assert set(client.get("/readyz").json()["checks"].values()) == {"ok"}
    world.commands.is_away = True
    assert client.get("/readyz").status_code == 503


def test_the_doctor_says_what_is_missing_and_what_to_do(
    ada: factories.Person, world: World, worker: Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    world.commands.is_away = True
    with pytest.raises(CommandError, match="3 of 8 are missing"):
        call_command("doctor")
    said = capsys.readouterr().out
    assert "ok       database\nok       migrations\nmissing  Redis: " in said
    assert (
        "avatar worker: no avatar worker is alive\n         → python -m avatar_worker run" in said
    )
    world.commands.is_away = False
    give_sign(REAPER)
    worker.beat()
    call_command("doctor")
    assert capsys.readouterr().out.endswith("A conversation can begin.\n")


def test_metrics_count_sessions_workers_and_slots(
    client, world: World, worker: Worker, ada: factories.Person
) -> None:
    bring_up(world, worker, ada)
    told = client.get("/metrics").content.decode()
    assert 'avatar_sessions{state="ready"} 1.0' in told
    assert "avatar_workers 1.0" in told
    assert 'avatar_slots{use="taken"} 1.0' in told
    assert 'avatar_session_stage_seconds_count{stage="ready"}' in told


def test_the_workers_list_tells_who_serves(
    world: World, worker: Worker, ada: factories.Person
) -> None:
    bring_up(world, worker, ada)
    (listed,) = ada.get("/workers").json()["items"]
    assert (listed["alive"], listed["used"], listed["slots"]) == (True, 1, 2)
    world.clock.advance(3)
    assert not ada.get("/workers").json()["items"][0]["alive"]


@pytest.mark.parametrize("reason", EndReason)
def test_every_end_has_a_sentence_of_its_own(reason: EndReason) -> None:
    said = words.sentence(reason.value)
    assert said.endswith(".")
    assert reason is EndReason.UNKNOWN or said != words.sentence("")


def test_an_error_of_ours_is_a_problem_without_details(
    ada: factories.Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    from avatar_platform.sessions import selectors

    def broken(**_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(selectors, "list_sessions", broken)
    answer = ada.get("/sessions")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret detail" not in answer.content.decode()


def test_nothing_secret_is_logged(
    ada: factories.Person, worker: Worker, world: World, capsys: pytest.CaptureFixture[str], caplog
) -> None:
    from avatar_contracts.beat import EventKind
    from tests.unit.platform.conftest import tell

    session = bring_up(world, worker, ada, persona={"instructions": "the-prompt"})
    tell(session, EventKind.USER_TRANSCRIPTION, text="the-transcript", final=True)
    token = ada.post(f"/sessions/{session.pk}/token", {}).json()["token"]
    ada.post(f"/sessions/{session.pk}/say", {"text": "the-text"})
    written = "".join(capsys.readouterr()) + caplog.text
    assert str(session.pk) in written, "something must have been logged for this to mean anything"
    for secret in ("the-prompt", "the-transcript", "the-text", token, ada.secret.split(".")[1]):
        assert secret not in written


def test_deployed_over_tls_djangos_own_check_has_nothing_to_say(tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    env = {
        **os.environ,
        "PLATFORM_URL": "https://avatar.example.org",
        "DJANGO_SECRET_KEY": "k" * 30 + "0123456789abcdefghijklmnopqrstuvwxyz",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'x.sqlite3'}",
        "DJANGO_DEBUG": "false",
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        env=env,
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", ["/api/v1/nowhere", "/api/v1/sessions/abc", "/api/v2/sessions"])
def test_an_address_that_no_route_has_is_a_problem(client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "not_found"
    assert answer.json()["detail"] == f"there is nothing at {path}"


def test_a_method_that_no_route_has_is_a_problem_that_names_the_others(client) -> None:
    answer = client.delete("/api/v1/voices")
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET"
    assert answer.json()["code"] == "method_not_allowed"
    assert answer.json()["detail"] == "expected GET, found DELETE"


def test_a_host_that_is_not_ours_is_a_problem_that_says_so(client) -> None:
    answer = client.get("/api/v1/sessions", headers={"host": "web:8000"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert answer.json()["detail"] == "the host 'web:8000' is not among ALLOWED_HOSTS"


@override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=1000)
def test_a_body_that_is_too_large_is_a_problem(ada: factories.Person) -> None:
    body = json.dumps({"character": "test-card", "metadata": {"a": "b" * 2000}})
    answer = ada.post("/sessions", body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_while_redis_is_away_sessions_can_still_be_read(
    ada: factories.Person, settings, world: World
) -> None:
    # Port 9 (discard) is closed: every call of the cache fails at once.
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:9/0",
        }
    }
    world.commands.is_away = world.tasks.is_away = True
    assert ada.get("/sessions").status_code == 200
    answer = ada.post("/sessions", {"character": "test-card"})
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
