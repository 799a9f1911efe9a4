"""Where applications want to hear of their sessions, and every message on its way there."""

import uuid

from django.db import models

from avatar_platform.access.models import Account


class Endpoint(models.Model):
    """An address of an application. No events named: it hears all."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="endpoints")
    url = models.URLField(max_length=500)
    events = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return self.url


class Delivery(models.Model):
    """One message to one address; its id stays the same however often it is tried."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    endpoint = models.ForeignKey(
        Endpoint,
        null=True,
        on_delete=models.CASCADE,
        related_name="deliveries",
        help_text="Empty for a session's own callback address.",
    )
    session = models.ForeignKey(
        "avatar_sessions.Session",
        null=True,
        on_delete=models.CASCADE,
        related_name="deliveries",
        help_text="What it tells of; with what is erased of it, this goes too.",
    )
    url = models.URLField(max_length=500)
    kind = models.CharField(max_length=60)
    body = models.TextField()
    created_at = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, help_text="Empty: delivered, or given up.")
    delivered_at = models.DateTimeField(null=True)
    last_outcome = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name_plural = "deliveries"
        ordering = ("-created_at",)
        indexes = (models.Index(fields=("next_attempt_at",), name="delivery_due"),)

    def __str__(self) -> str:
        return f"{self.kind} → {self.url}"

    @property
    def is_dead(self) -> bool:
        """Tried as often as we try, without success."""
        return self.next_attempt_at is None and self.delivered_at is None
