import uuid

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("access", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Character",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("slug", models.SlugField(max_length=60)),
                ("name", models.CharField(max_length=120)),
                ("description", models.TextField(blank=True)),
                (
                    "instructions",
                    models.TextField(blank=True, help_text="What the conversation model is told."),
                ),
                ("voice", models.CharField(blank=True, max_length=120)),
                ("language", models.CharField(default="en-US", max_length=20)),
                (
                    "greeting",
                    models.TextField(blank=True, help_text="Spoken when the face has appeared."),
                ),
                (
                    "knowledge",
                    models.JSONField(
                        blank=True, default=list, help_text='[{"questions": ["…"], "answer": "…"}]'
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "account",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="characters",
                        to="access.account",
                    ),
                ),
            ],
            options={
                "ordering": ("slug",),
            },
        ),
        migrations.CreateModel(
            name="CharacterVersion",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("engine", models.CharField(max_length=40)),
                ("width", models.PositiveIntegerField(default=512)),
                ("height", models.PositiveIntegerField(default=512)),
                ("bundle", models.FileField(blank=True, upload_to="bundles/")),
                ("sha256", models.CharField(blank=True, max_length=64)),
                ("size_bytes", models.PositiveBigIntegerField(default=0)),
                ("licence", models.CharField(blank=True, max_length=120)),
                ("preview", models.FileField(blank=True, upload_to="previews/")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "character",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="versions",
                        to="characters.character",
                    ),
                ),
            ],
            options={
                "ordering": ("character", "-number"),
            },
        ),
        migrations.AddField(
            model_name="character",
            name="published_version",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="characters.characterversion",
            ),
        ),
        migrations.CreateModel(
            name="Consent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("synthetic", "nobody's likeness: a synthetic person or a drawing"),
                            ("person", "a person who agreed"),
                        ],
                        max_length=20,
                    ),
                ),
                ("subject", models.CharField(help_text="Whose face it is.", max_length=200)),
                ("scope", models.TextField(blank=True, help_text="What it may be used for.")),
                (
                    "reference",
                    models.CharField(
                        blank=True, help_text="Where the signed proof is kept.", max_length=200
                    ),
                ),
                ("proof_sha256", models.CharField(blank=True, max_length=64)),
                ("recorded_by", models.CharField(blank=True, max_length=150)),
                ("recorded_at", models.DateTimeField(auto_now_add=True)),
                ("valid_until", models.DateTimeField(blank=True, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "character",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="consents",
                        to="characters.character",
                    ),
                ),
            ],
            options={
                "ordering": ("-recorded_at",),
            },
        ),
        migrations.AddConstraint(
            model_name="characterversion",
            constraint=models.UniqueConstraint(
                fields=("character", "number"), name="one_version_per_number"
            ),
        ),
        migrations.AddConstraint(
            model_name="character",
            constraint=models.UniqueConstraint(
                fields=("account", "slug"), name="one_slug_per_account"
            ),
        ),
        migrations.AddConstraint(
            model_name="character",
            constraint=models.UniqueConstraint(
                condition=models.Q(("account", None)),
                fields=("slug",),
                name="one_slug_for_everybody",
            ),
        ),
    ]
