"""The page's calls: who may start, come back, interrupt and end, and what is refused."""

import json
from typing import Any

import jwt
import pytest
from django.core.files.base import ContentFile
from django.test import Client

from avatar_contracts.messages import InterruptCommand
from avatar_contracts.states import EndReason, SessionState
from avatar_platform.access.services import open_account
from avatar_platform.config import get_settings
from avatar_platform.sessions import live, services
from avatar_platform.sessions.models import Session
from tests.unit.web.conftest import published

pytestmark = [pytest.mark.component, pytest.mark.django_db]


def start(client: Client, character: str = "mira", **headers: str):
    return client.post(
        "/start",
        json.dumps({"character": character}),
        content_type="application/json",
        headers=headers,
    )


def call(client: Client, session: dict[str, Any], verb: str, token: str | None = None):
    authorization = f"Bearer {session['page_token'] if token is None else token}"
    return client.post(
        f"/s/{session['id']}/{verb}",
        content_type="application/json",
        headers={"Authorization": authorization},
    )


def test_start_answers_a_session_that_can_be_joined_at_once(client, mira, world):
    answer = start(client)
    assert answer.status_code == 202
    body = answer.json()
    assert body["status"] == "queued"
    assert body["queue"]["position"] == 1
    session = Session.objects.get(pk=body["id"])
    assert session.account.slug == "demo"
    assert session.room in world.rooms.rooms
    claims = jwt.decode(body["livekit"]["token"], options={"verify_signature": False})
    assert (claims["sub"], claims["video"]["room"]) == (f"visitor-{session.pk}", session.room)
    assert live.watched_session(body["ws_token"]) == body["id"]


def test_start_succeeds_while_livekit_does_not_answer(client, mira, world):
    world.rooms.is_away = True
    assert start(client).status_code == 202


def test_start_without_the_csrf_token_is_refused(mira):
    strict = Client(enforce_csrf_checks=True)
    assert start(strict).status_code == 403
    strict.get("/")
    token = strict.cookies["csrftoken"].value
    assert start(strict, **{"X-CSRFToken": token}).status_code == 202


def test_the_thirteenth_start_within_a_minute_is_refused_with_a_time_to_wait(client, mira):
    answers = [start(client) for _ in range(13)]
    assert [answer.status_code for answer in answers] == [202] * 12 + [429]
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert answers[-1].json()["code"] == "rate_limit_exceeded"


def test_start_is_refused_when_the_demo_has_as_many_sessions_as_it_may(client, mira, demo):
    demo.max_sessions = 1
    demo.save()
    assert start(client).status_code == 202
    refused = start(client)
    assert (refused.status_code, refused.json()["code"]) == (429, "concurrency_limit_exceeded")


@pytest.mark.parametrize("body", ["", "[]", "{", '{"character": 3}', "{}"])
def test_a_start_that_names_nobody_is_refused(client, mira, body):
    answer = client.post("/start", body, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_an_unknown_character_is_refused(client, mira):
    answer = start(client, "nobody")
    assert (answer.status_code, answer.json()["code"]) == (422, "character_unavailable")


def test_without_demo_page_there_is_only_the_way_to_the_admin(client, mira, monkeypatch):
    monkeypatch.setenv("DEMO_PAGE", "false")
    get_settings.cache_clear()
    assert client.get("/").headers["Location"] == "/admin/"
    assert start(client).status_code == 404


def test_a_reloaded_page_comes_back_into_the_same_session(client, mira, world):
    begun = start(client).json()
    world.rooms.rooms.clear()
    body = call(client, begun, "token").json()
    assert (body["id"], body["livekit"]["room"]) == (begun["id"], begun["livekit"]["room"])
    assert list(world.rooms.rooms) == [begun["livekit"]["room"]]
    assert Session.objects.count() == 1


def test_coming_back_to_a_session_that_is_over_says_why_it_ended(client, mira):
    begun = start(client).json()
    services.fail_session(session_id=begun["id"], reason=EndReason.WORKER_LOST)
    answer = call(client, begun, "token")
    assert answer.status_code == 409
    assert answer.json()["session"]["end_reason"] == "WORKER_LOST"


def test_interrupt_reaches_the_agents_command_stream(client, mira, world):
    begun = start(client).json()
    assert call(client, begun, "interrupt").status_code == 409  # nobody speaks while it is queued
    Session.objects.filter(pk=begun["id"]).update(status=SessionState.ACTIVE.value)
    assert call(client, begun, "interrupt").status_code == 204
    assert world.commands.sent[begun["id"]] == [InterruptCommand()]


def test_end_is_the_visitors_own_reason_and_may_be_repeated(client, mira):
    begun = start(client).json()
    for _ in range(2):
        answer = call(client, begun, "end")
        assert answer.status_code == 200
        assert (answer.json()["status"], answer.json()["end_reason"]) == ("ending", "USER_CLOSED")


@pytest.mark.parametrize("verb", ["token", "interrupt", "end"])
def test_a_token_of_another_session_or_kind_opens_nothing(client, mira, verb):
    mine, other = start(client).json(), start(client).json()
    for token in ("", "forged", other["page_token"], mine["ws_token"], mine["page_token"] + "x"):
        answer = call(client, mine, verb, token)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert Session.objects.filter(end_reason="").count() == 2


def test_a_page_token_is_of_no_use_for_the_sessions_of_applications(client, mira):
    from avatar_platform.web.tokens import page_token

    account = open_account(name="Ada")
    session = services.request_session(account=account, wish=services.Wish(character="mira"))
    token = page_token(session.pk)
    assert call(client, {"id": session.pk, "page_token": token}, "end").status_code == 404


def test_the_page_carries_no_key_and_no_inline_code(client, mira):
    answer = client.get("/")
    html = answer.content.decode()
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "unsafe-inline'" not in answer.headers["Content-Security-Policy"].split("style-src")[0]
    assert " style=" not in html
    assert " onclick" not in html
    scripts = [part.split(">")[0] for part in html.split("<script")[1:]]
    assert all("src=" in script or "application/json" in script for script in scripts)
    assert "AI-generated" in html


def test_the_test_card_is_offered_only_when_asked_for_or_alone(client, db):
    names = [c["id"] for c in client.get("/").context["page"]["characters"]]
    assert names == ["test-card"]
    published("mira", "Mira")
    published("ben", "Ben")
    names = [c["id"] for c in client.get("/").context["page"]["characters"]]
    assert names == ["ben", "mira"]
    page = client.get("/?character=test-card").context["page"]
    assert page["chosen"] == "test-card"


def test_the_preview_picture_of_a_published_character_is_public(client, mira):
    assert client.get("/preview/mira").status_code == 404
    mira.published_version.preview.save("face.png", ContentFile(b"\x89PNG"))
    answer = client.get("/preview/mira")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/png")
    assert answer.content == b"\x89PNG"
    assert "/preview/mira?v=1" in client.get("/").content.decode()


def test_every_reason_has_words_for_visitors():
    from avatar_platform.web.words import FOR_VISITORS

    assert set(FOR_VISITORS) == set(EndReason)
