"""API keys: issued once, hashed, two of a name at most, refused in all wrong forms."""

import re
from datetime import timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.test import Client
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from avatar_platform.access import auth
from avatar_platform.access.management.commands import create_api_key
from avatar_platform.access.models import Account, ApiKey
from avatar_platform.access.services import adopt_key, issue_key, open_account, revoke_key
from avatar_platform.errors import InvalidRequestError
from tests import factories
from tests.unit.platform.conftest import World

pytestmark = [pytest.mark.component, pytest.mark.django_db]


def test_the_secret_is_nowhere_in_the_database() -> None:
    key, secret = issue_key(account=open_account(name="A"), name="app")
    stored = " ".join(str(getattr(key, field.name)) for field in ApiKey._meta.fields)
    assert secret.split(".")[0] == key.prefix
    assert secret.split(".")[1] not in stored
    assert len(secret.split(".")[1]) >= 40


def test_two_keys_of_one_name_serve_for_rotation_and_a_third_is_refused() -> None:
    account = open_account(name="A")
    old, _ = issue_key(account=account, name="app")
    _, new_secret = issue_key(account=account, name="app")
    with pytest.raises(InvalidRequestError, match="two keys named 'app'"):
        issue_key(account=account, name="app")
    revoke_key(key=old)
    issue_key(account=account, name="app")
    assert auth.find_caller(new_secret) is not None


def test_an_unknown_scope_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="'root'"):
        issue_key(account=open_account(name="A"), name="app", scopes=["root"])


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer x", "Bearer x.y", "Basic YTpi"]
)
def test_a_wrong_header_is_unauthenticated(header: str) -> None:
    headers = {"authorization": header} if header else {}
    assert Client(headers=headers).get("/api/v1/sessions").status_code == 401


def test_a_right_prefix_with_a_wrong_secret_is_refused(ada: factories.Person) -> None:
    prefix = ada.secret.split(".")[0]
    assert auth.find_caller(f"{prefix}.wrong") is None
    assert auth.find_caller(prefix) is None


def test_a_key_ends_by_revocation_by_expiry_and_with_its_account(world: World) -> None:
    account = open_account(name="A")
    expires = world.clock.now() + timedelta(days=1)
    key, secret = issue_key(account=account, name="app", expires_at=expires)
    assert auth.find_caller(secret) is not None
    world.clock.advance(86_400)
    assert auth.find_caller(secret) is None
    key, secret = issue_key(account=account, name="app")
    revoke_key(key=key)
    assert auth.find_caller(secret) is None
    _, secret = issue_key(account=account, name="other")
    account.is_active = False
    account.save()
    assert auth.find_caller(secret) is None


def test_last_use_is_noted_once_a_minute(ada: factories.Person, world: World) -> None:
    ada.get("/sessions")
    first = ApiKey.objects.get().last_used_at
    world.clock.advance(30)
    ada.get("/sessions")
    assert ApiKey.objects.get().last_used_at == first
    world.clock.advance(31)
    ada.get("/sessions")
    assert ApiKey.objects.get().last_used_at == world.clock.now()


def test_guessing_keys_from_one_address_is_slowed_down(ada: factories.Person) -> None:
    guesser = Client(headers={"authorization": "Bearer a.b"})
    for _ in range(auth.FAILURES_PER_MINUTE):
        assert guesser.get("/api/v1/sessions").status_code == 401
    refused = guesser.get("/api/v1/sessions")
    assert (refused.status_code, refused["Retry-After"]) == (429, "60")
    assert (refused.json()["limit"], refused.json()["running"]) == (30, 31)


def test_nobody_is_locked_out_by_anothers_wrong_keys(ada: factories.Person) -> None:
    guesser = Client(headers={"authorization": "Bearer a.b"})
    for _ in range(auth.FAILURES_PER_MINUTE + 5):
        guesser.get("/api/v1/sessions")
    assert ada.get("/sessions").status_code == 200, "the same address, a right key"
    assert guesser.get("/api/v1/sessions").status_code == 429


def composed() -> dict[str, Any]:
    """The compose file with every variable at its default."""
    text = (Path(__file__).parents[3] / "docker-compose.yml").read_text()
    described: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))
    return described


async def test_behind_the_tls_proxy_callers_keep_their_addresses_and_nobody_chooses_one() -> None:
    described = composed()
    network = described["networks"]["default"]["ipam"]["config"][0]
    proxy = described["services"]["caddy"]["networks"]["default"]["ipv4_address"]
    trusted = described["services"]["web"]["environment"]["FORWARDED_ALLOW_IPS"]
    seen: list[str] = []

    async def web(scope: dict[str, Any], receive: object, send: object) -> None:
        seen.append(scope["client"][0])

    served = ProxyHeadersMiddleware(web, trusted_hosts=trusted)  # type: ignore[arg-type]
    for address in (proxy, network["gateway"]):
        headers = [(b"x-forwarded-for", b"203.0.113.7")]
        scope = {"type": "http", "scheme": "http", "client": (address, 1), "headers": headers}
        await served(scope, None, None)  # type: ignore[arg-type]
    assert seen == ["203.0.113.7", network["gateway"]]
    assert ip_address(proxy) in ip_network(network["subnet"])
    assert ip_address(proxy) not in ip_network(network["ip_range"]), "no other container gets it"


def test_the_command_prints_a_key_that_works(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("create_api_key", "app", "--account", "studio", "--scope", "sessions:read")
    secret = capsys.readouterr().out.strip()
    client = Client(headers={"authorization": f"Bearer {secret}"})
    assert client.get("/api/v1/sessions").status_code == 200
    assert client.get("/api/v1/workers").status_code == 403
    call_command("create_api_key", "app", "--account", "studio")
    with pytest.raises(CommandError, match="two keys"):
        call_command("create_api_key", "app", "--account", "studio")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("app", "--days", "0"), "--days of 1 to 36500, found 0"),
        (("app", "--days", "99999999"), "--days of 1 to 36500, found 99999999"),
        (("",), "a name of 1 to 120 characters, found 0"),
        (("x" * 300,), "a name of 1 to 120 characters, found 300"),
    ],
)
def test_the_command_refuses_names_and_days_that_cannot_be(
    more: tuple[str, ...], said: str
) -> None:
    # A key of 0 days never expired.
    with pytest.raises(CommandError, match=said):
        call_command("create_api_key", *more)
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("slug", ["Ä b", "x/../y", "x" * 61])
def test_an_account_needs_a_slug(slug: str) -> None:
    with pytest.raises(CommandError, match="a slug is 1 to 60 letters"):
        call_command("create_api_key", "app", "--account", slug)
    assert not Account.objects.exists()


def test_a_key_of_the_command_expires_after_its_days(
    capsys: pytest.CaptureFixture[str], world: World
) -> None:
    call_command("create_api_key", "app", "--days", "1")
    secret = capsys.readouterr().out.strip()
    assert auth.find_caller(secret) is not None
    world.clock.advance(86_400)
    assert auth.find_caller(secret) is None


def test_before_there_are_tables_the_command_says_how_to_make_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(**_: object) -> None:
        raise OperationalError("no such table: avatar_access_account")

    monkeypatch.setattr(create_api_key, "open_account", refuse)
    with pytest.raises(CommandError, match=r"no such table: .*; did `manage.py migrate` run"):
        call_command("create_api_key", "app")


def test_an_adopted_key_works_and_replaces_itself() -> None:
    account = open_account(name="Demo")
    adopt_key(account=account, name="demo", key="demo." + "a" * 43)
    adopt_key(account=account, name="demo", key="demo." + "b" * 43)
    assert auth.find_caller("demo." + "a" * 43) is None
    assert auth.find_caller("demo." + "b" * 43) is not None
    with pytest.raises(InvalidRequestError):
        adopt_key(account=account, name="demo", key="demo.short")
