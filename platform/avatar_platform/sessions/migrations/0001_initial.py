import uuid

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import avatar_platform.sessions.models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("access", "0001_initial"),
        ("characters", "0001_initial"),
        ("fleet", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Session",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "mode",
                    models.CharField(
                        choices=[("conversation", "conversation"), ("echo", "echo")],
                        default="conversation",
                        max_length=20,
                    ),
                ),
                (
                    "persona",
                    models.JSONField(
                        blank=True, default=dict, help_text="Overrides the character's."
                    ),
                ),
                ("metadata", models.JSONField(blank=True, default=dict)),
                ("callback_url", models.URLField(blank=True, max_length=500)),
                ("max_duration_s", models.PositiveIntegerField(default=1800)),
                ("idle_timeout_s", models.PositiveIntegerField(default=180)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("queued", "queued"),
                            ("provisioning", "provisioning"),
                            ("ready", "ready"),
                            ("active", "active"),
                            ("ending", "ending"),
                            ("ended", "ended"),
                            ("failed", "failed"),
                        ],
                        default="queued",
                        max_length=20,
                    ),
                ),
                ("epoch", models.PositiveIntegerField(default=1)),
                ("worker_class", models.CharField(default="default", max_length=40)),
                (
                    "room",
                    models.CharField(
                        default=avatar_platform.sessions.models.random_room,
                        max_length=60,
                        unique=True,
                    ),
                ),
                (
                    "end_reason",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("UNKNOWN", "unknown"),
                            ("USER_DISCONNECTED", "user disconnected"),
                            ("SERVER_ERROR", "server error"),
                            ("IDLE_TIMEOUT", "idle timeout"),
                            ("NO_CREDITS", "no credits"),
                            ("USER_CLOSED", "user closed"),
                            ("AVATAR_DELETED", "avatar deleted"),
                            ("MAX_DURATION_REACHED", "max duration reached"),
                            ("ZOMBIE_SESSION_REAP", "zombie session reap"),
                            ("AGENT_HANG_UP", "agent hang up"),
                            ("API_CLOSED", "api closed"),
                            ("ADMIN_STOPPED", "admin stopped"),
                            ("PARTICIPANT_ABSENT", "participant absent"),
                            ("QUEUE_TIMEOUT", "queue timeout"),
                            ("WORKER_LOST", "worker lost"),
                            ("AGENT_LOST", "agent lost"),
                            ("LLM_LOST", "llm lost"),
                            ("CHARACTER_BROKEN", "character broken"),
                            ("ROOM_LOST", "room lost"),
                        ],
                        max_length=40,
                    ),
                ),
                (
                    "end_detail",
                    models.CharField(blank=True, help_text="For the operator.", max_length=300),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_index=True, default=django.utils.timezone.now),
                ),
                (
                    "queued_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, help_text="Start of this epoch."
                    ),
                ),
                (
                    "sent_at",
                    models.DateTimeField(blank=True, help_text="Last put on the queue.", null=True),
                ),
                ("claimed_at", models.DateTimeField(blank=True, null=True)),
                (
                    "avatar_joined_at",
                    models.DateTimeField(blank=True, help_text="Of the first time.", null=True),
                ),
                (
                    "first_frame_at",
                    models.DateTimeField(blank=True, help_text="Of the first time.", null=True),
                ),
                (
                    "first_frame_epoch",
                    models.PositiveIntegerField(
                        default=0, help_text="The last epoch whose avatar has shown a picture."
                    ),
                ),
                ("agent_dispatched_at", models.DateTimeField(blank=True, null=True)),
                (
                    "agent_dispatches",
                    models.PositiveIntegerField(default=0, help_text="Since it last joined."),
                ),
                (
                    "agent_joined_at",
                    models.DateTimeField(
                        blank=True, help_text="Empty while it is away.", null=True
                    ),
                ),
                (
                    "visitor_joined_at",
                    models.DateTimeField(blank=True, help_text="Of the first time.", null=True),
                ),
                (
                    "visitor_left_at",
                    models.DateTimeField(blank=True, help_text="Empty while present.", null=True),
                ),
                ("first_claimed_at", models.DateTimeField(blank=True, null=True)),
                (
                    "ready_at",
                    models.DateTimeField(blank=True, help_text="Of the first time.", null=True),
                ),
                (
                    "active_at",
                    models.DateTimeField(blank=True, help_text="Of the first time.", null=True),
                ),
                ("last_activity_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("ending_at", models.DateTimeField(blank=True, null=True)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                ("erased_at", models.DateTimeField(blank=True, null=True)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="sessions",
                        to="access.account",
                    ),
                ),
                (
                    "api_key",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="access.apikey",
                    ),
                ),
                (
                    "character",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="sessions",
                        to="characters.character",
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="sessions",
                        to="characters.characterversion",
                    ),
                ),
                (
                    "worker",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="sessions",
                        to="fleet.avatarworker",
                    ),
                ),
            ],
            options={
                "ordering": ("-created_at",),
            },
        ),
        migrations.CreateModel(
            name="SessionEvent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("key", models.CharField(max_length=120)),
                ("epoch", models.PositiveIntegerField()),
                ("kind", models.CharField(max_length=60)),
                ("at", models.DateTimeField()),
                ("data", models.JSONField(default=dict)),
                (
                    "session",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="events",
                        to="avatar_sessions.session",
                    ),
                ),
            ],
            options={
                "ordering": ("id",),
            },
        ),
        migrations.CreateModel(
            name="TranscriptLine",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("key", models.CharField(max_length=120)),
                (
                    "role",
                    models.CharField(
                        choices=[("user", "visitor"), ("avatar", "avatar")], max_length=10
                    ),
                ),
                ("text", models.TextField()),
                ("at", models.DateTimeField()),
                (
                    "session",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="lines",
                        to="avatar_sessions.session",
                    ),
                ),
            ],
            options={
                "ordering": ("at", "id"),
            },
        ),
        migrations.AddIndex(
            model_name="session",
            index=models.Index(fields=["status", "queued_at"], name="session_queue"),
        ),
        migrations.AddIndex(
            model_name="session",
            index=models.Index(fields=["account", "-created_at"], name="session_of_account"),
        ),
        migrations.AddConstraint(
            model_name="sessionevent",
            constraint=models.UniqueConstraint(fields=("session", "key"), name="one_event_per_key"),
        ),
        migrations.AddConstraint(
            model_name="transcriptline",
            constraint=models.UniqueConstraint(fields=("session", "key"), name="one_line_per_key"),
        ),
    ]
