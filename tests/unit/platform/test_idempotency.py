"""`Idempotency-Key`: one session, equal answers; another body is a conflict."""

import threading

import pytest

from avatar_platform.access.models import IdempotentAnswer
from avatar_platform.sessions.models import Session
from tests import factories
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
