"""What crosses a process boundary, as frozen dataclasses.

Three streams per session (`streams.py` has the keys):

    platform ──commands──► agent worker ──audio──► avatar worker ──playout──► agent worker

Numbers: a *segment* is one utterance, counted from 1 and never reused within an epoch; a *chunk* is
counted from 1 within its segment.
"""

from dataclasses import dataclass, field
from typing import NewType

from avatar_contracts.states import SessionMode

SessionId = NewType("SessionId", str)
WorkerId = NewType("WorkerId", str)
Epoch = NewType("Epoch", int)

# --- audio stream: agent worker → avatar worker -------------------------------------------------


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """PCM of one segment (`audio.py` has the format).

    A clear drops it. A duplicate is refused by Redis, because the entry id is `<segment>-<chunk>`.
    """

    segment: int
    chunk: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Flush:
    """No more audio in this segment. Takes the chunk number after the last one."""

    segment: int
    chunk: int


@dataclass(frozen=True, slots=True)
class ClearBuffer:
    """Forget, now, everything of this segment and of all before it.

    Idempotent. The avatar worker answers with one `PlayoutFinished` for each segment it had open.
    """

    segment: int
    chunk: int


AudioMessage = AudioChunk | Flush | ClearBuffer

# --- playout stream: avatar worker → agent worker -----------------------------------------------


@dataclass(frozen=True, slots=True)
class PlayoutReady:
    """The avatar's first video frame is published; audio may be sent."""


@dataclass(frozen=True, slots=True)
class PlayoutStarted:
    """The first sample of the segment has left for the listener."""

    segment: int


@dataclass(frozen=True, slots=True)
class PlayoutAlive:
    """Twice a second: the avatar lives; how far it has spoken into the open segment (0: none)."""

    segment: int
    position_s: float


@dataclass(frozen=True, slots=True)
class PlayoutFinished:
    """Exactly one for every segment of which any entry was read. A duplicate is ignored."""

    segment: int
    position_s: float
    interrupted: bool


PlayoutMessage = PlayoutReady | PlayoutStarted | PlayoutAlive | PlayoutFinished

# --- command stream: platform → agent worker ----------------------------------------------------


@dataclass(frozen=True, slots=True)
class SayCommand:
    """Speak this text in the character's voice, after what is being said."""

    text: str


@dataclass(frozen=True, slots=True)
class InterruptCommand:
    """Stop speaking now."""


@dataclass(frozen=True, slots=True)
class AvatarAssignedCommand:
    """An avatar worker has claimed this epoch: send speech to its audio stream from now on."""

    epoch: int


@dataclass(frozen=True, slots=True)
class EndCommand:
    """The session is over: leave the room."""


CommandMessage = SayCommand | InterruptCommand | AvatarAssignedCommand | EndCommand

# --- the agent's instructions (dispatch metadata is only the id; this is fetched) ---------------


@dataclass(frozen=True, slots=True)
class KnowledgeEntry:
    """One thing the character knows: ways to ask for it, and what she says."""

    questions: tuple[str, ...]
    answer: str


@dataclass(frozen=True, slots=True)
class Persona:
    """Who the agent is in this session. Never logged."""

    name: str
    instructions: str
    voice: str
    language: str
    greeting: str
    knowledge: tuple[KnowledgeEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class Conversation:
    """What the agent worker fetches when dispatched. `avatar_identity` is that of every epoch."""

    session: str
    epoch: int
    mode: SessionMode
    persona: Persona
    avatar_identity: str
    visitor_identity: str


@dataclass(frozen=True, slots=True)
class DispatchMetadata:
    """The dispatch's metadata, JSON. Whoever administers the room can read it: no secrets."""

    session: str


# --- what happened, reported by either worker ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class SessionReport:
    """One thing that happened in a session. `key` makes it safe to report twice.

    Kinds: the ones of `EventKind`. `data` holds numbers and words for the timeline; a transcript
    line is `{"role": "user" | "avatar", "text": …, "final": true}`.
    """

    session: str
    epoch: int
    key: str
    kind: str
    at_ms: int
    data: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReportBatch:
    """What the agent worker posts, in order."""

    reports: tuple[SessionReport, ...]
