"""Who can be shown: characters, their published bundles, and the consent behind each face."""

import uuid
from datetime import datetime

from django.db import models
from django.db.models import Q

from avatar_platform.access.models import Account

TEST_CARD = "test-card"


class Character(models.Model):
    """A face with a name, a voice and something to say. Without an account it belongs to everybody.

    The persona is a default: a session may override it, and an operator may edit it at any time.
    The look is a `CharacterVersion`, which never changes.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(
        Account, null=True, blank=True, on_delete=models.CASCADE, related_name="characters"
    )
    slug = models.SlugField(max_length=60)
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    published_version = models.ForeignKey(
        "CharacterVersion", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    instructions = models.TextField(blank=True, help_text="What the conversation model is told.")
    voice = models.CharField(max_length=120, blank=True)
    language = models.CharField(max_length=20, default="en-US")
    greeting = models.TextField(blank=True, help_text="Spoken when the face has appeared.")
    knowledge = models.JSONField(
        default=list, blank=True, help_text='[{"questions": ["…"], "answer": "…"}]'
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("slug",)
        constraints = (
            models.UniqueConstraint(fields=("account", "slug"), name="one_slug_per_account"),
            models.UniqueConstraint(
                fields=("slug",), condition=Q(account=None), name="one_slug_for_everybody"
            ),
        )

    def __str__(self) -> str:
        return self.name


class CharacterVersion(models.Model):
    """An immutable bundle that renders a character. A built-in engine needs no bundle."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    character = models.ForeignKey(Character, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    engine = models.CharField(max_length=40)
    width = models.PositiveIntegerField(default=512)
    height = models.PositiveIntegerField(default=512)
    bundle = models.FileField(upload_to="bundles/", blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    size_bytes = models.PositiveBigIntegerField(default=0)
    licence = models.CharField(max_length=120, blank=True)
    source_sha256 = models.CharField(
        max_length=64, blank=True, help_text="Of the folders it was converted from, if any."
    )
    preview = models.FileField(upload_to="previews/", blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("character", "-number")
        constraints = (
            models.UniqueConstraint(fields=("character", "number"), name="one_version_per_number"),
        )

    def __str__(self) -> str:
        return f"{self.character.slug} v{self.number}"

    @property
    def is_built_in(self) -> bool:
        return not self.bundle


class ConsentKind(models.TextChoices):
    SYNTHETIC = "synthetic", "nobody's likeness: a synthetic person or a drawing"
    PERSON = "person", "a person who agreed"
    OPERATOR = "operator", "the operator of this installation vouches for it"


class Consent(models.Model):
    """Why this face may be shown: without a valid one nothing is published or started."""

    character = models.ForeignKey(Character, on_delete=models.CASCADE, related_name="consents")
    kind = models.CharField(max_length=20, choices=ConsentKind)
    subject = models.CharField(max_length=200, help_text="Whose face it is.")
    scope = models.TextField(blank=True, help_text="What it may be used for.")
    reference = models.CharField(
        max_length=200, blank=True, help_text="Where the signed proof is kept."
    )
    proof_sha256 = models.CharField(max_length=64, blank=True)
    recorded_by = models.CharField(max_length=150, blank=True)
    recorded_at = models.DateTimeField(auto_now_add=True)
    valid_until = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-recorded_at",)

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.subject}"

    @staticmethod
    def is_valid_at(now: datetime) -> Q:
        return Q(revoked_at=None) & (Q(valid_until=None) | Q(valid_until__gt=now))
