"""LiveKit against the database, every half minute: webhooks get lost, and so do our own calls."""

from datetime import timedelta
from typing import Final

from avatar_platform import clock
from avatar_platform.access.idempotency import KEEP_HOURS
from avatar_platform.access.models import IdempotentAnswer
from avatar_platform.fleet.models import AvatarWorker
from avatar_platform.gateways import gateways
from avatar_platform.observability import log
from avatar_platform.sessions import provisioning, selectors
from avatar_platform.webhooks.models import Delivery

ORPHAN_AFTER_S: Final = 30
"""A room younger than this may belong to a session that is just being written."""
DEAD_WORKER_KEPT_H: Final = 24
DELIVERIES_KEPT_DAYS: Final = 7


def reconcile() -> None:
    """Remove our rooms that no open session wants, restore those that are missing, look inside.

    Raises:
        UnavailableError: LiveKit does not answer.
    """
    now = clock.now()
    rooms = gateways().rooms.list_rooms()
    wanted = {session.room: session for session in selectors.open_sessions()}
    for room in rooms:
        is_ours = room.metadata == provisioning.room_metadata()
        old = room.created_at < now - timedelta(seconds=ORPHAN_AFTER_S)
        if is_ours and old and room.name not in wanted:
            gateways().rooms.delete_room(room.name)
            log().warning("orphan room removed", room=room.name)
    existing = {room.name for room in rooms}
    for name, session in wanted.items():
        if name not in existing:
            provisioning.ensure_room(session)
        if session.status in selectors.HOLDING:
            provisioning.look_into_room(session)
    forget_old()


def forget_old() -> None:
    """Answers kept for repetition, and workers that died long ago."""
    now = clock.now()
    IdempotentAnswer.objects.filter(created_at__lt=now - timedelta(hours=KEEP_HOURS)).delete()
    Delivery.objects.filter(
        next_attempt_at=None, created_at__lt=now - timedelta(days=DELIVERIES_KEPT_DAYS)
    ).delete()
    AvatarWorker.objects.filter(dead_at__lt=now - timedelta(hours=DEAD_WORKER_KEPT_H)).delete()
