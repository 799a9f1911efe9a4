"""The session calls: translate, call one service, shape the answer."""

import uuid
from typing import Annotated, Any, Final

from django.http import HttpRequest, HttpResponse
from ninja import Header, Router, Status
from pydantic import StringConstraints

from avatar_contracts.states import EndReason, SessionState
from avatar_platform import clock
from avatar_platform.access.auth import ApiKeyAuth, Caller
from avatar_platform.access.idempotency import once
from avatar_platform.access.models import Scope
from avatar_platform.paging import DEFAULT_LIMIT, Limit, page
from avatar_platform.problems import answers
from avatar_platform.schemas import Text
from avatar_platform.sessions import provisioning, schemas, selectors, services
from avatar_platform.sessions.joining import join, pass_for
from avatar_platform.sessions.models import Session

router = Router(tags=["sessions"])
READ = ApiKeyAuth(Scope.SESSIONS_READ)
WRITE = ApiKeyAuth(Scope.SESSIONS_WRITE)
EQUAL_TOKEN_WITHIN_S: Final = 30
CREATE = ApiKeyAuth(Scope.SESSIONS_WRITE, creates=True)
IdempotencyKey = Annotated[
    Annotated[str, StringConstraints(max_length=200)] | None, Header(alias="Idempotency-Key")
]


def caller_of(request: HttpRequest) -> Caller:
    caller: Caller = request.auth  # type: ignore[attr-defined]  # set by ninja
    return caller


def _session(request: HttpRequest, session_id: uuid.UUID) -> Session:
    return selectors.get_session(account=caller_of(request).account, session_id=session_id)


@router.post(
    "",
    auth=CREATE,
    response={202: schemas.SessionCreated, **answers(404, 409, 503)},
    by_alias=True,
)
def create_session(
    request: HttpRequest,
    response: HttpResponse,
    wish: schemas.SessionIn,
    idempotency_key: IdempotencyKey = None,
) -> Status[Any]:
    """Ask for a session. The browser can join the room at once, while the face comes.

    Repeated with its `Idempotency-Key`, the request gets the same answer for 24 hours, even when
    the session is over by then; the join token is signed anew. After a DELETE it is a 404.
    """
    caller = caller_of(request)

    def create() -> dict[str, Any]:
        session = services.request_session(
            account=caller.account, wish=wish.as_wish(), api_key=caller.key
        )
        return selectors.describe(session)

    body, is_new = once(
        account=caller.account,
        key=idempotency_key,
        path=request.path,
        body=request.body,
        do=create,
    )
    session = _session(request, uuid.UUID(body["id"]))
    if is_new:
        provisioning.try_ensure_room(session, provisioning.INLINE_TIMEOUT_S)
    response.headers["Location"] = f"{request.path.rstrip('/')}/{session.pk}"
    # Made from the creation's time while that is recent: a repeated request gets an equal answer.
    age_s = (clock.now() - session.created_at).total_seconds()
    issued_at = session.created_at if age_s < EQUAL_TOKEN_WITHIN_S else None
    return Status(202, {**body, "livekit": pass_for(session, issued_at=issued_at)})


@router.get("", auth=READ, response={200: schemas.SessionPage, **answers()})
def list_sessions(
    request: HttpRequest,
    status: SessionState | None = None,
    character: Text | None = None,
    cursor: str | None = None,
    limit: Limit = DEFAULT_LIMIT,
) -> dict[str, Any]:
    """Your sessions, newest first."""
    account = caller_of(request).account
    found = selectors.list_sessions(
        account=account,
        status=status.value if status else None,
        character=character,
    )
    places = selectors.queue_places_of(account)
    return page(
        found,
        cursor=cursor,
        limit=limit,
        show=lambda session: selectors.describe(session, places.get(session.pk)),
    )


@router.get("/{uuid:session_id}", auth=READ, response={200: schemas.SessionOut, **answers(404)})
def get_session(request: HttpRequest, session_id: uuid.UUID) -> dict[str, Any]:
    """How a session is: state, place in the queue, timings, why it ended."""
    return selectors.describe(_session(request, session_id))


@router.delete("/{uuid:session_id}", auth=WRITE, response={204: None, **answers(404)})
def delete_session(request: HttpRequest, session_id: uuid.UUID) -> Status[None]:
    """End it, and erase what was said and what happened."""
    services.erase_session(session=_session(request, session_id))
    return Status(204, None)


@router.post(
    "/{uuid:session_id}/token", auth=WRITE, response={200: schemas.JoinOut, **answers(404, 409)}
)
def make_token(
    request: HttpRequest, session_id: uuid.UUID, wish: schemas.TokenIn | None = None
) -> dict[str, str]:
    """A fresh token to join the room with; it must be used within a minute."""
    session = _session(request, session_id)
    provisioning.try_ensure_room(session, provisioning.INLINE_TIMEOUT_S)
    return join(session, (wish or schemas.TokenIn()).role)


@router.post("/{uuid:session_id}/say", auth=WRITE, response={202: None, **answers(404, 409, 503)})
def say(request: HttpRequest, session_id: uuid.UUID, what: schemas.SayIn) -> Status[None]:
    """Have the character say this text, after what it is saying."""
    services.say(session=_session(request, session_id), text=what.text)
    return Status(202, None)


@router.post(
    "/{uuid:session_id}/interrupt", auth=WRITE, response={202: None, **answers(404, 409, 503)}
)
def interrupt(request: HttpRequest, session_id: uuid.UUID) -> Status[None]:
    """Stop what the character is saying."""
    services.interrupt(session=_session(request, session_id))
    return Status(202, None)


@router.post("/{uuid:session_id}/end", auth=WRITE, response={202: None, **answers(404, 409)})
def end_session(
    request: HttpRequest, session_id: uuid.UUID, wish: schemas.EndIn | None = None
) -> Status[None]:
    """End the session."""
    reason = EndReason((wish or schemas.EndIn()).reason)
    services.close_session(session=_session(request, session_id), reason=reason)
    return Status(202, None)


@router.post("/{uuid:session_id}/keep-alive", auth=WRITE, response={204: None, **answers(404, 409)})
def keep_alive(request: HttpRequest, session_id: uuid.UUID) -> Status[None]:
    """Start the idle timeout anew."""
    services.keep_alive(session=_session(request, session_id))
    return Status(204, None)


@router.get(
    "/{uuid:session_id}/transcript", auth=READ, response={200: schemas.Transcript, **answers(404)}
)
def get_transcript(
    request: HttpRequest,
    session_id: uuid.UUID,
    cursor: str | None = None,
    limit: Limit = DEFAULT_LIMIT,
) -> dict[str, Any]:
    """What was said, in order."""
    return page(
        _session(request, session_id).lines.all(),
        cursor=cursor,
        limit=limit,
        show=lambda line: {"role": line.role, "text": line.text, "at": line.at},
        by="at",
    )


@router.get("/{uuid:session_id}/events", auth=READ, response={200: schemas.Events, **answers(404)})
def get_events(
    request: HttpRequest,
    session_id: uuid.UUID,
    cursor: str | None = None,
    limit: Limit = DEFAULT_LIMIT,
) -> dict[str, Any]:
    """What happened, in order."""
    return page(
        _session(request, session_id).events.all(),
        cursor=cursor,
        limit=limit,
        show=lambda event: {f: getattr(event, f) for f in ("kind", "at", "epoch", "data")},
        by="id",
    )
