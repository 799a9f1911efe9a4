"""One conversation between one visitor and one character, and everything that happened in it.

    queued ──► provisioning ──► ready ──► active ──► ending ──► ended
      ▲              │            │          │          │
      └──────────────┴────────────┴──────────┘          └─────► failed

Every change of `status` goes through `services.py` as one conditional update on (status, epoch),
with its `SessionEvent` in the same transaction. The row is the truth; a queue entry is a hint.
"""

import secrets
import uuid
from typing import TypeAlias

from django.db import models
from django.utils import timezone

from avatar_contracts.states import OPEN_STATES, EndReason, SessionMode, SessionState
from avatar_platform.access.models import Account, ApiKey
from avatar_platform.characters.models import Character, CharacterVersion
from avatar_platform.fleet.models import AvatarWorker

SessionKey: TypeAlias = uuid.UUID | str
OPEN = [state.value for state in sorted(OPEN_STATES)]


def random_room() -> str:
    """128 random bits: whoever knows one room's name can guess no other."""
    return f"room-{secrets.token_hex(16)}"


def _choices(
    words: type[SessionState] | type[EndReason] | type[SessionMode],
) -> list[tuple[str, str]]:
    return [(word.value, word.value.lower().replace("_", " ")) for word in words]


class Session(models.Model):
    """`epoch` counts how often the session was handed out; it fences what older owners still do."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="sessions")
    api_key = models.ForeignKey(
        ApiKey, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    character = models.ForeignKey(
        Character, null=True, on_delete=models.SET_NULL, related_name="sessions"
    )
    version = models.ForeignKey(
        CharacterVersion, null=True, on_delete=models.SET_NULL, related_name="sessions"
    )
    mode = models.CharField(
        max_length=20, choices=_choices(SessionMode), default=SessionMode.CONVERSATION.value
    )
    persona = models.JSONField(default=dict, blank=True, help_text="Overrides the character's.")
    expression = models.JSONField(
        default=dict, blank=True, help_text="How the face is held; goes before the character's own."
    )
    picture = models.JSONField(
        default=dict, blank=True, help_text="How pictures are put together; likewise."
    )
    metadata = models.JSONField(default=dict, blank=True)
    callback_url = models.URLField(max_length=500, blank=True)
    max_duration_s = models.PositiveIntegerField(default=1800)
    idle_timeout_s = models.PositiveIntegerField(default=180)

    status = models.CharField(
        max_length=20, choices=_choices(SessionState), default=SessionState.QUEUED.value
    )
    epoch = models.PositiveIntegerField(default=1)
    worker = models.ForeignKey(
        AvatarWorker, null=True, blank=True, on_delete=models.SET_NULL, related_name="sessions"
    )
    worker_class = models.CharField(max_length=40, default="default")
    room = models.CharField(max_length=60, unique=True, default=random_room)
    end_reason = models.CharField(max_length=40, choices=_choices(EndReason), blank=True)
    end_detail = models.CharField(max_length=300, blank=True, help_text="For the operator.")

    created_at = models.DateTimeField(default=timezone.now, db_index=True)
    queued_at = models.DateTimeField(default=timezone.now, help_text="Start of this epoch.")
    sent_at = models.DateTimeField(null=True, blank=True, help_text="Last put on the queue.")
    claimed_at = models.DateTimeField(null=True, blank=True)
    avatar_joined_at = models.DateTimeField(null=True, blank=True, help_text="Of the first time.")
    first_frame_at = models.DateTimeField(null=True, blank=True, help_text="Of the first time.")
    first_frame_epoch = models.PositiveIntegerField(
        default=0, help_text="The last epoch whose avatar has shown a picture."
    )
    agent_dispatched_at = models.DateTimeField(null=True, blank=True)
    agent_dispatches = models.PositiveIntegerField(default=0, help_text="Since it last joined.")
    agent_joined_at = models.DateTimeField(
        null=True, blank=True, help_text="Empty while it is away."
    )
    visitor_joined_at = models.DateTimeField(null=True, blank=True, help_text="Of the first time.")
    visitor_left_at = models.DateTimeField(null=True, blank=True, help_text="Empty while present.")
    first_claimed_at = models.DateTimeField(null=True, blank=True)
    ready_at = models.DateTimeField(null=True, blank=True, help_text="Of the first time.")
    active_at = models.DateTimeField(null=True, blank=True, help_text="Of the first time.")
    last_activity_at = models.DateTimeField(default=timezone.now)
    ending_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    erased_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at",)
        indexes = (
            models.Index(fields=("status", "queued_at"), name="session_queue"),
            models.Index(fields=("account", "-created_at"), name="session_of_account"),
        )

    def __str__(self) -> str:
        return str(self.id)

    @property
    def state(self) -> SessionState:
        return SessionState(self.status)

    @property
    def has_face(self) -> bool:
        """The avatar of this epoch has published a picture."""
        return self.first_frame_epoch == self.epoch

    @property
    def is_visitor_present(self) -> bool:
        return self.visitor_joined_at is not None and self.visitor_left_at is None


class SessionEvent(models.Model):
    """One thing that happened. `key` is unique in its session: the same report twice is one row."""

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="events")
    key = models.CharField(max_length=120)
    epoch = models.PositiveIntegerField()
    kind = models.CharField(max_length=60)
    at = models.DateTimeField()
    data = models.JSONField(default=dict)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=("session", "key"), name="one_event_per_key"),
        )

    def __str__(self) -> str:
        return self.kind


class TranscriptLine(models.Model):
    """What was said, finally. Never written to a log."""

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="lines")
    key = models.CharField(max_length=120)
    role = models.CharField(max_length=10, choices=[("user", "visitor"), ("avatar", "avatar")])
    text = models.TextField()
    at = models.DateTimeField()

    class Meta:
        ordering = ("at", "id")
        constraints = (models.UniqueConstraint(fields=("session", "key"), name="one_line_per_key"),)

    def __str__(self) -> str:
        return f"line {self.pk}"
