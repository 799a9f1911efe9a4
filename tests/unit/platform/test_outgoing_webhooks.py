"""Messages to applications: signed, repeated until taken, never into our own network."""

import base64
import hashlib
import hmac
import http.server
import json
import threading

import pytest

from avatar_contracts.states import EndReason
from avatar_platform.config import get_settings
from avatar_platform.gateways.outbound import AddressRefusedError, HttpOutbound, check_url
from avatar_platform.sessions.services import end_session
from avatar_platform.webhooks.models import Delivery
from avatar_platform.webhooks.services import BACKOFF_S, retry_due
from tests import factories
from tests.unit.platform.conftest import World

pytestmark = [pytest.mark.component, pytest.mark.django_db]
URL = "https://app.example.org/hook"


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
    # Standard Webhooks: base64(hmac-sha256(key, "id.timestamp.body")), key behind "whsec_".
    key = base64.b64decode(made["secret"].removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_a_sessions_own_callback_is_signed_with_the_accounts_secret(
    ada: factories.Person, world: World, committing
) -> None:
    with committing():
        ada.post("/sessions", {"character": "test-card", "callback_url": URL})
    world.tasks.run()
    ((url, body, headers),) = world.outbound.posts
    secret = ada.get("/webhooks").json()["callback_secret"]
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert (url, headers["webhook-signature"]) == (URL, f"v1,{digest}")


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
