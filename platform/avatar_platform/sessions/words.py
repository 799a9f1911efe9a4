"""How the end of a session is said to people: one sentence per reason, for API, page and admin."""

from typing import Final

from avatar_contracts.states import EndReason

_SENTENCES: Final[dict[EndReason, str]] = {
    EndReason.UNKNOWN: "The session ended for a reason nobody reported.",
    EndReason.USER_DISCONNECTED: "The visitor left and did not come back.",
    EndReason.SERVER_ERROR: "Something went wrong on our side; please start again.",
    EndReason.IDLE_TIMEOUT: "Nobody spoke for a long time, so the session was closed.",
    EndReason.NO_CREDITS: "The account may not use the service at the moment.",
    EndReason.USER_CLOSED: "The visitor ended the session.",
    EndReason.AVATAR_DELETED: "The character was removed or its consent was withdrawn.",
    EndReason.MAX_DURATION_REACHED: "The session reached its longest allowed duration.",
    EndReason.ZOMBIE_SESSION_REAP: "The session had been left behind and was cleaned up.",
    EndReason.AGENT_HANG_UP: "The character said goodbye and ended the session.",
    EndReason.API_CLOSED: "The application ended the session.",
    EndReason.ADMIN_STOPPED: "An operator ended the session.",
    EndReason.PARTICIPANT_ABSENT: "Nobody joined the session in time.",
    EndReason.QUEUE_TIMEOUT: "All avatars stayed busy for too long; please try again later.",
    EndReason.WORKER_LOST: "The machine that drew the face failed repeatedly.",
    EndReason.AGENT_LOST: "The part that listens and answers could not be started.",
    EndReason.LLM_LOST: "The language model stopped answering.",
    EndReason.CHARACTER_BROKEN: "The character's files could not be loaded.",
    EndReason.OPTIONS_REFUSED: "The character cannot be drawn with the options asked for.",
    EndReason.ROOM_LOST: "The media server lost the room.",
}


def sentence(reason: str) -> str:
    """What happened, in one sentence; an unknown or empty reason has one too."""
    try:
        return _SENTENCES[EndReason(reason)]
    except ValueError:
        return _SENTENCES[EndReason.UNKNOWN]
