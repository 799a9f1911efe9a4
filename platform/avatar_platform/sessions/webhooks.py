"""What LiveKit tells by webhook: a second source beside the agent, never the only one."""

from typing import Final

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from avatar_contracts.beat import EventKind
from avatar_contracts.messages import SessionReport
from avatar_platform import clock
from avatar_platform.gateways import after_commit, gateways, shortlived
from avatar_platform.gateways.livekit import RoomEvent, WebhookRefusedError
from avatar_platform.gateways.queue import ControlTask
from avatar_platform.observability import log
from avatar_platform.sessions import events, selectors

MAX_BODY_BYTES: Final = 65_536
REMEMBER_S: Final = 600
"""Longer than LiveKit repeats a webhook, and than an old one is accepted."""
_LEFT: Final = {"participant_left", "participant_connection_aborted", "room_finished"}


@csrf_exempt
@require_POST
def livekit_webhook(request: HttpRequest) -> HttpResponse:
    """Check, forget repetitions, apply; 401 for what LiveKit did not sign, or long ago."""
    if int(request.headers.get("Content-Length") or 0) > MAX_BODY_BYTES:
        return HttpResponse(status=413)
    try:
        event = gateways().rooms.receive_webhook(
            request.body, request.headers.get("Authorization", "")
        )
    except WebhookRefusedError as error:
        log().warning("webhook refused", error=str(error))
        return HttpResponse(status=401)
    if shortlived.is_first(f"livekit-webhook:{event.id}", REMEMBER_S):
        apply_event(event)
    return HttpResponse(status=200)


def apply_event(event: RoomEvent) -> None:
    """Somebody came: note it. Somebody left, or the room did: look who is there."""
    session = selectors.open_sessions().filter(room=event.room).first()
    if session is None:
        return
    person = event.participant
    if event.kind == "participant_joined" and person is not None and not person.is_agent:
        events.apply_report(
            SessionReport(
                session=str(session.pk),
                epoch=session.epoch,
                key=f"webhook:{event.id}",
                kind=EventKind.USER_JOINED.value,
                at_ms=int(clock.now().timestamp() * 1000),
            )
        )
    elif event.kind in _LEFT:
        after_commit(ControlTask.LOOK_INTO_ROOM, str(session.pk))
