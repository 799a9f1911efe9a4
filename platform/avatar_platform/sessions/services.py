"""Every change of a session goes through here.

A change of state is one conditional update on (status, epoch), its event row in the same
transaction. A count of 0 means that somebody else was first; that is normal. Whatever follows
(tasks, pushes) happens after the commit and may be lost: the reaper finds what is left to do.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Coalesce

from avatar_contracts.messages import InterruptCommand, SayCommand
from avatar_contracts.states import OPEN_STATES, EndReason, SessionMode, SessionState
from avatar_platform import clock
from avatar_platform.access import idempotency
from avatar_platform.access.models import Account, ApiKey
from avatar_platform.characters.models import Character
from avatar_platform.characters.selectors import find_startable
from avatar_platform.config import get_settings
from avatar_platform.errors import ConcurrencyLimitError, WrongStateError
from avatar_platform.gateways import after_commit, gateways
from avatar_platform.gateways.queue import ControlTask
from avatar_platform.observability import STAGE_SECONDS, log
from avatar_platform.sessions import live, selectors
from avatar_platform.sessions.models import Session, SessionEvent, SessionKey
from avatar_platform.webhooks import services as webhooks

MAX_EPOCHS: Final = 6
"""A session that lost its avatar this often is given up: the fault is the session's own."""
QUOTA_RETRY_AFTER_S: Final = 10
_S = SessionState


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asked for. Persona, expression and picture override the character's own, field
    by field."""

    character: str
    mode: SessionMode = SessionMode.CONVERSATION
    persona: dict[str, str] = field(default_factory=dict)
    expression: dict[str, Any] = field(default_factory=dict)
    picture: dict[str, Any] = field(default_factory=dict)
    max_duration_s: int = 1800
    idle_timeout_s: int = 180
    metadata: dict[str, Any] = field(default_factory=dict)
    callback_url: str = ""


def request_session(*, account: Account, wish: Wish, api_key: ApiKey | None = None) -> Session:
    """Write a queued session and have it brought up after the commit.

    Raises:
        CharacterUnavailableError: no such character, not published, or without consent.
        ConcurrencyLimitError: the account has as many open sessions as it may.
    """
    character = find_startable(account=account, name=wish.character)
    with transaction.atomic():
        _check_quota(account)
        now = clock.now()
        session = Session.objects.create(
            account=account,
            api_key=api_key,
            character=character,
            version=character.published_version,
            mode=wish.mode.value,
            persona=wish.persona,
            expression=wish.expression,
            picture=wish.picture,
            metadata=wish.metadata,
            callback_url=wish.callback_url,
            max_duration_s=wish.max_duration_s,
            idle_timeout_s=wish.idle_timeout_s,
            worker_class=get_settings().avatar_class,
            created_at=now,
            queued_at=now,
            last_activity_at=now,
        )
        record(session, kind="session.queued", key="session.queued.1", at=now)
        _notify(session)
        after_commit(ControlTask.START_SESSION, str(session.pk))
    log().info("session requested", session_id=str(session.pk), character=character.slug)
    return session


def _check_quota(account: Account) -> None:
    """Count under the account's lock, so that two requests cannot share the last place."""
    locked = Account.objects.select_for_update().get(pk=account.pk)
    running = Session.objects.filter(account=locked, status__in=selectors.OPEN).count()
    if running >= locked.max_sessions:
        raise ConcurrencyLimitError(
            f"{running} sessions are open; the account may have {locked.max_sessions}",
            retry_after_s=QUOTA_RETRY_AFTER_S,
            limit=locked.max_sessions,
            running=running,
        )


def claim_session(*, session_id: SessionKey, epoch: int, worker_id: str) -> bool:
    """Give the session to this worker; false when somebody else was first or it is over."""
    now = clock.now()
    claimed = change(
        session_id,
        to=_S.PROVISIONING,
        epoch=epoch,
        data={"worker": worker_id},
        worker_id=worker_id,
        claimed_at=now,
        first_claimed_at=Coalesce("first_claimed_at", Value(now)),
    )
    if claimed:
        session = Session.objects.get(pk=session_id)
        if session.first_claimed_at == now:
            observe_stage(session, "claimed", now)
    return claimed


def advance_session(session: Session) -> None:
    """Move a session on as far as what is known of it allows: to ready, to active."""
    if session.state is _S.PROVISIONING and session.has_face and session.agent_joined_at:
        now = clock.now()
        first: dict[str, Any] = {}
        if session.ready_at is None:
            first = {"ready_at": now, "last_activity_at": now}
        if change(session.pk, to=_S.READY, epoch=session.epoch, **first) and first:
            observe_stage(session, "ready", now)
        session.refresh_from_db()
    if session.state is _S.READY and session.is_visitor_present:
        active_at = session.active_at or clock.now()
        change(session.pk, to=_S.ACTIVE, epoch=session.epoch, active_at=active_at)
        session.refresh_from_db()


def requeue_session(*, session_id: SessionKey, epoch: int, why: str) -> bool:
    """The avatar of this epoch is lost: hand the session out again, as the next epoch.

    Too many losses fail the session, since then it is the session that breaks workers.
    """
    if epoch >= MAX_EPOCHS:
        return fail_session(session_id=session_id, reason=EndReason.WORKER_LOST, detail=why)
    now = clock.now()
    requeued = change(
        session_id,
        to=_S.QUEUED,
        epoch=epoch,
        next_epoch=epoch + 1,
        data={"why": why},
        worker_id=None,
        claimed_at=None,
        sent_at=None,
        queued_at=now,
    )
    if requeued:
        log().warning("session requeued", session_id=str(session_id), epoch=epoch + 1, why=why)
        after_commit(ControlTask.START_SESSION, str(session_id))
    return requeued


def end_session(*, session_id: SessionKey, reason: EndReason, detail: str = "") -> bool:
    """Begin to end an open session; false when it is ending or over already."""
    sources = OPEN_STATES - {_S.ENDING}
    for state, epoch in _present(session_id, sources):
        done = change(
            session_id,
            to=_S.ENDING,
            epoch=epoch,
            sources=[state],
            data={"reason": reason.value},
            end_reason=reason.value,
            end_detail=detail[:300],
            ending_at=clock.now(),
        )
        if done:
            after_commit(ControlTask.END_SESSION, str(session_id))
            return True
    return False


def close_session(*, session: Session, reason: EndReason) -> None:
    """End a session because somebody asked for it.

    Raises:
        WrongStateError: it is ending or over already.
    """
    if not end_session(session_id=session.pk, reason=reason):
        session.refresh_from_db()
        raise WrongStateError(
            f"a session that is {session.status} cannot be ended", current_status=session.status
        )


def finish_session(*, session_id: SessionKey, epoch: int) -> bool:
    """The room is gone: the ending session has ended."""
    return change(session_id, to=_S.ENDED, epoch=epoch, ended_at=clock.now())


def fail_session(*, session_id: SessionKey, reason: EndReason, detail: str = "") -> bool:
    """Give an open session up at once; what it holds is released afterwards."""
    for state, epoch in _present(session_id, OPEN_STATES):
        done = change(
            session_id,
            to=_S.FAILED,
            epoch=epoch,
            sources=[state],
            data={"reason": reason.value},
            end_reason=reason.value,
            end_detail=detail[:300],
            ended_at=clock.now(),
        )
        if done:
            log().error("session failed", session_id=str(session_id), reason=reason.value)
            after_commit(ControlTask.END_SESSION, str(session_id))
            return True
    return False


def keep_alive(*, session: Session) -> None:
    """Start the idle time anew.

    Raises:
        WrongStateError: the session is over.
    """
    _demand(session, OPEN_STATES - {_S.ENDING}, "kept alive")
    Session.objects.filter(pk=session.pk).update(last_activity_at=clock.now())


def say(*, session: Session, text: str) -> None:
    """Have the character speak this text; before the face is there it waits for it.

    Raises:
        WrongStateError: the session is over.
        UnavailableError: Redis does not answer.
    """
    _demand(session, OPEN_STATES - {_S.ENDING}, "told to speak")
    gateways().commands.append(str(session.pk), SayCommand(text=text))
    keep_alive(session=session)


def interrupt(*, session: Session) -> None:
    """Stop what the character is saying, now.

    Raises:
        WrongStateError: nobody can be speaking in this state.
        UnavailableError: Redis does not answer.
    """
    _demand(session, {_S.READY, _S.ACTIVE}, "interrupted")
    gateways().commands.append(str(session.pk), InterruptCommand())


def erase_session(*, session: Session) -> None:
    """End the session and forget what was said and what happened in it, and who was told.

    The account's addresses still hear that it ends, without anything of what is erased.
    """
    here = Session.objects.filter(pk=session.pk)
    with transaction.atomic():
        # First of all: no other change writes a message about it from here on.
        here.update(persona={}, metadata={}, callback_url="")
        webhooks.forget(session.pk)
        idempotency.forget(account=session.account, made=session.pk)
        end_session(session_id=session.pk, reason=EndReason.API_CLOSED)
        here.update(erased_at=clock.now())
        session.lines.all().delete()
        session.events.all().delete()
    log().info("session erased", session_id=str(session.pk))


def end_sessions_of(character: Character, reason: EndReason) -> int:
    """End every open session that shows this character; returns how many."""
    open_ids = character.sessions.filter(status__in=selectors.OPEN).values_list("pk", flat=True)
    return sum(end_session(session_id=pk, reason=reason) for pk in open_ids)


def change(
    session_id: SessionKey,
    *,
    to: SessionState,
    epoch: int,
    sources: Iterable[SessionState] = tuple(_S),
    next_epoch: int | None = None,
    data: dict[str, Any] | None = None,
    **values: Any,
) -> bool:
    """The one conditional update behind every transition.

    Args:
        sources: states it may come from; narrowed to what the transition table allows.
        next_epoch: the epoch after the change, when it is another one.
        values: further columns to set; what is set afterwards, the webhook does not tell.

    Returns:
        False when the session was not in one of the sources and this epoch any more.
    """
    allowed = [state.value for state in sources if state.may_become(to)]
    with transaction.atomic():
        here = Session.objects.filter(pk=session_id, epoch=epoch, status__in=allowed)
        if not here.update(status=to.value, epoch=next_epoch or F("epoch"), **values):
            return False
        session = Session.objects.select_related("account", "character").get(pk=session_id)
        key = f"session.{to.value}.{session.epoch}"
        record(session, kind=f"session.{to.value}", key=key, at=clock.now(), data=data)
        live.publish_state(session_id)
        _notify(session)
    return True


def _notify(session: Session) -> None:
    """Tell the application by webhook, if it wants to hear."""
    if session.erased_at is None:
        webhooks.notify(
            account=session.account,
            session_id=session.pk,
            kind=f"session.{session.status}",
            data=lambda: selectors.describe(session),
            callback_url=session.callback_url,
        )


def record(
    session: Session, *, kind: str, key: str, at: datetime, data: dict[str, Any] | None = None
) -> bool:
    """Add an event to the session's timeline; false when this key is there already."""
    if session.erased_at is not None:
        return True
    _, is_new = SessionEvent.objects.get_or_create(
        session=session,
        key=key,
        defaults={"kind": kind, "at": at, "epoch": session.epoch, "data": data or {}},
    )
    return is_new


def _present(
    session_id: SessionKey, sources: Iterable[SessionState]
) -> Iterable[tuple[SessionState, int]]:
    """The session's (state, epoch) while it is in one of the sources; read anew at each step."""
    wanted = {state.value for state in sources}
    for _ in range(MAX_EPOCHS * 2):
        row = Session.objects.filter(pk=session_id, status__in=wanted).values_list(
            "status", "epoch"
        )
        if not (found := row.first()):
            return
        yield SessionState(found[0]), found[1]


def _demand(session: Session, states: Iterable[SessionState], verb: str) -> None:
    session.refresh_from_db()
    if session.state not in states:
        raise WrongStateError(
            f"a session that is {session.status} cannot be {verb}", current_status=session.status
        )


def observe_stage(session: Session, stage: str, now: datetime) -> None:
    """Count in the metrics how long after its creation a session came this far."""
    STAGE_SECONDS.labels(stage).observe(max(0.0, (now - session.created_at).total_seconds()))
