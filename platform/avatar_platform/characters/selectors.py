"""Reads of characters: within an account, together with those that belong to everybody."""

import uuid

from django.core.files.base import File
from django.db.models import Exists, OuterRef, Q, QuerySet

from avatar_platform import clock
from avatar_platform.access.models import Account
from avatar_platform.characters.models import Character, CharacterVersion, Consent
from avatar_platform.errors import CharacterUnavailableError, ForbiddenError, NotFoundError


def visible_characters(account: Account) -> QuerySet[Character]:
    """The account's own, and everybody's."""
    return (
        Character.objects.filter(Q(account=account) | Q(account=None))
        .select_related("published_version")
        .order_by("slug", "pk")
    )


def startable_characters(account: Account) -> QuerySet[Character]:
    """Published, and shown with a valid consent."""
    consent = Consent.objects.filter(Consent.is_valid_at(clock.now()), character=OuterRef("pk"))
    return visible_characters(account).filter(Exists(consent), published_version__isnull=False)


def get_character(*, account: Account, name: str) -> Character:
    """By id or slug; the account's own goes before everybody's.

    Raises:
        NotFoundError: there is none, or it is another tenant's.
    """
    found = _named(visible_characters(account), name)
    if found is None:
        raise NotFoundError("no such character")
    return found


def get_own_character(*, account: Account, name: str) -> Character:
    """A character that this account may change.

    Raises:
        NotFoundError: there is none, or it is another tenant's.
        ForbiddenError: it is everybody's, and operators change it.
    """
    character = get_character(account=account, name=name)
    if character.account_id is None:
        raise ForbiddenError("this character belongs to everybody; operators change it")
    return character


def find_startable(*, account: Account, name: str) -> Character:
    """A character that a session may show now.

    Raises:
        CharacterUnavailableError: unknown, another tenant's, not published, or without consent.
    """
    found = _named(startable_characters(account), name)
    if found is not None:
        return found
    if _named(visible_characters(account), name) is None:
        raise CharacterUnavailableError("no such character", field="character")
    raise CharacterUnavailableError(
        "the character is not published or has no valid consent", field="character"
    )


def _named(characters: QuerySet[Character], name: str) -> Character | None:
    if "\0" in name:  # PostgreSQL refuses to look for it
        return None
    found = list(characters.filter(is_named(name)))
    return min(found, key=lambda character: character.account_id is None, default=None)


def is_named(name: str, prefix: str = "") -> Q:
    """Of this id, or else this slug; `prefix` leads from other rows to their character."""
    try:
        return Q(**{f"{prefix}pk": uuid.UUID(name)})
    except ValueError:
        return Q(**{f"{prefix}slug": name})


def bundle_of(version_id: str) -> tuple["File[bytes]", str, int]:
    """A version's bundle, opened for reading: file, sha256, size in bytes.

    Raises:
        NotFoundError: no such version, or it is built in and needs none.
    """
    try:
        version = CharacterVersion.objects.filter(pk=uuid.UUID(version_id)).first()
    except ValueError:
        version = None
    if version is None or version.is_built_in:
        raise NotFoundError("no such bundle")
    try:
        return version.bundle.storage.open(version.bundle.name), version.sha256, version.size_bytes
    except OSError as error:
        raise NotFoundError("the bundle's file is gone") from error
