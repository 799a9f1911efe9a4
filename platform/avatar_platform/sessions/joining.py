"""How people get into a session's room: which identity, which rights, for how long."""

import secrets
from datetime import UTC, datetime
from enum import StrEnum

from avatar_contracts.identities import visitor_identity
from avatar_contracts.states import OPEN_STATES, SessionState
from avatar_platform.config import get_settings
from avatar_platform.errors import WrongStateError
from avatar_platform.gateways import gateways
from avatar_platform.sessions.models import Session


class Role(StrEnum):
    """A participant may speak; a viewer only looks on."""

    PARTICIPANT = "participant"
    VIEWER = "viewer"


def join(session: Session, role: Role = Role.PARTICIPANT) -> dict[str, str]:
    """What a browser needs to join: `url`, `room`, `token`, `identity`.

    Raises:
        WrongStateError: the session is ending or over.
    """
    if session.state not in OPEN_STATES - {SessionState.ENDING}:
        raise WrongStateError(
            f"a session that is {session.status} cannot be joined", current_status=session.status
        )
    return pass_for(session, role)


def pass_for(
    session: Session, role: Role = Role.PARTICIPANT, issued_at: datetime | None = None
) -> dict[str, str]:
    """What `join` returns, in whatever state the session is: without its room nobody comes in.

    The visitor keeps one identity, so that a reloaded page replaces itself; every viewer gets a
    new one. Both are chosen here, never by the caller.
    """
    name = str(session.pk)
    is_visitor = role is Role.PARTICIPANT
    identity = visitor_identity(name) if is_visitor else f"viewer-{secrets.token_hex(8)}"
    token = gateways().rooms.person_token(
        session.room, identity, may_speak=is_visitor, issued_at=issued_at or datetime.now(UTC)
    )
    return {
        "url": get_settings().browser_livekit_url,
        "room": session.room,
        "token": token,
        "identity": identity,
    }
