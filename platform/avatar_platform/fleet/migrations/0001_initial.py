import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="AvatarWorker",
            fields=[
                (
                    "id",
                    models.CharField(
                        editable=False, max_length=100, primary_key=True, serialize=False
                    ),
                ),
                ("host", models.CharField(blank=True, max_length=200)),
                ("device", models.CharField(blank=True, max_length=200)),
                ("worker_class", models.CharField(db_index=True, default="default", max_length=40)),
                ("slots", models.PositiveIntegerField(default=1)),
                ("draining", models.BooleanField(default=False)),
                ("render_progress", models.BigIntegerField(default=0)),
                (
                    "characters",
                    models.JSONField(default=list, help_text="Character versions it has loaded."),
                ),
                (
                    "figures",
                    models.JSONField(
                        default=list, help_text="How its sessions were at the last beat."
                    ),
                ),
                ("lease_until", models.DateTimeField()),
                ("last_beat_at", models.DateTimeField()),
                ("started_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("dead_at", models.DateTimeField(blank=True, db_index=True, null=True)),
            ],
            options={
                "ordering": ("-started_at",),
            },
        ),
        migrations.CreateModel(
            name="PlatformProcess",
            fields=[
                ("name", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("up_since", models.DateTimeField()),
                ("seen_at", models.DateTimeField()),
            ],
            options={
                "verbose_name_plural": "platform processes",
            },
        ),
    ]
