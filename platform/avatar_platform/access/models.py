"""Who may call: accounts (tenants), their API keys, and the answers kept for repeated requests."""

import uuid
from datetime import datetime
from enum import StrEnum

from django.db import models
from django.db.models import Q


class Scope(StrEnum):
    """What a key may do."""

    SESSIONS_READ = "sessions:read"
    SESSIONS_WRITE = "sessions:write"
    CHARACTERS_READ = "characters:read"
    CHARACTERS_WRITE = "characters:write"
    FLEET_READ = "fleet:read"


ALL_SCOPES = [scope.value for scope in Scope]


def all_scopes() -> list[str]:
    return list(ALL_SCOPES)


class Account(models.Model):
    """A tenant. Everything else belongs to exactly one, and is invisible to all others."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=120)
    slug = models.SlugField(max_length=60, unique=True)
    max_sessions = models.PositiveIntegerField(
        default=20, help_text="How many sessions may be open at once."
    )
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class ApiKey(models.Model):
    """`prefix.secret`: the prefix finds the row, the hash proves the secret. Shown only once."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="keys")
    name = models.CharField(max_length=120, help_text="What uses it; two keys may share a name.")
    prefix = models.CharField(max_length=16, unique=True, editable=False)
    secret_sha256 = models.CharField(max_length=64, editable=False)
    scopes = models.JSONField(default=all_scopes)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = "API key"
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @staticmethod
    def is_usable_at(now: datetime) -> Q:
        """Not revoked, not expired."""
        return Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=now))


class IdempotentAnswer(models.Model):
    """The first answer to a request with an `Idempotency-Key`, kept for a day. Holds no token."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=200)
    path = models.CharField(max_length=200)
    body_sha256 = models.CharField(max_length=64)
    answer = models.JSONField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("account", "key", "path"), name="one_answer_per_key"),
        )
