from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("characters", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="characterversion",
            name="source_sha256",
            field=models.CharField(
                blank=True, help_text="Of the folders it was converted from, if any.", max_length=64
            ),
        ),
        migrations.AlterField(
            model_name="consent",
            name="kind",
            field=models.CharField(
                choices=[
                    ("synthetic", "nobody's likeness: a synthetic person or a drawing"),
                    ("person", "a person who agreed"),
                    ("operator", "the operator of this installation vouches for it"),
                ],
                max_length=20,
            ),
        ),
    ]
