"""`Idempotency-Key`: one thing made, equal answers; another body is a conflict."""

import threading
from pathlib import Path
from typing import Any

import pytest

from avatar_contracts.states import EndReason
from avatar_platform.access.models import IdempotentAnswer
from avatar_platform.characters.models import CharacterVersion
from avatar_platform.sessions.models import Session
from avatar_platform.sessions.services import fail_session
from avatar_platform.webhooks.models import Endpoint
from tests import factories
from tests.unit.platform import bundle_files
from tests.unit.platform.conftest import World

pytestmark = pytest.mark.component
WISH = {"character": "test-card"}


@pytest.mark.django_db
def test_the_same_request_twice_is_one_session_and_two_equal_answers(
    ada: factories.Person, world: World
) -> None:
    first = ada.post("/sessions", WISH, **{"Idempotency-Key": "k1"})
    world.clock.advance(5)
    second = ada.post("/sessions", WISH, **{"Idempotency-Key": "k1"})
    assert first.json() == second.json()
    assert first["Location"] == second["Location"]
    assert Session.objects.count() == 1
    assert "token" not in str(IdempotentAnswer.objects.get().answer)


@pytest.mark.django_db
def test_a_lost_answer_is_given_again_when_the_session_is_over(ada: factories.Person) -> None:
    # It was a 409 without the id, so that the client could not even learn what had become of it.
    ended, failed = (ada.post("/sessions", WISH, **{"Idempotency-Key": key}) for key in "ef")
    ada.post(f"/sessions/{ended.json()['id']}/end")
    fail_session(session_id=failed.json()["id"], reason=EndReason.QUEUE_TIMEOUT)
    for key, first in (("e", ended), ("f", failed)):
        again = ada.post("/sessions", WISH, **{"Idempotency-Key": key})
        assert again.status_code == 202
        assert again.json() == first.json()
        assert again["Location"] == first["Location"]


@pytest.mark.django_db
def test_of_an_erased_session_no_answer_is_kept_and_no_other_is_begun(
    ada: factories.Person,
) -> None:
    made = ada.post("/sessions", WISH, **{"Idempotency-Key": "k"}).json()["id"]
    ada.delete(f"/sessions/{made}")
    again = ada.post("/sessions", WISH, **{"Idempotency-Key": "k"})
    assert (again.status_code, again.json()["code"]) == (404, "not_found")
    assert Session.objects.count() == 1


@pytest.mark.django_db
def test_another_body_under_the_same_key_is_a_conflict(ada: factories.Person) -> None:
    ada.post("/sessions", WISH, **{"Idempotency-Key": "k1"})
    answer = ada.post("/sessions", {**WISH, "mode": "echo"}, **{"Idempotency-Key": "k1"})
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_conflict")


@pytest.mark.django_db
def test_a_strangers_equal_key_is_another_key(
    ada: factories.Person, cleo: factories.Person
) -> None:
    ids = {p.post("/sessions", WISH, **{"Idempotency-Key": "k"}).json()["id"] for p in (ada, cleo)}
    assert len(ids) == 2


@pytest.mark.django_db
def test_a_refused_request_may_be_repeated_with_its_key(ada: factories.Person) -> None:
    ada.account.max_sessions = 0
    ada.account.save()
    assert ada.post("/sessions", WISH, **{"Idempotency-Key": "k"}).status_code == 429
    ada.account.max_sessions = 1
    ada.account.save()
    assert ada.post("/sessions", WISH, **{"Idempotency-Key": "k"}).status_code == 202


@pytest.mark.django_db
def test_after_a_day_the_key_is_new_again(ada: factories.Person, world: World) -> None:
    ada.post("/sessions", WISH, **{"Idempotency-Key": "k"})
    world.clock.advance(24 * 3600 + 1)
    ada.post("/sessions", WISH, **{"Idempotency-Key": "k"})
    assert Session.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_many_at_once_are_one_session_and_equal_answers() -> None:
    ada = factories.ada()
    answers: list[dict[str, object]] = []

    def post() -> None:
        from django.db import connection

        try:
            answers.append(ada.post("/sessions", WISH, **{"Idempotency-Key": "k"}).json())
        finally:
            connection.close()

    threads = [threading.Thread(target=post) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 12
    assert all(answer == answers[0] for answer in answers)
    assert Session.objects.count() == 1


@pytest.mark.django_db
def test_a_webhook_asked_for_twice_is_one_address_with_one_secret(ada: factories.Person) -> None:
    # The header was ignored here: two addresses with two secrets, and every message twice.
    wish = {"url": "https://app.example.org/hook"}
    first, second = (ada.post("/webhooks", wish, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert Endpoint.objects.count() == 1
    assert "whsec_" not in str(IdempotentAnswer.objects.get().answer)
    other = ada.post("/webhooks", {"url": "https://b.example.org"}, **{"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")


@pytest.mark.django_db
def test_a_character_asked_for_twice_is_one_and_its_slug_is_not_taken(
    ada: factories.Person,
) -> None:
    wish = {"slug": "grace", "name": "Grace"}
    first, second = (ada.post("/characters", wish, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert first["Location"] == second["Location"]
    other = ada.post("/characters", {**wish, "name": "G"}, **{"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")


@pytest.mark.django_db
def test_a_bundle_uploaded_twice_is_known_by_its_content(
    ada: factories.Person, tmp_path: Path
) -> None:
    ada.post("/characters", {"slug": "grace", "name": "Grace"})

    def upload(bundle: Path) -> Any:
        with bundle.open("rb") as file:
            return ada.client.post(
                "/api/v1/characters/grace/versions",
                data={"bundle": file},
                headers={"idempotency-key": "k"},
            )

    bundle = bundle_files.archive(tmp_path / "a.zip")
    first, second = upload(bundle), upload(bundle.rename(tmp_path / "other name.zip"))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    other = upload(bundle_files.archive(tmp_path / "b.zip", bundle_files.files(width="128")))
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    assert CharacterVersion.objects.filter(character__slug="grace").count() == 1


def test_the_description_names_the_header_at_every_call_that_creates(client) -> None:
    paths = client.get("/api/v1/openapi.json").json()["paths"]
    for path in ("sessions", "webhooks", "characters", "characters/{character_id}/versions"):
        call = paths[f"/api/v1/{path}"]["post"]
        assert "Idempotency-Key" in [parameter["name"] for parameter in call["parameters"]]
        assert "409" in call["responses"]
