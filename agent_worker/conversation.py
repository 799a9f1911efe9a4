"""One dispatched conversation, from the job to leaving the room.

    dispatch ─► fetch Conversation ─► connect ─► talk ─► greet ─► … ─► leave
                                         │
               command stream ───────────┴─► say · interrupt · new avatar · end

livekit-agents runs `converse` as the job's entrypoint and calls `aclose` when the job ends, for
whatever reason: we left, the room is gone, another agent took our identity, the worker stops.
"""

import asyncio
from typing import assert_never

import structlog
from livekit import rtc
from livekit.agents import AutoSubscribe, JobContext

from agent_worker.audio_output import RedisAudioOutput
from agent_worker.commands import AgentMemory, read_commands
from agent_worker.config import AgentSettings
from agent_worker.errors import AgentError, ProviderUnavailableError
from agent_worker.models import Models
from agent_worker.narrator import Narrator
from agent_worker.observability import log
from agent_worker.platform_link import PlatformLink
from agent_worker.providers.choice import make_provider
from agent_worker.redis_streams import RedisClient, connect
from agent_worker.reporter import Reporter
from agent_worker.room_sink import RoomSink, RoomTrack
from agent_worker.talks import ConversationTalk, EchoTalk, Talk
from agent_worker.tasks import end_tasks, log_failure
from avatar_contracts.beat import EventKind
from avatar_contracts.codec import ContractError, from_json
from avatar_contracts.identities import EVENTS_TOPIC
from avatar_contracts.messages import (
    AvatarAssignedCommand,
    CommandMessage,
    Conversation,
    DispatchMetadata,
    EndCommand,
    InterruptCommand,
    SayCommand,
)
from avatar_contracts.states import EndReason, SessionMode


async def converse(ctx: JobContext, settings: AgentSettings, models: Models) -> None:
    """The job's entrypoint: set the conversation up; it then lives until the job ends."""
    try:
        session = from_json(DispatchMetadata, ctx.job.metadata).session
    except ContractError as error:
        log().error("dispatch is not understood", error=str(error))
        ctx.shutdown("dispatch is not understood")
        return
    structlog.contextvars.bind_contextvars(session_id=session)
    link = PlatformLink(settings.platform_url, settings.worker_token.get_secret_value())
    try:
        conversation = await link.fetch_conversation(session)
    except AgentError as error:
        log().warning("no conversation", kind=type(error).__name__, error=str(error))
        await link.aclose()
        ctx.shutdown(type(error).__name__)
        return
    redis = connect(settings.redis_url.get_secret_value())
    run = ConversationRun(ctx, conversation, link, redis)
    ctx.add_shutdown_callback(run.aclose)
    await run.start(settings, models)


class ConversationRun:
    """Everything that belongs to one conversation, and its end."""

    def __init__(
        self, ctx: JobContext, conversation: Conversation, link: PlatformLink, redis: RedisClient
    ) -> None:
        self._ctx = ctx
        self._room = ctx.room
        self._conversation = conversation
        self._link = link
        self._redis = redis
        self._memory = AgentMemory(redis, conversation.session)
        self._reporter = Reporter(link, conversation.session)
        self._reporter.epoch = conversation.epoch
        self._narrator = Narrator(conversation.session, self._reporter, self._publish)
        self._output = RedisAudioOutput(
            redis,
            conversation.session,
            fallback=lambda events: RoomSink(RoomTrack(ctx.room), events),
        )
        self._talk: Talk | None = None
        self._visitor_here = asyncio.Event()
        self._provider_lost = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    async def start(self, settings: AgentSettings, models: Models) -> None:
        self._reporter.start()
        self._narrator.start()
        self._narrator.follow_output(self._output)
        self._output.start()
        self._output.assign(self._conversation.epoch)
        try:
            talk = self._talk = self._make_talk(settings, models)
            self._room.on("participant_connected", self._on_joined)
            self._room.on("participant_disconnected", self._on_left)
            self._room.on("track_published", self._on_published)
            await self._ctx.connect(auto_subscribe=AutoSubscribe.AUDIO_ONLY)
            self._narrator.tell(EventKind.AGENT_JOINED)
            for participant in list(self._room.remote_participants.values()):
                self._on_joined(participant)
            await talk.start(self._room)
        except ProviderUnavailableError as error:
            log().error("provider cannot start", reason=error.reason, error=str(error))
            self._narrator.tell(
                EventKind.AGENT_FAILED,
                reason=EndReason.LLM_LOST.value,
                error=error.reason,
                message=str(error),
            )
            self._ctx.shutdown("provider cannot start")
            return
        self._tasks = [
            asyncio.create_task(self._obey(talk), name="commands"),
            asyncio.create_task(self._greet(talk), name="greeting"),
            asyncio.create_task(self._leave_without_provider(), name="provider-lost"),
        ]
        for task in self._tasks:
            task.add_done_callback(log_failure)

    async def aclose(self) -> None:
        """Let everything go, in reverse order. May be called twice."""
        if self._closed:
            return
        self._closed = True
        await end_tasks(*self._tasks)
        if self._talk is not None:
            await self._talk.aclose()
        await self._output.aclose()
        self._narrator.tell(EventKind.AGENT_LEFT)
        await self._narrator.aclose()
        await self._reporter.aclose()
        await self._redis.aclose()
        await self._link.aclose()
        log().info("conversation left")

    def _make_talk(self, settings: AgentSettings, models: Models) -> Talk:
        if self._conversation.mode is SessionMode.ECHO:
            return EchoTalk(self._conversation, self._output, self._narrator)
        provider = make_provider(settings, models, self._conversation.persona)
        return ConversationTalk(
            self._conversation, provider, self._output, self._narrator, self._provider_lost
        )

    async def _obey(self, talk: Talk) -> None:
        session = self._conversation.session
        async for command in read_commands(self._redis, session, self._memory):
            self._carry_out(command, talk)

    def _carry_out(self, command: CommandMessage, talk: Talk) -> None:
        match command:
            case SayCommand():
                talk.say(command.text)
            case InterruptCommand():
                talk.interrupt()
            case AvatarAssignedCommand():
                self._reporter.epoch = max(self._reporter.epoch, command.epoch)
                self._output.assign(command.epoch)
            case EndCommand():
                self._ctx.shutdown("session is over")
            case never:
                assert_never(never)

    async def _greet(self, talk: Talk) -> None:
        """The first words wait for a face that says them and a visitor who hears them."""
        greeting = self._conversation.persona.greeting
        if self._conversation.mode is SessionMode.ECHO or not greeting:
            return
        await self._output.wait_ready()
        await self._visitor_here.wait()
        if await self._memory.first_greeting():
            talk.say(greeting)

    async def _leave_without_provider(self) -> None:
        await self._provider_lost.wait()
        self._ctx.shutdown("provider lost")

    async def _publish(self, event: bytes) -> None:
        await self._room.local_participant.publish_data(event, reliable=True, topic=EVENTS_TOPIC)

    def _on_joined(self, participant: rtc.RemoteParticipant) -> None:
        for publication in participant.track_publications.values():
            self._on_published(publication, participant)
        if participant.identity == self._conversation.visitor_identity:
            self._narrator.tell(EventKind.USER_JOINED)
            self._visitor_here.set()

    def _on_left(self, participant: rtc.RemoteParticipant) -> None:
        if participant.identity == self._conversation.visitor_identity:
            self._visitor_here.clear()
            self._narrator.tell(EventKind.USER_LEFT)
            if self._talk is not None:
                self._talk.interrupt()

    def _on_published(
        self, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        """The agent does not listen to the avatar: decoding what it said itself is wasted work."""
        if participant.identity == self._conversation.avatar_identity:
            publication.set_subscribed(False)
