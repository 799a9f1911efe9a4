"""The life of a session, as data.

    queued ──► provisioning ──► ready ──► active ──► ending ──► ended
      ▲              │            │          │          │
      └──────────────┴────────────┴──────────┘          └─────► failed
        the avatar worker was lost: epoch + 1        (any live state may fail)

`queued`        the row exists; no avatar worker has claimed it yet.
`provisioning`  a worker has claimed it; avatar and agent are joining the room.
`ready`         room, agent and avatar joined, and the avatar's first video frame is published.
`active`        the visitor has joined the room of a ready session.
`ending`        somebody ended it; worker and room are being let go.
"""

from enum import StrEnum
from typing import Final


class SessionState(StrEnum):
    """State of a session; the values are the ones of the REST API."""

    QUEUED = "queued"
    PROVISIONING = "provisioning"
    READY = "ready"
    ACTIVE = "active"
    ENDING = "ending"
    ENDED = "ended"
    FAILED = "failed"

    @property
    def is_terminal(self) -> bool:
        return self in TERMINAL_STATES

    @property
    def is_live(self) -> bool:
        """A worker holds the session, or should."""
        return self in LIVE_STATES

    def may_become(self, other: "SessionState") -> bool:
        return other in TRANSITIONS[self]


_S = SessionState
TRANSITIONS: Final[dict[SessionState, frozenset[SessionState]]] = {
    _S.QUEUED: frozenset({_S.PROVISIONING, _S.ENDING, _S.ENDED, _S.FAILED}),
    _S.PROVISIONING: frozenset({_S.READY, _S.QUEUED, _S.ENDING, _S.FAILED}),
    _S.READY: frozenset({_S.ACTIVE, _S.QUEUED, _S.ENDING, _S.FAILED}),
    _S.ACTIVE: frozenset({_S.QUEUED, _S.ENDING, _S.FAILED}),
    _S.ENDING: frozenset({_S.ENDED, _S.FAILED}),
    _S.ENDED: frozenset(),
    _S.FAILED: frozenset(),
}
TERMINAL_STATES: Final = frozenset({_S.ENDED, _S.FAILED})
LIVE_STATES: Final = frozenset({_S.PROVISIONING, _S.READY, _S.ACTIVE})
OPEN_STATES: Final = frozenset(set(_S) - TERMINAL_STATES)


class EndReason(StrEnum):
    """Why a session ended or failed. The first block is LiveAvatar's list, the second is ours."""

    UNKNOWN = "UNKNOWN"
    USER_DISCONNECTED = "USER_DISCONNECTED"
    SERVER_ERROR = "SERVER_ERROR"
    IDLE_TIMEOUT = "IDLE_TIMEOUT"
    NO_CREDITS = "NO_CREDITS"
    USER_CLOSED = "USER_CLOSED"
    AVATAR_DELETED = "AVATAR_DELETED"
    MAX_DURATION_REACHED = "MAX_DURATION_REACHED"
    ZOMBIE_SESSION_REAP = "ZOMBIE_SESSION_REAP"
    AGENT_HANG_UP = "AGENT_HANG_UP"

    API_CLOSED = "API_CLOSED"
    ADMIN_STOPPED = "ADMIN_STOPPED"
    PARTICIPANT_ABSENT = "PARTICIPANT_ABSENT"
    QUEUE_TIMEOUT = "QUEUE_TIMEOUT"
    WORKER_LOST = "WORKER_LOST"
    AGENT_LOST = "AGENT_LOST"
    LLM_LOST = "LLM_LOST"
    CHARACTER_BROKEN = "CHARACTER_BROKEN"
    OPTIONS_REFUSED = "OPTIONS_REFUSED"
    ROOM_LOST = "ROOM_LOST"


class SessionMode(StrEnum):
    """What the agent does in the room: it converses, or it repeats what it hears."""

    CONVERSATION = "conversation"
    ECHO = "echo"
