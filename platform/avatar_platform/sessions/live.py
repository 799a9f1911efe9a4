"""What happens in a session, pushed to whoever watches it (page, admin, applications).

A consumer joins the channel-layer group `group_name(session)` and receives
`{"type": "session.message", "message": {…}}`; it forwards `message` unchanged. The messages:

    {"type": "session", …the body of GET /sessions/{id}…}
    {"type": "transcript", "role": "user" | "avatar", "text": …, "final": bool, "at": …}
    {"type": "latency", "name": …, "ms": …}
    {"type": "event", "kind": …, "at": …, "data": {…}}
"""

from collections.abc import Sequence
from typing import Any, Final

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.core.signing import BadSignature, TimestampSigner
from django.db import transaction

from avatar_platform.gateways import shortlived
from avatar_platform.sessions import selectors
from avatar_platform.sessions.models import Session, SessionKey

HANDLER: Final = "session.message"
QUEUE_PUSHED: Final = 100
"""Whoever waits further back is told at the next question instead."""
WATCH_TOKEN_MAX_AGE_S: Final = 6 * 3600
_TOLD: Final = "queue-places-told"
_TOLD_FOR_S: Final = 60
_SIGNER: Final = TimestampSigner(salt="avatar_platform.sessions.live")


def group_name(session_id: SessionKey) -> str:
    return f"session.{session_id}"


def publish(session_id: SessionKey, message: dict[str, Any]) -> None:
    """Push a message once the surrounding transaction has committed.

    Pushing is a courtesy: when the channel layer is away, the change stands and Django logs it.
    """
    transaction.on_commit(lambda: _send(session_id, message), robust=True)


def publish_state(session_id: SessionKey) -> None:
    """Push the session's present state once the surrounding transaction has committed."""
    transaction.on_commit(lambda: _send_state(session_id), robust=True)


def publish_places() -> None:
    """Push whoever waits their place, where it has changed since the last round (the reaper's)."""
    places = selectors.queue_places(QUEUE_PUSHED)
    told = shortlived.recall(_TOLD) or {}
    changed = [
        (session.pk, {"type": "session", **selectors.describe(session, place)})
        for session, place in places
        if told.get(str(session.pk)) != place
    ]
    if changed:
        transaction.on_commit(lambda: async_to_sync(_send_all)(changed), robust=True)
    if places or told:
        shortlived.note(_TOLD, {str(session.pk): place for session, place in places}, _TOLD_FOR_S)


def _send_state(session_id: SessionKey) -> None:
    session = Session.objects.select_related("character").filter(pk=session_id).first()
    if session is not None:
        _send(session_id, {"type": "session", **selectors.describe(session)})


def _send(session_id: SessionKey, message: dict[str, Any]) -> None:
    async_to_sync(_send_all)([(session_id, message)])


async def _send_all(messages: Sequence[tuple[SessionKey, dict[str, Any]]]) -> None:
    layer = get_channel_layer()
    if layer is None:
        return
    for session_id, message in messages:
        await layer.group_send(group_name(session_id), {"type": HANDLER, "message": message})


def watch_token(session_id: SessionKey) -> str:
    """A token for `/ws/sessions/{id}?token=…`: watches this one session, nothing else."""
    return _SIGNER.sign(str(session_id))


def watched_session(token: str) -> str | None:
    """The session a watch token is for; None when it is forged or too old."""
    try:
        return _SIGNER.unsign(token, max_age=WATCH_TOKEN_MAX_AGE_S)
    except BadSignature:
        return None
