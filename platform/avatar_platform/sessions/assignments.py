"""Between a worker and its sessions: claim, what the agent is told, what to stop, what was lost."""

from datetime import timedelta
from typing import Any, Final

from django.db.models import F

from avatar_contracts.beat import Claim, ClaimRequest, StopOrder, WorkerBeat
from avatar_contracts.identities import agent_identity, avatar_identity, visitor_identity
from avatar_contracts.messages import Conversation, KnowledgeEntry, Persona
from avatar_contracts.states import OPEN_STATES, SessionMode
from avatar_platform import clock
from avatar_platform.characters.models import Character
from avatar_platform.config import get_settings
from avatar_platform.errors import NotFoundError, UnavailableError, WrongStateError
from avatar_platform.fleet import leases
from avatar_platform.gateways import gateways
from avatar_platform.observability import log
from avatar_platform.sessions import provisioning, selectors, services
from avatar_platform.sessions.models import Session

FORGOTTEN_AFTER_S: Final = 10.0
"""How long after the claim a worker may leave a session out of its beats."""


def claim(wanted: ClaimRequest) -> Claim:
    """Give a session to a worker.

    Raises:
        WrongStateError: somebody else has it, it is over, or the worker has been declared dead.
        UnavailableError: Redis does not answer; the session goes back to the queue.
    """
    if not leases.admit(wanted.worker):
        raise WrongStateError("this worker has been declared dead")
    session = selectors.find_session(wanted.session)
    if session is None or not services.claim_session(
        session_id=session.pk, epoch=wanted.epoch, worker_id=wanted.worker
    ):
        raise WrongStateError("somebody else has this session, or it is over")
    session.refresh_from_db()
    try:
        provisioning.announce_avatar(session)
    except UnavailableError:
        services.requeue_session(
            session_id=session.pk, epoch=session.epoch, why="the agent could not be told"
        )
        raise
    provisioning.try_ensure_room(session, provisioning.INLINE_TIMEOUT_S)
    return _claim(session)


def _claim(session: Session) -> Claim:
    version = session.version
    if version is None:
        raise WrongStateError("the character has been deleted")
    name = str(session.pk)
    return Claim(
        session=name,
        epoch=session.epoch,
        livekit_url=get_settings().livekit_url,
        room=session.room,
        token=gateways().rooms.avatar_token(session.room, name),
        avatar_identity=avatar_identity(name),
        agent_identity=agent_identity(name),
        character=str(version.pk),
        bundle_sha256=version.sha256,
        engine=version.engine,
        width=version.width,
        height=version.height,
        options={**session.expression, **session.picture},
    )


def conversation(session_id: str) -> Conversation:
    """What the agent worker fetches when it is dispatched.

    Raises:
        NotFoundError: no such session, or it is over.
    """
    session = selectors.find_session(session_id)
    if session is None or session.character is None or session.state not in OPEN_STATES:
        raise NotFoundError("no such session, or it is over")
    return Conversation(
        session=session_id,
        epoch=session.epoch,
        mode=SessionMode(session.mode),
        persona=persona_of(session.character, session.persona),
        avatar_identity=avatar_identity(session_id),
        visitor_identity=visitor_identity(session_id),
    )


def persona_of(character: Character, override: dict[str, Any]) -> Persona:
    """The character's persona, with what the session's request put in its place."""

    def chosen(field: str) -> str:
        value = override.get(field)
        return str(value if value is not None else getattr(character, field))

    return Persona(
        name=character.name,
        instructions=chosen("instructions"),
        voice=chosen("voice"),
        language=chosen("language"),
        greeting=chosen("greeting"),
        knowledge=tuple(
            KnowledgeEntry(questions=tuple(entry["questions"]), answer=entry["answer"])
            for entry in character.knowledge
        ),
    )


def shows_faces(worker_id: str) -> bool:
    """The worker has a session whose face is on screen, so its render loop must be running."""
    held = Session.objects.filter(worker_id=worker_id, status__in=selectors.HOLDING)
    return held.filter(first_frame_epoch=F("epoch")).exists()


def stop_orders(beat: WorkerBeat) -> tuple[StopOrder, ...]:
    """What the worker serves although it should not: ended, or handed on as another epoch."""
    serving = {figures.session: figures.epoch for figures in beat.sessions}
    held = Session.objects.filter(worker_id=beat.worker, status__in=selectors.HOLDING)
    rightful = {str(pk): epoch for pk, epoch in held.values_list("pk", "epoch")}
    return tuple(
        StopOrder(session=session, epoch=epoch, reason="ended or handed on")
        for session, epoch in serving.items()
        if rightful.get(session) != epoch
    )


def requeue_forgotten(beat: WorkerBeat) -> None:
    """Hand out again what was given to this worker but it does not serve (a lost answer)."""
    serving = {(figures.session, figures.epoch) for figures in beat.sessions}
    old = clock.now() - timedelta(seconds=FORGOTTEN_AFTER_S)
    held = Session.objects.filter(
        worker_id=beat.worker, status__in=selectors.HOLDING, claimed_at__lt=old
    )
    for pk, epoch in held.values_list("pk", "epoch"):
        if (str(pk), epoch) not in serving:
            log().warning("session forgotten by its worker", session_id=str(pk))
            services.requeue_session(session_id=pk, epoch=epoch, why="the worker forgot it")
