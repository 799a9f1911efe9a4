"""Lists come in pages: in order, without repeats or gaps, and refuse what is no page."""

import base64
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from avatar_contracts.beat import EventKind
from avatar_platform.fleet.models import AvatarWorker
from avatar_platform.sessions.models import SessionEvent, TranscriptLine
from tests import factories
from tests.unit.platform.conftest import World, tell

pytestmark = [pytest.mark.component, pytest.mark.django_db]
TEXTS = ["one", "two", "three", "four", "five"]
CALLS = ("sessions", "characters", "webhooks", "workers", "transcript", "events")


@pytest.fixture
def lists(ada: factories.Person, world: World) -> dict[str, tuple[str, list[Any]]]:
    """Each list's path and what tells its items apart, in order; some came at the same moment."""
    sessions, webhooks = [], []
    for n in range(5):
        world.clock.advance(n % 2)
        sessions.append(ada.post("/sessions", {"character": "test-card"}).json())
        webhooks.append(ada.post("/webhooks", {"url": f"https://app.example.org/{n}"}).json())
        factories.character(ada.account, slug=f"grace-{n}")
    # A worker's name may hold anything.
    for name in ("a", "b c", "d e f", "ü"):
        now = world.clock.now()
        AvatarWorker.objects.create(
            id=name, started_at=now, last_beat_at=now, lease_until=now + timedelta(seconds=3)
        )
        world.clock.advance(1)
    session = sessions[0]["id"]
    for text in TEXTS:
        tell(session, EventKind.USER_TRANSCRIPTION, text=text, final=True)
        tell(session, EventKind.SPEAK_STARTED, key=text)

    def newest_first(made: list[dict[str, Any]]) -> list[str]:
        ordered = sorted(made, key=lambda one: (one["created_at"], one["id"]), reverse=True)
        return [one["id"] for one in ordered]

    return {
        "sessions": ("/sessions", newest_first(sessions)),
        "characters": ("/characters", [*(f"grace-{n}" for n in range(5)), "test-card"]),
        "webhooks": ("/webhooks", newest_first(webhooks)),
        "workers": ("/workers", ["ü", "d e f", "b c", "a"]),
        "transcript": (f"/sessions/{session}/transcript", TEXTS),
        "events": (
            f"/sessions/{session}/events",
            ["session.queued", *[EventKind.SPEAK_STARTED.value] * 5],
        ),
    }


def pages(person: factories.Person, path: str, **query: str) -> Iterator[dict[str, Any]]:
    while True:
        page = person.get(path, **query).json()
        yield page
        if page["next_cursor"] is None:
            return
        query["cursor"] = page["next_cursor"]


@pytest.mark.parametrize("call", CALLS)
def test_pages_are_the_whole_list_in_its_order(
    ada: factories.Person, lists: dict[str, tuple[str, list[Any]]], call: str
) -> None:
    # Only /sessions was paged; the others were answered whole, whatever was asked for.
    path, expected = lists[call]
    field = {"characters": "slug", "transcript": "text", "events": "kind"}.get(call, "id")
    for limit in (1, 2, 3, len(expected)):
        found = [page["items"] for page in pages(ada, path, limit=str(limit))]
        assert [item[field] for items in found for item in items] == expected
        assert len(found) == -(-len(expected) // limit)
    assert [item[field] for item in ada.get(path).json()["items"]] == expected


def test_what_happens_while_somebody_reads_on_is_on_a_later_page(
    ada: factories.Person, lists: dict[str, tuple[str, list[Any]]]
) -> None:
    path, expected = lists["events"]
    session = path.split("/")[2]
    seen = []
    for n, page in enumerate(pages(ada, path, limit="4")):
        seen += page["items"]
        if n == 0:
            tell(session, EventKind.SPEAK_ENDED)
    assert [item["kind"] for item in seen] == [*expected, EventKind.SPEAK_ENDED.value]
    assert len(seen) == SessionEvent.objects.filter(session_id=session).count()


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"cursor": "!!!"}, "cursor"),
        *(
            ({"cursor": base64.urlsafe_b64encode(place.encode()).decode()}, "cursor")
            for place in ("\0 \0", "2026-01-01T00:00:00 1", "0001-01-01T00:00:00+14:00 1")
        ),
    ],
)
def test_what_is_no_page_is_refused(
    ada: factories.Person,
    lists: dict[str, tuple[str, list[Any]]],
    call: str,
    query: dict[str, str],
    field: str,
) -> None:
    answer = ada.get(lists[call][0], **query)
    assert answer.status_code == 422
    assert field in answer.json()["field"]


def test_a_cursor_beyond_every_number_is_behind_the_last_row(
    ada: factories.Person, lists: dict[str, tuple[str, list[Any]]]
) -> None:
    assert TranscriptLine.objects.exists()
    far = base64.urlsafe_b64encode(f"{'9' * 30} {'9' * 30}".encode()).decode()
    assert ada.get(lists["events"][0], cursor=far).json()["items"] == []


def test_the_voices_are_one_page(ada: factories.Person) -> None:
    assert ada.get("/voices").json()["next_cursor"] is None
