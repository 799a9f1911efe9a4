"""How the end of a conversation is said to the visitor, who knows nothing of workers and rooms."""

from typing import Final

from avatar_contracts.states import EndReason

_TRY_AGAIN: Final = "Something went wrong on our side. Please try again."

FOR_VISITORS: Final[dict[str, str]] = {
    EndReason.UNKNOWN: "",
    EndReason.USER_DISCONNECTED: "You were away for too long.",
    EndReason.SERVER_ERROR: _TRY_AGAIN,
    EndReason.IDLE_TIMEOUT: "Nobody said anything for a while.",
    EndReason.NO_CREDITS: "This service is not available at the moment.",
    EndReason.USER_CLOSED: "",
    EndReason.AVATAR_DELETED: "This character is no longer available.",
    EndReason.MAX_DURATION_REACHED: "The time for one conversation is over.",
    EndReason.ZOMBIE_SESSION_REAP: "Nobody was here any more.",
    EndReason.AGENT_HANG_UP: "The character said goodbye.",
    EndReason.API_CLOSED: "It was ended by the application.",
    EndReason.ADMIN_STOPPED: "It was ended by the operator.",
    EndReason.PARTICIPANT_ABSENT: "The connection did not come about in time.",
    EndReason.QUEUE_TIMEOUT: "All places stayed taken. Please try again later.",
    EndReason.WORKER_LOST: "The picture was lost and could not be brought back.",
    EndReason.AGENT_LOST: "The character could not be reached.",
    EndReason.LLM_LOST: "The character stopped answering.",
    EndReason.CHARACTER_BROKEN: "This character cannot be shown at the moment.",
    EndReason.OPTIONS_REFUSED: "This character cannot be shown as the application asked.",
    EndReason.ROOM_LOST: "The connection was lost and could not be restored.",
}
