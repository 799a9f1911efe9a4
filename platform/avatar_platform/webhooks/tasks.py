"""The control worker's task for webhooks."""

from celery import shared_task

from avatar_platform.gateways.queue import ControlTask
from avatar_platform.webhooks import services


@shared_task(name=ControlTask.DELIVER.value)
def deliver(delivery_id: str) -> None:
    """Try one message."""
    services.deliver(delivery_id)
