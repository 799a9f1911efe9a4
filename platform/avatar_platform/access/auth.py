"""`Authorization: Bearer prefix.secret` → who calls, with what rights, how often."""

import hmac
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.http import HttpRequest
from ninja.security import HttpBearer

from avatar_platform import clock
from avatar_platform.access.models import Account, ApiKey, Scope
from avatar_platform.access.services import hash_secret
from avatar_platform.config import get_settings
from avatar_platform.errors import ForbiddenError, RateLimitError, UnauthenticatedError
from avatar_platform.gateways import shortlived

FAILURES_PER_MINUTE: Final = 30
"""Wrong keys from one address before it has to wait."""
LAST_USE_STEP_S: Final = 60
"""`last_used_at` is written at most this often."""
_UNIT_S: Final = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: everything is looked up within this account."""

    account: Account
    key: ApiKey


def find_caller(token: str) -> Caller | None:
    """The caller a key belongs to; None when it is unknown, wrong, expired or revoked."""
    prefix, _, secret = token.partition(".")
    now = clock.now()
    key = (
        ApiKey.objects.select_related("account")
        .filter(ApiKey.is_usable_at(now), prefix=prefix[:16], account__is_active=True)
        .first()
    )
    expected = key.secret_sha256 if key else hash_secret("")
    if not hmac.compare_digest(hash_secret(secret), expected) or key is None:
        return None
    if key.last_used_at is None or key.last_used_at < now - timedelta(seconds=LAST_USE_STEP_S):
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
    return Caller(key.account, key)


class ApiKeyAuth(HttpBearer):
    """Lets in who holds a key with this scope, at most so often."""

    def __init__(self, scope: Scope, *, creates: bool = False) -> None:
        super().__init__()
        self._scope = scope
        self._creates = creates

    def __call__(self, request: HttpRequest) -> Any:
        caller = super().__call__(request)
        if caller is None:
            _count_failure(request.META.get("REMOTE_ADDR", ""))
            raise UnauthenticatedError("send a valid key as `Authorization: Bearer prefix.secret`")
        if self._scope.value not in caller.key.scopes:
            raise ForbiddenError(f"this key lacks the scope {self._scope.value}")
        settings = get_settings()
        check_rate(f"requests:{caller.key.pk}", settings.platform_request_rate)
        if self._creates:
            check_rate(f"creates:{caller.key.pk}", settings.platform_create_rate)
        return caller

    def authenticate(self, request: HttpRequest, token: str) -> Caller | None:
        return find_caller(token)


def check_rate(name: str, rate: str) -> None:
    """Count one use against a rate such as `20/s` or `100/10m` (a fixed window).

    Raises:
        RateLimitError: the window's uses are spent; says the limit and how many there were.
    """
    match = re.fullmatch(r"(\d+)/(\d*)([smh])", rate)
    if match is None:
        raise ValueError(f"rate {rate!r}: expected a form like 20/s")
    limit, window_s = int(match[1]), int(match[2] or 1) * _UNIT_S[match[3]]
    used = shortlived.count(name, window_s)
    if used > limit:
        raise RateLimitError(
            f"{limit} requests per {window_s} s are allowed",
            retry_after_s=window_s,
            limit=limit,
            running=used,
        )


def _count_failure(address: str) -> None:
    """A right key is always served, so that nobody locks out those who share an address.

    Raises:
        RateLimitError: there were too many wrong ones lately.
    """
    failures = shortlived.count(f"auth-failures:{address}", 60)
    if failures > FAILURES_PER_MINUTE:
        raise RateLimitError(
            f"{FAILURES_PER_MINUTE} wrong keys a minute are allowed from one address",
            retry_after_s=60,
            limit=FAILURES_PER_MINUTE,
            running=failures,
        )
