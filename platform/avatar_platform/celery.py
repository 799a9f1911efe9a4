"""The Celery app of the control worker and of beat.

`celery -A avatar_platform worker -Q control` and `celery -A avatar_platform beat`.
"""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "avatar_platform.settings")

app = Celery("avatar_platform")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
