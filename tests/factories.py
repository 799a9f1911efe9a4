"""One known cast: Ada owns a key and a character, Ben shares her account, Cleo is a stranger."""

from dataclasses import dataclass
from typing import Any

from django.test import Client

from avatar_platform.access.models import ALL_SCOPES, Account
from avatar_platform.access.services import issue_key, open_account
from avatar_platform.characters.models import Character, CharacterVersion, ConsentKind
from avatar_platform.characters.services import publish, record_consent


@dataclass(frozen=True)
class Person:
    """Somebody with a key, and a client that sends it."""

    account: Account
    secret: str

    @property
    def client(self) -> Client:
        return Client(headers={"authorization": f"Bearer {self.secret}"})

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.client.post(
            f"/api/v1{path}", data=body, content_type="application/json", headers=headers
        )

    def get(self, path: str, **query: str) -> Any:
        return self.client.get(f"/api/v1{path}", query_params=query)

    def delete(self, path: str) -> Any:
        return self.client.delete(f"/api/v1{path}")


def person(name: str, account: str, *, scopes: list[str] = ALL_SCOPES) -> Person:
    owner = open_account(name=account.title(), slug=account)
    _, secret = issue_key(account=owner, name=name, scopes=scopes)
    return Person(owner, secret)


def ada() -> Person:
    return person("ada", "studio")


def ben() -> Person:
    return person("ben", "studio")


def cleo() -> Person:
    return person("cleo", "elsewhere")


def character(account: Account | None, slug: str = "grace", engine: str = "synctalk") -> Character:
    """A published character with consent; its bundle is not a real one."""
    made = Character.objects.create(
        account=account, slug=slug, name=slug.title(), instructions="Be kind.", voice="piper:joe"
    )
    version = CharacterVersion.objects.create(
        character=made, number=1, engine=engine, sha256="a" * 64, size_bytes=1
    )
    record_consent(character=made, kind=ConsentKind.SYNTHETIC, subject="a drawing")
    publish(version=version)
    return made
