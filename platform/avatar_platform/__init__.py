"""The Django project: admin, REST API, scheduling of avatar sessions."""

from avatar_platform.celery import app as celery_app

__all__ = ["celery_app"]
