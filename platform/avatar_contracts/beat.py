"""What an avatar worker tells the platform each second, what it asks, and what it is answered.

The platform judges leases by its own clock: a beat carries no times that decide anything. A beat
renews the worker's lease only when `render_progress` has advanced since the last one, so a worker
whose render loop hangs loses its sessions although its process lives.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from avatar_contracts.messages import SessionReport

BEAT_INTERVAL_S: Final = 1.0
LEASE_S: Final = 2.0


class EventKind(StrEnum):
    """What a `SessionReport` can tell."""

    AVATAR_JOINED = "avatar.joined"
    FIRST_FRAME = "avatar.first_frame"
    SPEAK_STARTED = "avatar.speak_started"
    SPEAK_ENDED = "avatar.speak_ended"
    AVATAR_LEFT = "avatar.left"
    AVATAR_FAILED = "avatar.failed"
    AGENT_JOINED = "agent.joined"
    AGENT_LEFT = "agent.left"
    AGENT_FAILED = "agent.failed"
    USER_JOINED = "user.joined"
    USER_LEFT = "user.left"
    USER_SPEAK_STARTED = "user.speak_started"
    USER_SPEAK_ENDED = "user.speak_ended"
    USER_TRANSCRIPTION = "user.transcription"
    AVATAR_TRANSCRIPTION = "avatar.transcription"
    LATENCY = "latency"


@dataclass(frozen=True, slots=True)
class SessionFigures:
    """How one session is doing: counts since it began, rates over the last second."""

    session: str
    epoch: int
    fps: float
    frames: int
    skipped: int
    late: int
    speaking: bool
    queued_audio_s: float


@dataclass(frozen=True, slots=True)
class WorkerBeat:
    """`worker` names one incarnation of the process: a restart is another worker."""

    worker: str
    host: str
    device: str
    worker_class: str
    slots: int
    render_progress: int
    draining: bool = False
    characters: tuple[str, ...] = ()
    sessions: tuple[SessionFigures, ...] = ()
    reports: tuple[SessionReport, ...] = ()


@dataclass(frozen=True, slots=True)
class StopOrder:
    """Leave this session. `epoch` is the one the worker holds."""

    session: str
    epoch: int
    reason: str


@dataclass(frozen=True, slots=True)
class BeatAnswer:
    """`dead`: this incarnation has been given up; the process must exit at once."""

    dead: bool
    stop: tuple[StopOrder, ...] = ()


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    worker: str
    session: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Everything a worker needs to serve a session. The token is for one room and short-lived."""

    session: str
    epoch: int
    livekit_url: str
    room: str
    token: str
    avatar_identity: str
    agent_identity: str
    character: str
    """Id of the character version; `GET …/bundles/{character}` downloads it."""
    bundle_sha256: str
    """Empty for a built-in character (`test-card`)."""
    engine: str
    width: int
    height: int
    options: dict[str, object] = field(default_factory=dict)
    """Of the engine, for this session; they go before the character's own."""
