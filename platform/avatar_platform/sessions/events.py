"""What the workers report → what becomes of the session. Applying a report twice changes nothing.

The avatar's reports count only in their own epoch; the agent's and the visitor's in any, since
both stay in the room when the avatar is replaced.
"""

import re
from datetime import UTC, datetime
from typing import Any, Final

from django.db import transaction

from avatar_contracts.beat import EventKind
from avatar_contracts.messages import SessionReport
from avatar_contracts.states import EndReason
from avatar_platform import clock
from avatar_platform.gateways import after_commit
from avatar_platform.gateways.queue import ControlTask
from avatar_platform.observability import LATENCY_SECONDS, REPORTS, log
from avatar_platform.sessions import live, selectors, services
from avatar_platform.sessions.models import Session, SessionEvent, TranscriptLine

_TRANSCRIPTS: Final = {
    EventKind.USER_TRANSCRIPTION: "user",
    EventKind.AVATAR_TRANSCRIPTION: "avatar",
}
_ACTIVITY: Final = {
    EventKind.USER_SPEAK_STARTED,
    EventKind.USER_SPEAK_ENDED,
    EventKind.USER_TRANSCRIPTION,
    EventKind.SPEAK_STARTED,
    EventKind.SPEAK_ENDED,
    EventKind.USER_JOINED,
}
_OF_ONE_EPOCH: Final = {
    EventKind.AVATAR_JOINED,
    EventKind.FIRST_FRAME,
    EventKind.AVATAR_LEFT,
    EventKind.AVATAR_FAILED,
}
SHOWN_WITHIN_EPOCHS: Final = 3
"""Workers that may fail to show a session's first picture before its character is to blame."""
AGENT_FAILURES_MAX: Final = 3
"""Agents that may fail in one session, say for want of credentials, before it is given up."""
_LATENCY_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_REASONS: Final = frozenset(EndReason)


def apply_report(report: SessionReport) -> bool:
    """Apply one report; false when it was applied before, is stale, or of nobody's session."""
    try:
        kind = EventKind(report.kind)
    except ValueError:
        log().warning("report of an unknown kind", kind=report.kind[:40])
        return False
    session = selectors.find_session(report.session)
    if session is None or session.state.is_terminal:
        return False
    if kind in _OF_ONE_EPOCH and report.epoch != session.epoch:
        return False
    with transaction.atomic():
        if not _keep(session, kind, report):
            return False
        _apply(session, kind, report)
    REPORTS.labels(kind.value).inc()
    return True


def _keep(session: Session, kind: EventKind, report: SessionReport) -> bool:
    """Store and push what happened; false when it is stored already."""
    at = _moment(report.at_ms)
    if role := _TRANSCRIPTS.get(kind):
        return _keep_line(session, role, report, at)
    name, ms = str(report.data.get("name")), report.data.get("ms")
    is_measured = isinstance(ms, int | float) and _LATENCY_NAME.fullmatch(name) is not None
    if kind is EventKind.LATENCY and not is_measured:
        return False
    if session.erased_at is None:
        _, is_new = SessionEvent.objects.get_or_create(
            session=session,
            key=report.key,
            defaults={"kind": kind.value, "at": at, "epoch": report.epoch, "data": report.data},
        )
        if not is_new:
            return False
    if kind is EventKind.LATENCY and isinstance(ms, int | float):
        LATENCY_SECONDS.labels(name).observe(ms / 1000)
        live.publish(session.pk, {"type": "latency", "name": name, "ms": ms})
    else:
        message = {"type": "event", "kind": kind.value, "at": at.isoformat(), "data": report.data}
        live.publish(session.pk, message)
    return True


def _moment(at_ms: int) -> datetime:
    """The reporter's time; ours when that is in no calendar."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return clock.now()


def _keep_line(session: Session, role: str, report: SessionReport, at: datetime) -> bool:
    text, final = str(report.data.get("text", "")), bool(report.data.get("final", True))
    if final and session.erased_at is None:
        _, is_new = TranscriptLine.objects.get_or_create(
            session=session, key=report.key, defaults={"role": role, "text": text, "at": at}
        )
        if not is_new:
            return False
    message = {"type": "transcript", "role": role, "text": text, "final": final}
    live.publish(session.pk, {**message, "at": at.isoformat()})
    return True


def _apply(session: Session, kind: EventKind, report: SessionReport) -> None:
    now = clock.now()
    here = Session.objects.filter(pk=session.pk)
    if kind in _ACTIVITY:
        here.update(last_activity_at=now)
    match kind:
        case EventKind.AVATAR_JOINED:
            here.filter(avatar_joined_at=None).update(avatar_joined_at=now)
        case EventKind.FIRST_FRAME:
            here.filter(epoch=report.epoch).update(first_frame_epoch=report.epoch)
            if here.filter(first_frame_at=None).update(first_frame_at=now):
                services.observe_stage(session, "first_frame", now)
        case EventKind.AGENT_JOINED:
            here.filter(agent_joined_at=None).update(agent_joined_at=now, agent_dispatches=0)
        case EventKind.USER_JOINED:
            here.filter(visitor_joined_at=None).update(visitor_joined_at=now)
            here.update(visitor_left_at=None)
        case EventKind.AVATAR_LEFT:
            services.requeue_session(
                session_id=session.pk, epoch=report.epoch, why="the avatar left"
            )
        case EventKind.AVATAR_FAILED:
            _avatar_failed(session, report)
        case EventKind.AGENT_LEFT | EventKind.AGENT_FAILED:
            _agent_gone(session, report)
        case EventKind.USER_LEFT:
            after_commit(ControlTask.LOOK_INTO_ROOM, str(session.pk))
        case _:
            return
    session.refresh_from_db()
    services.advance_session(session)


def _avatar_failed(session: Session, report: SessionReport) -> None:
    """Another worker may do better; a character that nobody could ever show is broken."""
    detail, reason = _detail(report.data), _reason(report.data)
    never_shown = session.first_frame_at is None and report.epoch >= SHOWN_WITHIN_EPOCHS
    if reason is EndReason.OPTIONS_REFUSED:
        services.fail_session(session_id=session.pk, reason=reason, detail=detail)
    elif never_shown or reason is EndReason.CHARACTER_BROKEN:
        services.fail_session(
            session_id=session.pk, reason=EndReason.CHARACTER_BROKEN, detail=detail
        )
    else:
        why = f"the avatar failed: {detail}"[:300]
        services.requeue_session(session_id=session.pk, epoch=report.epoch, why=why)


def _agent_gone(session: Session, report: SessionReport) -> None:
    """The agent ends the session on purpose, or is replaced, unless one of its peers is in."""
    reason = _reason(report.data)
    if reason is EndReason.AGENT_HANG_UP:
        services.end_session(session_id=session.pk, reason=reason)
    elif reason is EndReason.LLM_LOST:
        services.fail_session(session_id=session.pk, reason=reason, detail=_detail(report.data))
    elif _agent_failures(session) >= AGENT_FAILURES_MAX:
        services.fail_session(
            session_id=session.pk, reason=EndReason.AGENT_LOST, detail=_detail(report.data)
        )
    else:
        after_commit(ControlTask.LOOK_INTO_ROOM, str(session.pk))


def _agent_failures(session: Session) -> int:
    return session.events.filter(kind=EventKind.AGENT_FAILED.value).count()


def _detail(data: dict[str, Any]) -> str:
    """What a worker said about its failure, for the operator."""
    said = (data.get(name) for name in ("message", "error", "reason"))
    return ": ".join(str(word) for word in said if word and word not in _REASONS)[:300]


def _reason(data: dict[str, Any]) -> EndReason | None:
    reason = data.get("reason")
    return EndReason(reason) if reason in _REASONS else None
