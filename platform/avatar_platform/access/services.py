"""Accounts and keys: open, issue, revoke. A secret is returned once and stored as a hash."""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from django.db import transaction
from django.utils.text import slugify

from avatar_platform import clock
from avatar_platform.access.models import ALL_SCOPES, Account, ApiKey
from avatar_platform.config import get_settings
from avatar_platform.errors import InvalidRequestError
from avatar_platform.observability import log
from avatar_platform.slugs import require_slug

SECRET_BYTES: Final = 32
"""256 random bits: a fast hash is enough, there is nothing to guess."""
KEYS_AT_ONCE: Final = 2
"""Of one name: the one in use, and the one that will replace it."""
DEMO_ACCOUNT: Final = "demo"


def open_account(*, name: str, slug: str = "", max_sessions: int | None = None) -> Account:
    """Make an account, or return the one that has this slug.

    Raises:
        InvalidRequestError: the slug cannot be one.
    """
    slug = slug or slugify(name)[:60]
    require_slug(Account.slug.field, slug)
    account, is_new = Account.objects.get_or_create(
        slug=slug,
        defaults={
            "name": name,
            "max_sessions": max_sessions or get_settings().platform_max_sessions,
        },
    )
    if is_new:
        log().info("account opened", account=account.slug)
    return account


def demo_account() -> Account:
    """The account of the page for visitors."""
    return open_account(name="Demo", slug=DEMO_ACCOUNT)


def hash_secret(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def issue_key(
    *,
    account: Account,
    name: str,
    scopes: Iterable[str] = ALL_SCOPES,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """A new key; the second value is `prefix.secret`, which nobody can tell again.

    Raises:
        InvalidRequestError: an unknown scope, or two usable keys of this name already.
    """
    wanted = list(dict.fromkeys(scopes))
    if unknown := set(wanted) - set(ALL_SCOPES):
        raise InvalidRequestError(f"unknown scope {sorted(unknown)[0]!r}; there are {ALL_SCOPES}")
    with transaction.atomic():
        Account.objects.select_for_update().get(pk=account.pk)
        usable = ApiKey.objects.filter(ApiKey.is_usable_at(clock.now()), account=account, name=name)
        if usable.count() >= KEYS_AT_ONCE:
            raise InvalidRequestError(
                f"two keys named {name!r} are in use; revoke one before issuing another"
            )
        secret = secrets.token_urlsafe(SECRET_BYTES)
        key = ApiKey.objects.create(
            account=account,
            name=name,
            prefix=f"ak{secrets.token_hex(5)}",
            secret_sha256=hash_secret(secret),
            scopes=wanted,
            expires_at=expires_at,
        )
    log().info("key issued", key_prefix=key.prefix, account=account.slug)
    return key, f"{key.prefix}.{secret}"


def adopt_key(*, account: Account, name: str, key: str) -> ApiKey:
    """Make a key that somebody else chose valid; an older one with its prefix is replaced.

    For installations that hand the key to several processes at start.

    Raises:
        InvalidRequestError: it is not `prefix.secret`, or the secret is too short to be one.
    """
    prefix, _, secret = key.partition(".")
    if not prefix or len(prefix) > 16 or len(secret) < 32:
        raise InvalidRequestError("a key is a prefix of at most 16 characters, a dot, 32 or more")
    adopted, _ = ApiKey.objects.update_or_create(
        prefix=prefix,
        defaults={
            "account": account,
            "name": name,
            "secret_sha256": hash_secret(secret),
            "scopes": ALL_SCOPES,
            "expires_at": None,
            "revoked_at": None,
        },
    )
    return adopted


def revoke_key(*, key: ApiKey) -> None:
    """End a key now; a second time changes nothing."""
    if ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=clock.now()):
        log().info("key revoked", key_prefix=key.prefix)
