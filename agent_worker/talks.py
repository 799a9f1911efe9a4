"""What the agent does in a room: it converses (through a provider), or it echoes."""

import asyncio
from contextlib import suppress
from typing import Final, Protocol

from livekit import rtc
from livekit.agents import Agent, AgentSession, CloseEvent, ErrorEvent
from livekit.agents.voice.events import CloseReason
from livekit.agents.voice.room_io import RoomOptions

from agent_worker.audio_output import RedisAudioOutput
from agent_worker.echo import echo, microphone
from agent_worker.narrator import Narrator
from agent_worker.observability import log
from agent_worker.providers.provider import Provider
from agent_worker.tasks import end_tasks, log_failure
from avatar_contracts.beat import EventKind
from avatar_contracts.messages import Conversation
from avatar_contracts.states import EndReason

CLOSE_WITHIN_S: Final = 5.0


class Talk(Protocol):
    """Runs in a connected room between `start` and `aclose`."""

    async def start(self, room: rtc.Room) -> None: ...
    def say(self, text: str) -> None: ...
    def interrupt(self) -> None: ...
    async def aclose(self) -> None: ...


class ConversationTalk:
    """An `AgentSession` of the provider, heard through our output, captioned by livekit-agents.

    Args:
        on_lost: called once when the provider has failed for good.
    """

    def __init__(
        self,
        conversation: Conversation,
        provider: Provider,
        output: RedisAudioOutput,
        narrator: Narrator,
        on_lost: asyncio.Event,
    ) -> None:
        self._conversation = conversation
        self._provider = provider
        self._output = output
        self._narrator = narrator
        self._on_lost = on_lost
        self._session: AgentSession[None] | None = None

    async def start(self, room: rtc.Room) -> None:
        session = self._session = self._provider.start_session()
        self._provider.prepare_speech()
        self._narrator.follow_session(session)
        session.on("close", self._on_close)
        session.on("error", self._on_error)
        session.output.replace_audio_tail(self._output)
        await session.start(
            agent=Agent(instructions=self._provider.instructions),
            room=room,
            room_options=RoomOptions(
                audio_output=False,
                participant_identity=self._conversation.visitor_identity,
                participant_kinds=[rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD],
                close_on_disconnect=False,
            ),
            record=False,
            session_host=False,
        )

    def say(self, text: str) -> None:
        if self._session is not None:
            with suppress(RuntimeError):  # closing
                self._provider.say(self._session, text)

    def interrupt(self) -> None:
        if self._session is not None:
            with suppress(RuntimeError):  # closing
                self._session.interrupt(force=True)

    async def aclose(self) -> None:
        if self._session is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_WITHIN_S):
                    await self._session.aclose()

    def _on_error(self, event: ErrorEvent) -> None:
        cause = getattr(event.error, "error", event.error)
        log().warning(
            "provider error",
            provider=self._provider.name,
            kind=type(cause).__name__,
            status=getattr(cause, "status_code", None),
            recoverable=getattr(event.error, "recoverable", None),
        )

    def _on_close(self, event: CloseEvent) -> None:
        if event.reason != CloseReason.ERROR:
            return
        cause = getattr(event.error, "error", event.error)
        self._narrator.tell(
            EventKind.AGENT_FAILED,
            reason=EndReason.LLM_LOST.value,
            provider=self._provider.name,
            error=type(cause).__name__,
            status=getattr(cause, "status_code", None),
        )
        self._on_lost.set()


class EchoTalk:
    """Repeats the visitor's microphone. It has no voice of its own: `say` is refused."""

    def __init__(
        self, conversation: Conversation, output: RedisAudioOutput, narrator: Narrator
    ) -> None:
        self._conversation = conversation
        self._output = output
        self._narrator = narrator
        self._room: rtc.Room | None = None
        self._repeating: asyncio.Task[None] | None = None

    async def start(self, room: rtc.Room) -> None:
        self._room = room
        room.on("track_subscribed", self._on_track)
        for participant in room.remote_participants.values():
            for publication in participant.track_publications.values():
                if publication.track is not None:
                    self._on_track(publication.track, publication, participant)

    def say(self, text: str) -> None:
        log().warning("nothing can be said in echo mode")

    def interrupt(self) -> None:
        self._output.clear_buffer()

    async def aclose(self) -> None:
        if self._room is not None:
            self._room.off("track_subscribed", self._on_track)
        await end_tasks(self._repeating)

    def _on_track(
        self,
        track: rtc.RemoteTrack,
        publication: rtc.RemoteTrackPublication,
        participant: rtc.RemoteParticipant,
    ) -> None:
        """The visitor's newest microphone is the one that is repeated."""
        is_microphone = track.kind == rtc.TrackKind.KIND_AUDIO
        if not is_microphone or participant.identity != self._conversation.visitor_identity:
            return
        if self._repeating is not None:
            self._repeating.cancel()
        self._repeating = asyncio.create_task(
            echo(
                microphone(track),
                self._output,
                lambda speaking: self._narrator.user_speaks(speaking=speaking),
            ),
            name="echo",
        )
        self._repeating.add_done_callback(log_failure)
