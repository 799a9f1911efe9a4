"""The control worker's tasks: fetch by id, call one function. All may run twice or late."""

from collections.abc import Callable

from celery import shared_task

from avatar_platform.errors import UnavailableError
from avatar_platform.gateways.livekit import CALL_TIMEOUT_S
from avatar_platform.gateways.queue import ControlTask
from avatar_platform.observability import bound, log
from avatar_platform.sessions import provisioning, reaping, reconciling, selectors
from avatar_platform.sessions.models import Session


@shared_task(name=ControlTask.START_SESSION.value)
def start_session(session_id: str) -> None:
    """Make the room and put the session before the avatar workers.

    LiveKit being away does not keep the session from the queue: the room is ensured again when a
    worker claims.
    """
    session = selectors.find_session(session_id)
    if session is None or not provisioning.is_open(session):
        return
    with bound(session_id=session_id):
        try:
            provisioning.offer(session)
        except UnavailableError as error:
            log().warning("session not offered yet", error=error.message)
        provisioning.try_ensure_room(session, CALL_TIMEOUT_S)


@shared_task(name=ControlTask.DISPATCH_AGENT.value)
def dispatch_agent(session_id: str) -> None:
    """Have an agent come, unless one is there or on its way."""
    _with_livekit(session_id, provisioning.dispatch_agent)


@shared_task(name=ControlTask.LOOK_INTO_ROOM.value)
def look_into_room(session_id: str) -> None:
    """Find out who is really in the room."""
    _with_livekit(session_id, provisioning.look_into_room)


@shared_task(name=ControlTask.END_SESSION.value)
def end_session(session_id: str) -> None:
    """Let go of what an ending or failed session holds."""
    session = selectors.find_session(session_id)
    if session is None:
        return
    with bound(session_id=session_id):
        try:
            provisioning.release(session)
        except UnavailableError as error:
            log().warning("session not released yet", error=error.message)


def _with_livekit(session_id: str, step: Callable[[Session], object]) -> None:
    """Run one step of an open session; when LiveKit is away the reaper has it tried again."""
    session = selectors.find_session(session_id)
    if session is None or not provisioning.is_open(session):
        return
    with bound(session_id=session_id):
        try:
            step(session)
        except UnavailableError as error:
            log().warning("media server away", step=step.__name__, error=error.message)


@shared_task(name=ControlTask.REAP.value)
def reap() -> None:
    """Once a second."""
    reaping.reap()


@shared_task(name=ControlTask.RECONCILE.value)
def reconcile() -> None:
    """Twice a minute."""
    try:
        reconciling.reconcile()
    except UnavailableError as error:
        log().warning("rooms not reconciled", error=error.message)
