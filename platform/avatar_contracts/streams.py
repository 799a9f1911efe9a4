"""Keys, lengths and lives of what processes share in Redis, and the names of Celery's queues."""

from typing import Final

AUDIO_MAX_ENTRIES: Final = 512
"""About 40 s of 80 ms chunks: twice the producer's back-pressure limit."""
PLAYOUT_MAX_ENTRIES: Final = 1024
COMMANDS_MAX_ENTRIES: Final = 256
STREAM_TTL_S: Final = 3600
"""Every append renews it; a session that ended uncleanly leaves nothing behind for longer."""
SPEECH_CACHE_PREFIX: Final = "avatar:speech:"

TASK_RUN_SESSION: Final = "avatar.run_session"
"""Celery task of the avatar worker: `(session: str, epoch: int)`."""
CONTROL_QUEUE: Final = "control"
BROKER_KEY_PREFIX: Final = "celery:"
"""`broker_transport_options["global_keyprefix"]` of every Celery app that shares the queues."""


def audio_key(session: str, epoch: int) -> str:
    """Agent worker writes, avatar worker of that epoch reads. Entry ids are `<segment>-<chunk>`."""
    return f"avatar:{session}:{epoch}:audio"


def playout_key(session: str, epoch: int) -> str:
    """Avatar worker of that epoch writes, agent worker reads. Entry ids are Redis's own."""
    return f"avatar:{session}:{epoch}:playout"


def commands_key(session: str) -> str:
    """Platform writes, agent worker reads from the beginning. Entry ids are Redis's own."""
    return f"avatar:{session}:commands"


def entry_id(segment: int, chunk: int) -> str:
    return f"{segment}-{chunk}"


def avatar_queue(worker_class: str) -> str:
    """Shared by all avatar workers of a class; a worker with a free slot pulls from it."""
    return f"avatar.{worker_class}"


def character_queue(character_version: str) -> str:
    """Pulled by the workers that already hold this character; offered first, for a moment."""
    return f"avatar.character.{character_version}"


def agent_key(session: str) -> str:
    """A hash of the agent worker's own: what a re-dispatched agent must not do a second time."""
    return f"avatar:{session}:agent"
