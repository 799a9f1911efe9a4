"""Messages to applications: signed, repeated until taken, never into our own network."""

import http.server
import json
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from avatar_contracts.beat import EventKind
from avatar_contracts.states import EndReason
from avatar_platform.access.models import IdempotentAnswer
from avatar_platform.config import get_settings
from avatar_platform.gateways.outbound import AddressRefusedError, HttpOutbound, check_url
from avatar_platform.sessions.services import end_session
from avatar_platform.webhooks.models import Delivery
from avatar_platform.webhooks.services import BACKOFF_S, retry_due
from tests import factories
from tests.unit.platform.conftest import Worker, World, bring_up, tell

pytestmark = [pytest.mark.component, pytest.mark.django_db]
URL = "https://app.example.org/hook"


def is_genuine(headers: dict[str, str], body: bytes, secret: str) -> bool:
    """As the documentation tells applications to check a message."""
    text = (Path(__file__).parents[3] / "docs/api.md").read_text()
    code = text.partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {}
    exec(code, names)
    return bool(names["is_genuine"](headers, body, secret))


@pytest.fixture
def committing(django_capture_on_commit_callbacks):
    return lambda: django_capture_on_commit_callbacks(execute=True)


def test_an_address_hears_of_its_accounts_sessions_with_a_signature(
    ada: factories.Person, cleo: factories.Person, world: World, committing
) -> None:
    made = ada.post("/webhooks", {"url": URL, "events": ["session.queued", "session.ended"]}).json()
    with committing():
        session = ada.post("/sessions", {"character": "test-card"}).json()["id"]
        cleo.post("/sessions", {"character": "test-card"})
    with committing():
        end_session(session_id=session, reason=EndReason.API_CLOSED)
    with committing():
        world.tasks.run()
    world.tasks.run()
    kinds = [json.loads(body)["type"] for _, body, _ in world.outbound.posts]
    assert kinds == ["session.queued", "session.ended"], "what was not asked for is not sent"
    url, body, headers = world.outbound.posts[-1]
    assert url == URL
    assert json.loads(body)["data"]["id"] == session
    assert is_genuine(headers, body, made["secret"])
    assert not is_genuine(headers, body + b" ", made["secret"])


def test_a_message_tells_the_times_that_a_question_is_answered_with(
    ada: factories.Person, world: World, worker: Worker
) -> None:
    # session.ready came with `ready_at: null`; a question a moment later was answered with it.
    ada.post("/webhooks", {"url": URL, "events": ["session.provisioning", "session.ready"]})
    session = ada.post("/sessions", {"character": "test-card"}).json()["id"]
    world.clock.advance(2)
    worker.beat()
    worker.claim(session)
    world.clock.advance(1)
    tell(session, EventKind.AGENT_JOINED)
    tell(session, EventKind.FIRST_FRAME)
    bodies = Delivery.objects.order_by("created_at").values_list("body", flat=True)
    claimed, ready = (json.loads(body)["data"] for body in bodies)
    # Claimed 2 s after the request, ready 1 s after the claim.
    assert (claimed["timings"]["queued_ms"], claimed["ready_at"]) == (2000, None)
    shown = ada.get(f"/sessions/{session}").json()
    assert ready["timings"] == shown["timings"]
    assert datetime.fromisoformat(ready["ready_at"]) == datetime.fromisoformat(shown["ready_at"])
    assert (ready["timings"]["provision_ms"], ready["timings"]["ready_ms"]) == (1000, 3000)


def test_times_of_the_first_time_outlive_a_lost_avatar(
    ada: factories.Person, world: World, worker: Worker
) -> None:
    session = bring_up(world, worker, ada)
    tell(session, EventKind.USER_JOINED)
    before = ada.get(f"/sessions/{session.pk}").json()
    session.refresh_from_db()
    active_at = session.active_at
    world.clock.advance(7)
    tell(session, EventKind.AVATAR_LEFT)
    worker.beat()
    assert worker.claim(session.pk, epoch=2) is not None
    world.clock.advance(7)
    tell(session, EventKind.FIRST_FRAME, epoch=2)
    session.refresh_from_db()
    after = ada.get(f"/sessions/{session.pk}").json()
    assert (after["status"], after["epoch"]) == ("active", 2)
    assert (after["ready_at"], after["timings"]) == (before["ready_at"], before["timings"])
    assert session.active_at == active_at


def test_a_sessions_own_callback_is_signed_with_the_accounts_secret(
    ada: factories.Person, world: World, committing
) -> None:
    with committing():
        ada.post("/sessions", {"character": "test-card", "callback_url": URL})
    world.tasks.run()
    ((url, body, headers),) = world.outbound.posts
    secret = ada.get("/webhooks").json()["callback_secret"]
    assert url == URL
    assert is_genuine(headers, body, secret)


def test_what_is_erased_stands_in_no_message_and_no_kept_answer(
    ada: factories.Person, world: World, committing
) -> None:
    # Its metadata stood in messages for a week, and in the answer kept for the key for a day.
    ada.post("/webhooks", {"url": URL})
    wish = {"character": "test-card", "metadata": {"patient": "Jane"}}
    callback = "https://app.example.org/of/Jane"
    with committing():
        erased, other = (
            ada.post("/sessions", {**wish, "callback_url": url}, **{"Idempotency-Key": url})
            for url in (callback, URL)
        )
    world.tasks.run()
    world.outbound.posts.clear()
    with committing():
        assert ada.delete(f"/sessions/{erased.json()['id']}").status_code == 204
    world.tasks.run()
    # Who hears of all sessions still learns that it ends.
    ((url, body, _),) = world.outbound.posts
    told = json.loads(body)
    assert (url, told["type"], told["data"]["metadata"]) == (URL, "session.ending", {})
    kept = [str(row) for row in Delivery.objects.values_list("session", "url", "body")]
    kept += [str(answer) for answer in IdempotentAnswer.objects.values_list("answer", flat=True)]
    of_erased = [row for row in kept if erased.json()["id"] in row]
    assert not [row for row in of_erased if "Jane" in row]
    of_other = [row for row in kept if other.json()["id"] in row]
    # Two messages of it, and its answer.
    assert len([row for row in of_other if "Jane" in row]) == 3


def test_what_is_not_taken_is_tried_again_later_and_later_and_then_given_up(
    ada: factories.Person, world: World, committing
) -> None:
    world.outbound.answer = "500"
    with committing():
        ada.post("/sessions", {"character": "test-card", "callback_url": URL})
    world.tasks.run()
    assert len(world.outbound.posts) == 1
    for n, wait in enumerate(BACKOFF_S, start=2):
        world.clock.advance(wait - 1)
        retry_due()
        world.tasks.run()
        assert len(world.outbound.posts) == n - 1, "not before its time"
        world.clock.advance(2)
        retry_due()
        world.tasks.run()
        assert len(world.outbound.posts) == n
    delivery = Delivery.objects.get()
    assert delivery.is_dead
    assert (delivery.attempts, delivery.last_outcome) == (len(BACKOFF_S) + 1, "500")
    ids = {headers["webhook-id"] for _, _, headers in world.outbound.posts}
    assert len(ids) == 1, "the receiver can tell a repetition"


def test_an_operator_has_a_message_that_was_given_up_tried_again(
    ada: factories.Person, world: World, committing, admin_client
) -> None:
    with committing():
        ada.post("/sessions", {"character": "test-card", "callback_url": URL})
    Delivery.objects.update(attempts=9, next_attempt_at=None, last_outcome="500")
    messages = "/admin/webhooks/delivery/"
    page = admin_client.get(f"{messages}?outcome=given up").content.decode()
    assert URL in page
    assert "given up" in page
    chosen = {"action": "try_again", "_selected_action": [str(Delivery.objects.get().pk)]}
    with committing():
        answer = admin_client.post(messages, chosen, follow=True)
    world.tasks.run()
    assert "1 messages are tried again" in answer.content.decode()
    assert Delivery.objects.get().delivered_at is not None
    assert URL not in admin_client.get(f"{messages}?outcome=given up").content.decode()


def test_a_message_taken_is_not_sent_again(ada: factories.Person, world: World, committing) -> None:
    with committing():
        ada.post("/sessions", {"character": "test-card", "callback_url": URL})
    (task,) = [t for t in world.tasks.waiting if t[0].value.endswith("deliver")]
    world.tasks.waiting += [task, task]
    world.tasks.run()
    assert len(world.outbound.posts) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x",
        "http://localhost:8000/internal/v1/beat",
        "http://localhost./",
        "http://redis:6379/",
        "http://web.localhost/",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "https://user:password@example.org/",
        "ftp://example.org/",
    ],
)
def test_an_address_inside_our_network_is_refused(ada: factories.Person, url: str) -> None:
    assert ada.post("/webhooks", {"url": url}).status_code == 422
    wish = {"character": "test-card", "callback_url": url}
    assert ada.post("/sessions", wish).status_code == 422
    with pytest.raises(AddressRefusedError):
        check_url(url)


@pytest.mark.parametrize(
    ("tail", "found"), [("a" * 500, 520), ("ü" * 100, 620)], ids=["long", "long when encoded"]
)
def test_an_address_longer_than_we_keep_is_refused(
    ada: factories.Person, tail: str, found: int
) -> None:
    url = f"https://example.org/{tail}"
    answer = ada.post("/webhooks", {"url": url})
    assert answer.status_code == 422
    assert answer.json()["detail"] == f"url: expected at most 500 characters, found {found}"
    assert ada.post("/sessions", {"character": "test-card", "callback_url": url}).status_code == 422


def test_a_name_that_leads_into_our_network_is_refused_when_it_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import socket

    real = socket.getaddrinfo

    def resolve(host: object, *args: object, **kwargs: object):
        return real("127.0.0.1" if host == "rebound.example.org" else host, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    said = HttpOutbound().post("http://rebound.example.org:9/", b"{}", {})
    assert "inside our own network" in said


class Receiver(http.server.BaseHTTPRequestHandler):
    """Answers 200 and remembers; `/moved` redirects."""

    seen: list[tuple[str, bytes]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.path, body))
        self.send_response(302 if self.path == "/moved" else 200)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Silence."""


def test_an_operator_may_allow_private_addresses_and_redirects_are_not_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PLATFORM_WEBHOOKS_PRIVATE", "true")
    get_settings.cache_clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        base = f"http://127.0.0.1:{server.server_port}"
        assert HttpOutbound().post(f"{base}/hook", b"{}", {}) == "200"
        assert HttpOutbound().post(f"{base}/moved", b"{}", {}) == "302"
    finally:
        server.shutdown()
        server.server_close()
    assert [path for path, _ in Receiver.seen] == ["/hook", "/moved"]
    assert HttpOutbound().post(f"{base}/hook", b"{}", {}).startswith("no answer")


def test_addresses_can_be_listed_and_removed(ada: factories.Person) -> None:
    made = ada.post("/webhooks", {"url": URL}).json()
    (listed,) = ada.get("/webhooks").json()["items"]
    assert (listed["id"], listed["url"]) == (made["id"], URL)
    assert "secret" not in listed
    assert ada.delete(f"/webhooks/{made['id']}").status_code == 204
    assert ada.delete(f"/webhooks/{made['id']}").status_code == 404
    assert ada.post("/webhooks", {"url": URL, "events": ["no.such"]}).json()["field"] == "events"
