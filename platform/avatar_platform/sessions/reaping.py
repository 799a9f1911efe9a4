"""What nobody else noticed: once a second, every open session is judged against the clock.

Judging is pure (`judge`), acting is one service or one control task; both may happen twice.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Q

from avatar_contracts.states import EndReason, SessionState
from avatar_platform import clock
from avatar_platform.config import PlatformSettings, get_settings
from avatar_platform.errors import UnavailableError
from avatar_platform.fleet import leases
from avatar_platform.fleet.selectors import has_free_slot
from avatar_platform.gateways import gateways
from avatar_platform.gateways.queue import ControlTask
from avatar_platform.observability import log
from avatar_platform.sessions import live, provisioning, selectors, services
from avatar_platform.sessions.models import Session
from avatar_platform.webhooks.services import retry_due

UNSENT_AFTER_S: Final = 1.0
"""A queued session whose start task got lost with the broker."""
RESEND_AFTER_S: Final = 5.0
"""Celery's queue entry may vanish with the worker that popped it; sending twice is harmless."""
UNDISPATCHED_AFTER_S: Final = 1.0
PROVISION_WITHIN_S: Final = 60.0
"""For a worker to show the first picture, a cold character included."""
RELEASE_AGAIN_AFTER_S: Final = 5.0
RELEASE_WITHIN_S: Final = 30.0
"""After this the session has ended although LiveKit was not reached; rooms are reconciled."""


@dataclass(frozen=True, slots=True)
class Offer:
    """Put it on the avatar queue (again)."""


@dataclass(frozen=True, slots=True)
class Task:
    """Have the control worker do this (again)."""

    task: ControlTask


@dataclass(frozen=True, slots=True)
class Requeue:
    why: str


@dataclass(frozen=True, slots=True)
class End:
    reason: EndReason


@dataclass(frozen=True, slots=True)
class Fail:
    reason: EndReason


@dataclass(frozen=True, slots=True)
class Finish:
    """Let it have ended, released or not."""


Verdict = Offer | Task | Requeue | End | Fail | Finish


def judge(
    session: Session, now: datetime, settings: PlatformSettings, *, free_slot: bool
) -> Verdict | None:
    """What is overdue in this session, if anything; the gravest first."""

    def passed(since: datetime | None, seconds: float) -> bool:
        return since is not None and now >= since + timedelta(seconds=seconds)

    state = session.state
    if state is SessionState.ENDING:
        if passed(session.ending_at, RELEASE_WITHIN_S):
            return Finish()
        if passed(session.ending_at, RELEASE_AGAIN_AFTER_S):
            return Task(ControlTask.END_SESSION)
        return None
    if passed(session.ready_at, session.max_duration_s):
        return End(EndReason.MAX_DURATION_REACHED)
    if passed(session.visitor_left_at, settings.platform_left_timeout_s):
        return End(EndReason.USER_DISCONNECTED)
    if state is SessionState.QUEUED:
        if passed(session.queued_at, settings.platform_queue_timeout_s):
            return Fail(EndReason.QUEUE_TIMEOUT)
        if session.sent_at is None:
            return Offer() if passed(session.queued_at, UNSENT_AFTER_S) else None
        return Offer() if free_slot and passed(session.sent_at, RESEND_AFTER_S) else None
    awaited = state is SessionState.READY and session.visitor_joined_at is None
    if awaited and passed(session.ready_at, settings.platform_absent_timeout_s):
        return End(EndReason.PARTICIPANT_ABSENT)
    if state is SessionState.ACTIVE and passed(session.last_activity_at, session.idle_timeout_s):
        return End(EndReason.IDLE_TIMEOUT)
    if not session.has_face and passed(session.claimed_at, PROVISION_WITHIN_S):
        return Requeue("no picture came in time")
    if session.agent_joined_at is None:
        dispatched = session.agent_dispatched_at
        if (
            passed(session.claimed_at, UNDISPATCHED_AFTER_S)
            if dispatched is None
            else passed(dispatched, provisioning.AGENT_PATIENCE_S)
        ):
            return Task(ControlTask.DISPATCH_AGENT)
    return None


def reap() -> int:
    """One round. Returns how many sessions something was done about."""
    leases.give_sign(leases.REAPER)
    leases.expire_workers()
    acted = _requeue_orphans()
    now, settings = clock.now(), get_settings()
    free: dict[str, bool] = {}
    for session in selectors.open_sessions().defer("persona", "metadata").order_by("queued_at"):
        if session.state is SessionState.QUEUED and session.worker_class not in free:
            free[session.worker_class] = has_free_slot(session.worker_class)
        verdict = judge(session, now, settings, free_slot=free.get(session.worker_class, False))
        if verdict is not None:
            try:
                _act(session, verdict)
            except UnavailableError as error:
                log().warning("reaper hindered", session_id=str(session.pk), error=error.message)
                return acted
            acted += 1
    live.publish_places()
    retry_due()
    return acted


def _requeue_orphans() -> int:
    """Sessions of workers that are dead, or whose row is gone."""
    lost = Session.objects.filter(
        Q(worker=None) | Q(worker__dead_at__isnull=False), status__in=selectors.HOLDING
    )
    return sum(
        services.requeue_session(session_id=pk, epoch=epoch, why="the avatar worker was lost")
        for pk, epoch in lost.values_list("pk", "epoch")
    )


def _act(session: Session, verdict: Verdict) -> None:
    match verdict:
        case Offer():
            provisioning.offer(session)
        case Task(task):
            gateways().tasks.control(task, str(session.pk))
        case Requeue(why):
            services.requeue_session(session_id=session.pk, epoch=session.epoch, why=why)
        case End(reason):
            services.end_session(session_id=session.pk, reason=reason)
        case Fail(reason):
            services.fail_session(session_id=session.pk, reason=reason)
        case Finish():
            services.finish_session(session_id=session.pk, epoch=session.epoch)
