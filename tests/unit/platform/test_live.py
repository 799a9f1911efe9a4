"""What watchers of a session are pushed."""

from typing import Any

import pytest

from avatar_contracts.beat import EventKind
from avatar_platform.sessions import live, reaping
from avatar_platform.sessions.models import Session
from tests import factories
from tests.unit.platform.conftest import Worker, World, bring_up, tell

pytestmark = [pytest.mark.component, pytest.mark.django_db]


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """(session, message) of everything sent to the channel layer."""
    sent: list[tuple[str, dict[str, Any]]] = []

    async def collect(messages: list[tuple[object, dict[str, Any]]]) -> None:
        sent.extend((str(session), message) for session, message in messages)

    monkeypatch.setattr(live, "_send_all", collect)
    return sent


def test_changes_lines_latencies_and_events_are_pushed_after_the_commit(
    ada: factories.Person,
    worker: Worker,
    world: World,
    pushed: list[tuple[str, dict[str, Any]]],
    django_capture_on_commit_callbacks,
) -> None:
    session = bring_up(world, worker, ada)
    assert pushed == [], "nothing is pushed before the commit"
    with django_capture_on_commit_callbacks(execute=True):
        tell(session, EventKind.USER_JOINED)
        tell(session, EventKind.USER_TRANSCRIPTION, text="Hel", final=False)
        tell(session, EventKind.LATENCY, name="answer_ms", ms=412)
    kinds = [message["type"] for _, message in pushed]
    assert kinds == ["event", "session", "transcript", "latency"]
    assert pushed[1][1]["status"] == "active"
    assert (pushed[2][1]["text"], pushed[2][1]["final"]) == ("Hel", False)
    assert (pushed[3][1]["name"], pushed[3][1]["ms"]) == ("answer_ms", 412)
    assert {name for name, _ in pushed} == {str(session.pk)}


def test_whoever_waits_is_told_when_the_place_has_changed_and_only_then(
    ada: factories.Person,
    world: World,
    pushed: list[tuple[str, dict[str, Any]]],
    django_capture_on_commit_callbacks,
) -> None:
    def reap() -> None:
        with django_capture_on_commit_callbacks(execute=True):
            reaping.reap()

    ids = []
    for _ in range(3):
        ids.append(ada.post("/sessions", {"character": "test-card"}).json()["id"])
        world.clock.advance(0.1)
    reap()
    assert [(name, m["queue"]["position"]) for name, m in pushed] == [
        (ids[0], 1),
        (ids[1], 2),
        (ids[2], 3),
    ]
    pushed.clear()
    reap()
    assert pushed == []
    Session.objects.filter(pk=ids[0]).update(status="ended")
    reap()
    assert [(name, m["queue"]["position"]) for name, m in pushed] == [(ids[1], 1), (ids[2], 2)]


def test_a_watch_token_is_for_one_session_and_not_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    token = live.watch_token("a")
    assert live.watched_session(token) == "a"
    assert live.watched_session(token.replace("a:", "b:", 1)) is None
    assert live.watched_session("") is None
    monkeypatch.setattr(live, "WATCH_TOKEN_MAX_AGE_S", -1)
    assert live.watched_session(token) is None
