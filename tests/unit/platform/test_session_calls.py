"""The session calls of the REST API."""

import base64
import json
import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from livekit import api as livekit_api

from avatar_contracts.messages import InterruptCommand, SayCommand
from avatar_contracts.states import EndReason
from avatar_platform.characters.selectors import get_character
from avatar_platform.errors import NotFoundError
from avatar_platform.sessions.models import Session
from tests import factories
from tests.fakes.livekit import KEY, SECRET
from tests.unit.platform.conftest import Worker, World, bring_up

pytestmark = [pytest.mark.component, pytest.mark.django_db]


def claims(token: str) -> tuple[str, livekit_api.VideoGrants]:
    """Identity and grants of a token that LiveKit would accept."""
    decoded = livekit_api.TokenVerifier(KEY, SECRET).verify(token)
    assert decoded.video is not None
    return decoded.identity, decoded.video


def test_a_new_session_is_queued_and_can_be_joined_at_once(
    ada: factories.Person, world: World, django_capture_on_commit_callbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        answer = ada.post("/sessions", {"character": "test-card", "metadata": {"order": 7}})
    body = answer.json()
    assert answer.status_code == 202
    assert answer["Location"] == f"/api/v1/sessions/{body['id']}"
    assert (body["status"], body["epoch"]) == ("queued", 1)
    # No worker serves yet, so nobody can say how long it takes.
    assert body["queue"] == {"position": 1, "eta_s": None}
    assert body["metadata"] == {"order": 7}
    assert body["livekit"]["room"] in world.rooms.rooms
    world.tasks.run()
    assert world.tasks.offers == [(body["id"], 1, "default")]


def test_the_visitors_token_gives_one_room_a_microphone_and_typed_words_and_nothing_else(
    ada: factories.Person,
) -> None:
    body = ada.post("/sessions", {"character": "test-card"}).json()
    identity, video = claims(body["livekit"]["token"])
    assert identity == f"visitor-{body['id']}"
    assert (video.room, video.room_join) == (body["livekit"]["room"], True)
    assert video.can_publish_sources == ["microphone"]
    assert video.can_publish_data
    assert not any((video.room_admin, video.room_create, video.room_list, video.agent))


def test_a_viewers_token_cannot_publish(ada: factories.Person) -> None:
    session = ada.post("/sessions", {"character": "test-card"}).json()["id"]
    first, second = (
        ada.post(f"/sessions/{session}/token", {"role": "viewer"}).json() for _ in range(2)
    )
    grants = claims(first["token"])[1]
    assert not grants.can_publish
    assert not grants.can_publish_data
    assert first["identity"] != second["identity"], "two viewers must not evict each other"


def test_a_token_needs_no_body_and_is_a_participants_then(ada: factories.Person) -> None:
    session = ada.post("/sessions", {"character": "test-card"}).json()["id"]
    answer = ada.post(f"/sessions/{session}/token", "")
    assert answer.status_code == 200
    assert claims(answer.json()["token"])[0] == f"visitor-{session}"


def test_nobody_chooses_an_identity_or_a_room(ada: factories.Person) -> None:
    session = ada.post("/sessions", {"character": "test-card"}).json()["id"]
    answer = ada.post(f"/sessions/{session}/token", {"identity": "avatar-x", "role": "viewer"})
    assert answer.status_code == 422


def test_livekit_being_away_does_not_keep_a_session_from_the_queue(
    ada: factories.Person, world: World, django_capture_on_commit_callbacks
) -> None:
    world.rooms.is_away = True
    with django_capture_on_commit_callbacks(execute=True):
        answer = ada.post("/sessions", {"character": "test-card"})
    assert answer.status_code == 202
    world.tasks.run()
    assert len(world.tasks.offers) == 1


def test_the_broker_being_away_leaves_the_session_to_the_reaper(
    ada: factories.Person, world: World, django_capture_on_commit_callbacks
) -> None:
    world.tasks.is_away = True
    with django_capture_on_commit_callbacks(execute=True):
        answer = ada.post("/sessions", {"character": "test-card"})
    assert answer.status_code == 202
    assert Session.objects.get().sent_at is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "character"),
        ({"character": ""}, "character"),
        ({"character": "test-card", "max_duration_s": 1}, "max_duration_s"),
        ({"character": "test-card", "mode": "sing"}, "mode"),
        ({"character": "test-card", "charakter": 1}, "charakter"),
        ({"character": "test-card", "persona": {"voice": "x" * 200}}, "persona.voice"),
        ({"character": "test-card", "metadata": {"a": "b" * 20_000}}, "metadata"),
        ({"character": "test-card", "expression": {"blink_rate": 41}}, "expression.blink_rate"),
        ({"character": "test-card", "expression": {"blink_rate": True}}, "expression.blink_rate"),
        ({"character": "test-card", "expression": {"brow_gain": -0.1}}, "expression.brow_gain"),
        ({"character": "test-card", "expression": {"eye_gain": "2"}}, "expression.eye_gain"),
        ({"character": "test-card", "expression": {"preset": "furious"}}, "expression.preset"),
        ({"character": "test-card", "expression": {"mood": "sad"}}, "expression.mood"),
        ({"character": "test-card", "picture": {"blend_width": -33}}, "picture.blend_width"),
        ({"character": "test-card", "picture": {"blend_feather": -1}}, "picture.blend_feather"),
        ({"character": "test-card", "picture": {"background": "green"}}, "picture.background"),
        ({"character": "test-card", "picture": {"background": "#00b140\n"}}, "picture.background"),
        ({"character": "test-card\x00"}, "character"),
        ({"character": "nobody"}, "character"),
    ],
)
def test_a_wrong_request_is_a_problem_that_names_the_field(
    ada: factories.Person, body: dict[str, object], field: str
) -> None:
    answer = ada.post("/sessions", body)
    assert answer.status_code == 422
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["field"] == field
    assert answer.json()["code"] in ("invalid_request", "character_unavailable")


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ("", "the body: expected a JSON object, found nothing"),
        ("null", "the body: expected a JSON object, found null"),
        ("[]", "the body: expected a JSON object, found a list"),
        ("{}", "character: Field required"),
        (
            {"max_duration_s": 1},
            "max_duration_s: Input should be greater than or equal to 10, found 1",
        ),
        ({"persona": 3}, "persona: expected a JSON object, found 3"),
        (
            {"persona": {"voice": "x" * 200}},
            "persona.voice: String should have at most 120 characters, found 200 characters",
        ),
        (
            {"persona": {"greeting": "a\x00b"}},
            "persona.greeting: expected a text without NUL characters, found 'a\\x00b'",
        ),
        (
            {"picture": {"background": "green"}},
            "picture.background: expected a colour such as #00b140, found 'green'",
        ),
        ({"key": "ak.secret"}, "key: there is no such field"),
        (
            {"callback_url": "https://user:password@example.org/"},
            "callback_url: an address must not carry credentials",
        ),
        (
            {"callback_url": "htp://user:password@example.org/"},
            "callback_url: URL scheme should be 'http' or 'https'",
        ),
    ],
)
def test_a_problem_says_what_was_expected_and_what_was_found(
    ada: factories.Person, body: str | dict[str, object], detail: str
) -> None:
    if isinstance(body, dict):
        body = {"character": "test-card", **body}
    told = ada.post("/sessions", body).json()
    assert told["detail"] == detail
    assert detail.endswith(told["errors"][0]["message"])


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ('{"a": NaN}', "found NaN or infinity"),
        ('{"a": 1e400}', "found NaN or infinity"),
        ('{"a": "\\ud800"}', "half of a surrogate pair"),
        ('{"\\udc00": 1}', "half of a surrogate pair"),
        ('{"a": ' + "[" * 900 + "]" * 900 + "}", "expected at most 100 levels, found 901"),
        ('{"a": ' + "[" * 100 + "]" * 100 + "}", "expected at most 100 levels, found 101"),
        ('{"a": "' + "ü" * 8_200 + '"}', "expected at most 16384 bytes of JSON, found 16409"),
    ],
    ids=["NaN", "1e400", "value", "key", "900 levels", "101 levels", "bytes"],
)
def test_metadata_that_cannot_be_kept_is_refused(
    ada: factories.Person, metadata: str, said: str
) -> None:
    answer = ada.post("/sessions", f'{{"character": "test-card", "metadata": {metadata}}}')
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


def test_metadata_is_measured_in_bytes_however_it_is_written(ada: factories.Person) -> None:
    metadata = {"a": "ü" * 8_000, "deep": json.loads("[" * 98 + "]" * 98)}
    answer = ada.post("/sessions", {"character": "test-card", "metadata": metadata})
    assert (answer.status_code, answer.json()["metadata"]) == (202, metadata)


def test_a_body_that_is_not_json_is_a_problem(ada: factories.Person) -> None:
    answer = ada.post("/sessions", "{")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_without_consent_no_session_starts(ada: factories.Person) -> None:
    from avatar_platform.characters.services import revoke_consent

    character = factories.character(ada.account)
    assert ada.post("/sessions", {"character": "grace"}).status_code == 202
    for consent in character.consents.all():
        revoke_consent(consent=consent)
    answer = ada.post("/sessions", {"character": "grace"})
    assert (answer.status_code, answer.json()["code"]) == (422, "character_unavailable")


def test_the_accounts_quota_is_told_with_limit_and_running_count(ada: factories.Person) -> None:
    ada.account.max_sessions = 1
    ada.account.save()
    assert ada.post("/sessions", {"character": "test-card"}).status_code == 202
    answer = ada.post("/sessions", {"character": "test-card"})
    assert answer.status_code == 429
    assert answer["Retry-After"] == "10"
    told = answer.json()
    assert (told["code"], told["limit"], told["running"]) == ("concurrency_limit_exceeded", 1, 1)
    assert Session.objects.count() == 1


def test_ben_shares_adas_quota_and_cleo_does_not(
    ada: factories.Person, cleo: factories.Person
) -> None:
    ada.account.max_sessions = 1
    ada.account.save()
    ada.post("/sessions", {"character": "test-card"})
    assert factories.ben().post("/sessions", {"character": "test-card"}).status_code == 429
    assert cleo.post("/sessions", {"character": "test-card"}).status_code == 202


def test_too_many_creations_are_refused_for_a_while(
    ada: factories.Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    from avatar_platform.config import get_settings

    monkeypatch.setenv("PLATFORM_CREATE_RATE", "2/10s")
    get_settings.cache_clear()
    statuses = [ada.post("/sessions", {"character": "test-card"}).status_code for _ in range(3)]
    assert statuses == [202, 202, 429]
    refused = ada.post("/sessions", {"character": "test-card"})
    assert refused.json()["code"] == "rate_limit_exceeded"
    assert refused["Retry-After"] == "10"


def test_say_and_interrupt_reach_the_agents_stream(
    ada: factories.Person, worker: Worker, world: World
) -> None:
    session = bring_up(world, worker, ada)
    assert ada.post(f"/sessions/{session.pk}/say", {"text": " Good day.\n"}).status_code == 202
    assert ada.post(f"/sessions/{session.pk}/interrupt").status_code == 202
    sent = world.commands.sent[str(session.pk)]
    assert sent[-2:] == [SayCommand(text="Good day."), InterruptCommand()]


@pytest.mark.parametrize("text", ["", " ", "\n", "a\0b"])
def test_nothing_that_can_be_said_is_refused(
    ada: factories.Person, worker: Worker, world: World, text: str
) -> None:
    session = bring_up(world, worker, ada)
    sent = list(world.commands.sent[str(session.pk)])
    answer = ada.post(f"/sessions/{session.pk}/say", {"text": text})
    assert (answer.status_code, answer.json()["field"]) == (422, "text")
    assert world.commands.sent[str(session.pk)] == sent


def test_interrupting_a_queued_session_is_a_conflict_with_its_status(
    ada: factories.Person,
) -> None:
    session = ada.post("/sessions", {"character": "test-card"}).json()["id"]
    answer = ada.post(f"/sessions/{session}/interrupt")
    assert (answer.status_code, answer.json()["current_status"]) == (409, "queued")


def test_redis_being_away_is_503_with_retry_after(
    ada: factories.Person, worker: Worker, world: World
) -> None:
    session = bring_up(world, worker, ada)
    world.commands.is_away = True
    answer = ada.post(f"/sessions/{session.pk}/say", {"text": "Hello."})
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer["Retry-After"] == "2"


def test_ending_twice_is_a_conflict(
    ada: factories.Person, world: World, django_capture_on_commit_callbacks
) -> None:
    session = ada.post("/sessions", {"character": "test-card"}).json()["id"]
    with django_capture_on_commit_callbacks(execute=True):
        assert ada.post(f"/sessions/{session}/end").status_code == 202
    world.tasks.run()
    body = ada.get(f"/sessions/{session}").json()
    assert (body["status"], body["end_reason"]) == ("ended", "API_CLOSED")
    assert body["end_message"] == "The application ended the session."
    assert world.rooms.rooms == {}
    answer = ada.post(f"/sessions/{session}/end")
    assert (answer.status_code, answer.json()["current_status"]) == (409, "ended")
    assert ada.post(f"/sessions/{session}/token", {}).status_code == 409


def test_an_application_gives_reasons_of_its_own_and_none_of_the_platforms(
    ada: factories.Person,
) -> None:
    own = ["API_CLOSED", "USER_CLOSED", "AGENT_HANG_UP", "UNKNOWN"]
    session = ada.post("/sessions", {"character": "test-card"}).json()["id"]
    for reason in set(EndReason) - set(own):
        answer = ada.post(f"/sessions/{session}/end", {"reason": reason})
        assert (answer.status_code, answer.json()["field"]) == (422, "reason"), reason
        assert answer.json()["detail"].endswith(f"or 'UNKNOWN', found '{reason}'")
    for reason in own:
        session = ada.post("/sessions", {"character": "test-card"}).json()["id"]
        assert ada.post(f"/sessions/{session}/end", {"reason": reason}).status_code == 202
        assert ada.get(f"/sessions/{session}").json()["end_reason"] == reason


def test_a_failure_is_said_in_a_sentence(ada: factories.Person) -> None:
    from avatar_platform.sessions.services import fail_session

    session = ada.post("/sessions", {"character": "test-card"}).json()["id"]
    assert fail_session(session_id=session, reason=EndReason.QUEUE_TIMEOUT)
    body = ada.get(f"/sessions/{session}").json()
    assert body["failure"] == {
        "reason": "QUEUE_TIMEOUT",
        "message": "All avatars stayed busy for too long; please try again later.",
    }


def test_delete_ends_and_erases_what_was_said_and_what_happened(
    ada: factories.Person, worker: Worker, world: World, django_capture_on_commit_callbacks
) -> None:
    from avatar_contracts.beat import EventKind
    from avatar_platform.sessions.models import SessionEvent, TranscriptLine
    from tests.unit.platform.conftest import tell

    session = bring_up(world, worker, ada, metadata={"secret": "s"})
    tell(session, EventKind.USER_TRANSCRIPTION, text="my name is Ada", final=True)
    with django_capture_on_commit_callbacks(execute=True):
        assert ada.delete(f"/sessions/{session.pk}").status_code == 204
    # What still comes in from the workers is not kept either.
    tell(session, EventKind.USER_TRANSCRIPTION, text="goodbye", final=True)
    world.tasks.run()
    assert not TranscriptLine.objects.exists()
    assert not SessionEvent.objects.exists()
    assert ada.get(f"/sessions/{session.pk}").status_code == 404
    session.refresh_from_db()
    assert (session.status, session.metadata) == ("ended", {})


def test_the_list_is_paged_newest_first_without_repeats(
    ada: factories.Person, world: World
) -> None:
    ids = []
    for _ in range(5):
        ids.append(ada.post("/sessions", {"character": "test-card"}).json()["id"])
        world.clock.advance(1)
    seen: list[str] = []
    query = {"limit": "2"}
    while True:
        page = ada.get("/sessions", **query).json()
        seen += [item["id"] for item in page["items"]]
        # One that comes while paging moves nothing.
        ada.post("/sessions", {"character": "test-card"})
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == ids[::-1]
    assert ada.get("/sessions", cursor="bm9uc2Vuc2U=").status_code == 422


def test_a_long_list_asks_the_database_no_more_often_than_a_short_one(
    ada: factories.Person, cleo: factories.Person, world: World, worker: Worker
) -> None:
    # Every waiting session asked for its place by itself: four questions a row.
    cleo.post("/sessions", {"character": "test-card"})

    def ask() -> tuple[int, list[dict[str, object]]]:
        with CaptureQueriesContext(connection) as asked:
            items = ada.get("/sessions").json()["items"]
        return len(asked), [item["queue"] for item in items]

    counts = []
    for _ in range(2):
        for _ in range(4):
            world.clock.advance(1)
            ada.post("/sessions", {"character": "test-card"})
        worker.beat(slots=1)
        count, places = ask()
        counts.append(count)
    assert counts[0] == counts[1]
    # Newest first; Cleo's stands before all of them and takes the one slot, 120 s are assumed each.
    assert places == [{"position": n, "eta_s": (n - 1) * 120} for n in range(9, 1, -1)]


@pytest.mark.parametrize(
    "place",
    [
        "2026-01-01T00:00:00+00:00 abc",
        "2026-01-01T00:00:00 6a0f5a3e-4b1c-4d6e-8f00-000000000000",
        "0001-01-01T00:00:00+14:00 6a0f5a3e-4b1c-4d6e-8f00-000000000000",
    ],
    ids=["no id", "no zone", "before year 1"],
)
def test_a_cursor_that_is_not_ours_is_refused(ada: factories.Person, place: str) -> None:
    ada.post("/sessions", {"character": "test-card"})
    cursor = base64.urlsafe_b64encode(place.encode()).decode()
    answer = ada.get("/sessions", cursor=cursor)
    assert (answer.status_code, answer.json()["field"]) == (422, "cursor")


def test_nothing_is_looked_for_that_postgresql_cannot_hold(
    ada: factories.Person, django_assert_num_queries
) -> None:
    assert ada.get("/sessions", character="\0").status_code == 422
    with django_assert_num_queries(0), pytest.raises(NotFoundError):
        get_character(account=ada.account, name="\0")


def test_the_list_can_be_narrowed(ada: factories.Person, world: World, worker: Worker) -> None:
    ready = bring_up(world, worker, ada)
    ada.post("/sessions", {"character": "test-card"})
    found = ada.get("/sessions", status="ready").json()["items"]
    assert [item["id"] for item in found] == [str(ready.pk)]
    assert ada.get("/sessions", character="nobody").json()["items"] == []
    for name in ("test-card", str(ready.character_id)):
        assert len(ada.get("/sessions", character=name).json()["items"]) == 2, name
    assert ada.get("/sessions", status="asleep").status_code == 422


def test_the_queue_tells_place_and_estimate(
    ada: factories.Person, worker: Worker, world: World
) -> None:
    worker.beat(slots=1)
    held = ada.post("/sessions", {"character": "test-card"}).json()["id"]
    # A slot is free, so the first one is served now.
    assert ada.get(f"/sessions/{held}").json()["queue"] == {"position": 1, "eta_s": 0}
    worker.claim(held)
    world.clock.advance(1)
    first = ada.post("/sessions", {"character": "test-card"}).json()["id"]
    world.clock.advance(1)
    worker.beat(slots=1)
    second = ada.post("/sessions", {"character": "test-card"}).json()["queue"]
    # One slot, taken; nothing has ended yet, so 120 s a session are assumed: 120 and 240.
    assert ada.get(f"/sessions/{first}").json()["queue"] == {"position": 1, "eta_s": 120}
    assert second == {"position": 2, "eta_s": 240}


def test_the_request_id_is_in_the_answer(ada: factories.Person) -> None:
    assert len(ada.get("/sessions")["X-Request-Id"]) == 32


def test_an_unknown_session_and_a_wrong_id_are_not_found(ada: factories.Person) -> None:
    assert ada.get(f"/sessions/{uuid.uuid4()}").json()["code"] == "not_found"
    assert ada.get("/sessions/1").status_code == 404


def test_numbers_in_metadata_come_back_as_they_went(ada: factories.Person) -> None:
    metadata = {"n": 1.5, "deep": [{"x": None}], "ü": "ß"}
    body = ada.post("/sessions", json.dumps({"character": "test-card", "metadata": metadata}))
    assert body.json()["metadata"] == metadata
