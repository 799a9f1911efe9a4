"""Bringing a session up, and letting go of what it held.

    room → offered to the avatar workers → claimed → agent dispatched → … → room removed

Each step may be repeated: a room is ensured, an offer is only a hint, a dispatch happens at most
once in `AGENT_PATIENCE_S`.
"""

import hashlib
import json
from datetime import timedelta
from functools import cache
from typing import Final

from django.conf import settings
from django.db.models import F, Q

from avatar_contracts.codec import to_json
from avatar_contracts.identities import agent_identity
from avatar_contracts.messages import AvatarAssignedCommand, DispatchMetadata, EndCommand
from avatar_contracts.states import OPEN_STATES, EndReason, SessionState
from avatar_platform import clock
from avatar_platform.config import get_settings
from avatar_platform.errors import UnavailableError
from avatar_platform.gateways import after_commit, gateways
from avatar_platform.gateways.livekit import CALL_TIMEOUT_S
from avatar_platform.gateways.queue import ControlTask
from avatar_platform.observability import log
from avatar_platform.sessions import services
from avatar_platform.sessions.models import Session

AGENT_PATIENCE_S: Final = 5.0
"""How long a dispatched agent may take to join before another is asked for."""
INLINE_TIMEOUT_S: Final = 1.0
"""For a room made while somebody waits for our answer."""
MAX_DISPATCHES: Final = 6
"""Dispatches without a join before the session is given up."""
WANTING_AGENT: Final = [
    SessionState.PROVISIONING.value,
    SessionState.READY.value,
    SessionState.ACTIVE.value,
]


@cache
def room_metadata() -> str:
    """Marks our rooms in a LiveKit server that others may use too. Public to the room."""
    platform = hashlib.sha256(b"rooms of " + settings.SECRET_KEY.encode()).hexdigest()[:16]
    return json.dumps({"platform": platform})


def ensure_room(session: Session, timeout_s: float = CALL_TIMEOUT_S) -> None:
    """Have the room there, empty or not.

    It must outlive the longest wait for a visitor, who may join before or after the face.

    Raises:
        UnavailableError: LiveKit does not answer within the time.
    """
    config = get_settings()
    gateways().rooms.ensure_room(
        session.room,
        metadata=room_metadata(),
        empty_timeout_s=config.platform_queue_timeout_s + config.platform_absent_timeout_s,
        timeout_s=timeout_s,
    )


def try_ensure_room(session: Session, timeout_s: float) -> None:
    """The same, when nothing is lost by failing: the control task will do it again."""
    try:
        ensure_room(session, timeout_s)
    except UnavailableError as error:
        log().warning("room not ensured", session_id=str(session.pk), error=error.message)


def offer(session: Session) -> None:
    """Put a queued session before the avatar workers.

    Raises:
        UnavailableError: the broker does not answer.
    """
    gateways().tasks.offer_session(str(session.pk), session.epoch, session.worker_class)
    Session.objects.filter(
        pk=session.pk, epoch=session.epoch, status=SessionState.QUEUED.value
    ).update(sent_at=clock.now())


def announce_avatar(session: Session) -> None:
    """A worker has claimed: tell the agent where speech goes from now on, and have one come."""
    gateways().commands.append(str(session.pk), AvatarAssignedCommand(epoch=session.epoch))
    after_commit(ControlTask.DISPATCH_AGENT, str(session.pk))


def dispatch_agent(session: Session) -> bool:
    """Ask LiveKit for an agent, unless one is there or was asked for a moment ago.

    Raises:
        UnavailableError: LiveKit does not answer; the reaper will have it tried again.
    """
    now = clock.now()
    stale = Q(agent_dispatched_at=None) | Q(
        agent_dispatched_at__lte=now - timedelta(seconds=AGENT_PATIENCE_S)
    )
    mine = Session.objects.filter(
        stale, pk=session.pk, agent_joined_at=None, status__in=WANTING_AGENT
    ).update(agent_dispatched_at=now, agent_dispatches=F("agent_dispatches") + 1)
    if not mine:
        return False
    if session.agent_dispatches >= MAX_DISPATCHES:
        services.fail_session(
            session_id=session.pk,
            reason=EndReason.AGENT_LOST,
            detail=f"no agent joined after {session.agent_dispatches} dispatches",
        )
        return False
    ensure_room(session)
    present = {person.identity for person in gateways().rooms.list_participants(session.room)}
    if agent_identity(str(session.pk)) in present and session.agent_dispatches == 0:
        return False
    gateways().rooms.dispatch_agent(
        session.room, to_json(DispatchMetadata(session=str(session.pk)))
    )
    log().info("agent dispatched", session_id=str(session.pk), nth=session.agent_dispatches + 1)
    return True


def look_into_room(session: Session) -> None:
    """Compare what the row says of the room with who is really there, and mend the row.

    Told "somebody left", one cannot know whether that was an older participant with the same
    name; so it is looked up.

    Raises:
        UnavailableError: LiveKit does not answer.
    """
    people = gateways().rooms.list_participants(session.room)
    now = clock.now()
    here = Session.objects.filter(pk=session.pk)
    if any(not person.is_agent for person in people):
        here.filter(visitor_joined_at=None).update(visitor_joined_at=now)
        here.filter(visitor_left_at__isnull=False).update(visitor_left_at=None)
    else:
        here.filter(visitor_joined_at__isnull=False, visitor_left_at=None).update(
            visitor_left_at=now
        )
    identity = agent_identity(str(session.pk))
    if session.agent_joined_at and not any(person.identity == identity for person in people):
        lost = here.filter(agent_joined_at=session.agent_joined_at).update(
            agent_joined_at=None, agent_dispatched_at=None
        )
        if lost:
            log().warning("agent lost", session_id=str(session.pk))
            after_commit(ControlTask.DISPATCH_AGENT, str(session.pk))
    session.refresh_from_db()
    services.advance_session(session)


def release(session: Session) -> None:
    """Let go of everything an ending or failed session holds; the way back of all the above.

    The avatar worker is told by its next beat, the agent by the command stream, and both by the
    room's end.

    Raises:
        UnavailableError: LiveKit does not answer.
    """
    try:
        gateways().commands.append(str(session.pk), EndCommand())
    except UnavailableError as error:
        log().warning("agent not told of the end", session_id=str(session.pk), error=error.message)
    gateways().rooms.delete_room(session.room)
    gateways().commands.forget(str(session.pk), session.epoch)
    if session.state is SessionState.ENDING:
        services.finish_session(session_id=session.pk, epoch=session.epoch)


def is_open(session: Session) -> bool:
    return session.state in OPEN_STATES
