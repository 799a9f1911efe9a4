import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("avatar_sessions", "0003_picture"),
        ("webhooks", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="delivery",
            name="session",
            field=models.ForeignKey(
                help_text="What it tells of; with what is erased of it, this goes too.",
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="deliveries",
                to="avatar_sessions.session",
            ),
        ),
    ]
