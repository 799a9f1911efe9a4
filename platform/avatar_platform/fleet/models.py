"""The avatar workers as the platform knows them, and when the platform itself could hear them."""

from django.db import models
from django.utils import timezone


class AvatarWorker(models.Model):
    """One incarnation of an avatar worker: a restarted process is another row.

    It holds its sessions while `lease_until` lies in the future (database clock). Once `dead_at` is
    set it never comes back: its next beat is answered with "dead" and the process exits.
    """

    id = models.CharField(primary_key=True, max_length=100, editable=False)
    host = models.CharField(max_length=200, blank=True)
    device = models.CharField(max_length=200, blank=True)
    worker_class = models.CharField(max_length=40, default="default", db_index=True)
    slots = models.PositiveIntegerField(default=1)
    draining = models.BooleanField(default=False)
    render_progress = models.BigIntegerField(default=0)
    characters = models.JSONField(default=list, help_text="Character versions it has loaded.")
    figures = models.JSONField(default=list, help_text="How its sessions were at the last beat.")
    lease_until = models.DateTimeField()
    last_beat_at = models.DateTimeField()
    started_at = models.DateTimeField(default=timezone.now)
    dead_at = models.DateTimeField(null=True, blank=True, db_index=True)

    class Meta:
        ordering = ("-started_at",)

    def __str__(self) -> str:
        return f"{self.host or self.id} ({self.device or 'unknown device'})"


class PlatformProcess(models.Model):
    """A sign of life of one of our own processes: `web` (who hears beats) and `reaper`.

    `up_since` restarts whenever the signs had a gap. A worker cannot be blamed for silence while
    nobody listened, so nothing is reaped until the listener has been up for a while.
    """

    name = models.CharField(primary_key=True, max_length=40)
    up_since = models.DateTimeField()
    seen_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "platform processes"

    def __str__(self) -> str:
        return self.name
