"""Every route, with a stranger's key, another scope, and no key at all."""

import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from avatar_platform.access.models import Scope
from avatar_platform.api import api
from tests import factories
from tests.unit.platform.conftest import Worker, World, bring_up

pytestmark = [pytest.mark.component, pytest.mark.django_db]

NOBODY = "00000000-0000-0000-0000-000000000000"
BODIES = {"say": {"text": "x"}, "token": {}, "end": {}}
ANY_BODY = {"character": "test-card"}


def routes() -> list[tuple[str, str]]:
    """(method, path) of every operation, with its parameters still in it."""
    paths = api.get_openapi_schema(path_prefix="")["paths"]
    return [(method, path) for path, methods in paths.items() for method in methods]


def call(client: Client, method: str, path: str):
    if path.endswith("/versions"):
        upload = SimpleUploadedFile("bundle.zip", b"not a bundle")
        return client.post(f"/api/v1{path}", data={"bundle": upload})
    body = {} if method == "patch" else BODIES.get(path.rsplit("/", 1)[-1], ANY_BODY)
    return getattr(client, method)(
        f"/api/v1{path}",
        **({} if method == "get" else {"data": body}),
        content_type="application/json",
    )


def adas_webhook(ada: factories.Person) -> str:
    made = ada.post("/webhooks", {"url": "https://ada.example.org/hook"})
    return str(made.json()["id"])


def test_the_sweep_sees_every_route() -> None:
    assert len(routes()) >= 15
    assert ("post", "/sessions/{session_id}/say") in routes()


@pytest.mark.parametrize(("method", "path"), routes())
def test_every_route_wants_a_key(method: str, path: str, db: None) -> None:
    answer = call(Client(), method, re.sub(r"\{.*?\}", NOBODY, path))
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), [r for r in routes() if "{" in r[1]])
def test_a_strangers_object_is_not_found(
    method: str,
    path: str,
    ada: factories.Person,
    cleo: factories.Person,
    world: World,
    worker: Worker,
) -> None:
    session = bring_up(world, worker, ada)
    character = factories.character(ada.account)
    filled = path.replace("{session_id}", str(session.pk)).replace(
        "{character_id}", str(character.pk)
    )
    filled = filled.replace("{webhook_id}", adas_webhook(ada))
    answer = call(cleo.client, method, filled)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    session.refresh_from_db()
    assert session.status == "ready"


def test_lists_show_nothing_of_a_strangers(ada: factories.Person, cleo: factories.Person) -> None:
    ada.post("/sessions", {"character": "test-card"})
    factories.character(ada.account)
    assert cleo.get("/sessions").json()["items"] == []
    slugs = [item["slug"] for item in cleo.get("/characters").json()["items"]]
    assert slugs == ["test-card"]
    assert cleo.post("/sessions", {"character": "grace"}).status_code == 422


def test_ben_sees_what_is_adas(ada: factories.Person) -> None:
    session = ada.post("/sessions", {"character": "test-card"}).json()["id"]
    assert factories.ben().get(f"/sessions/{session}").status_code == 200


@pytest.mark.parametrize(("method", "path"), routes())
def test_a_key_without_the_scope_is_refused(method: str, path: str, db: None) -> None:
    other = Scope.FLEET_READ if "workers" not in path else Scope.SESSIONS_READ
    weak = factories.person("weak", "studio", scopes=[other.value])
    filled = re.sub(r"\{.*?\}", NOBODY, path)
    answer = call(weak.client, method, filled)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_a_reader_cannot_write(ada: factories.Person) -> None:
    reader = factories.person("reader", "studio", scopes=[Scope.SESSIONS_READ.value])
    session = ada.post("/sessions", {"character": "test-card"}).json()["id"]
    assert reader.get(f"/sessions/{session}").status_code == 200
    assert reader.post(f"/sessions/{session}/end").status_code == 403
