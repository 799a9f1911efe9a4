"""Tells what happens: to the platform as reports, to the page as events on the data channel.

Both use LiveAvatar's names (`avatar.speak_started`, `user.transcription`, …). Latencies go to the
platform only.
"""

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final

from livekit.agents import AgentSession, ConversationItemAddedEvent, UserStateChangedEvent, llm
from livekit.agents.voice.io import PlaybackFinishedEvent, PlaybackStartedEvent

from agent_worker.audio_output import RedisAudioOutput
from agent_worker.observability import log
from agent_worker.providers.provider import MIN_SILENCE_S
from agent_worker.reporter import Reporter
from agent_worker.tasks import end_tasks
from avatar_contracts.beat import EventKind

Publish = Callable[[bytes], Awaitable[None]]
EVENTS_WAITING_MAX: Final = 256
_ON_THE_PAGE: Final = frozenset(
    {
        EventKind.SPEAK_STARTED,
        EventKind.SPEAK_ENDED,
        EventKind.USER_SPEAK_STARTED,
        EventKind.USER_SPEAK_ENDED,
        EventKind.USER_TRANSCRIPTION,
        EventKind.AVATAR_TRANSCRIPTION,
    }
)
_LATENCIES: Final = {
    "transcription_delay": "stt_ms",
    "end_of_turn_delay": "turn_ms",
    "llm_node_ttft": "llm_ms",
    "tts_node_ttfb": "tts_ms",
    "playback_latency": "avatar_ms",
}
"""livekit-agents' measures of a turn → our names."""


class Narrator:
    """One conversation's voice to the outside. Call `start` before use."""

    def __init__(self, session: str, reporter: Reporter, publish: Publish) -> None:
        self._session = session
        self._reporter = reporter
        self._publish = publish
        self._events: asyncio.Queue[bytes] = asyncio.Queue(EVENTS_WAITING_MAX)
        self._task: asyncio.Task[None] | None = None
        self._user_stopped_at: float | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._send_events(), name="events")

    async def aclose(self) -> None:
        await end_tasks(self._task)

    def tell(self, kind: EventKind, **data: object) -> None:
        """Something happened, now."""
        self._reporter.report(kind, **data)
        if kind in _ON_THE_PAGE:
            event = {
                "event_id": str(uuid.uuid4()),
                "event_type": kind.value,
                "session_id": self._session,
                **data,
            }
            try:
                self._events.put_nowait(json.dumps(event).encode())
            except asyncio.QueueFull:
                log().warning("event for the page dropped", kind=kind.value)

    def follow_output(self, output: RedisAudioOutput) -> None:
        """Tell when the avatar begins and ends to speak."""
        output.on("playback_started", self._on_started)
        output.on("playback_finished", self._on_finished)

    def follow_session(self, session: AgentSession[None]) -> None:
        """Tell when the visitor speaks, what was said, and how long answers took."""
        session.on("user_state_changed", self._on_user_state)
        session.on("conversation_item_added", self._on_item)

    def user_speaks(self, *, speaking: bool) -> None:
        self.tell(EventKind.USER_SPEAK_STARTED if speaking else EventKind.USER_SPEAK_ENDED)

    def latency(self, name: str, seconds: float) -> None:
        self._reporter.report(EventKind.LATENCY, name=name, ms=round(seconds * 1000))

    def _on_started(self, event: PlaybackStartedEvent) -> None:
        self.tell(EventKind.SPEAK_STARTED)
        if self._user_stopped_at is not None:
            self.latency("answer_ms", event.created_at - self._user_stopped_at)
            self._user_stopped_at = None

    def _on_finished(self, event: PlaybackFinishedEvent) -> None:
        self.tell(
            EventKind.SPEAK_ENDED,
            interrupted=event.interrupted,
            position_s=round(event.playback_position, 3),
        )

    def _on_user_state(self, event: UserStateChangedEvent) -> None:
        if event.new_state == "speaking":
            self._user_stopped_at = None
            self.user_speaks(speaking=True)
        elif event.old_state == "speaking":
            self._user_stopped_at = time.time() - MIN_SILENCE_S
            self.user_speaks(speaking=False)

    def _on_item(self, event: ConversationItemAddedEvent) -> None:
        item = event.item
        if not isinstance(item, llm.ChatMessage) or item.role not in ("user", "assistant"):
            return
        measured: dict[str, Any] = dict(item.metrics or {})
        for name, ours in _LATENCIES.items():
            if measured.get(name):
                self.latency(ours, float(measured[name]))
        text = (item.text_content or "").strip()
        if item.role == "user":
            if self._user_stopped_at is not None and measured.get("stopped_speaking_at"):
                self._user_stopped_at = float(measured["stopped_speaking_at"])
            if text:
                self.tell(EventKind.USER_TRANSCRIPTION, role="user", text=text, final=True)
        elif text:
            self.tell(
                EventKind.AVATAR_TRANSCRIPTION,
                role="avatar",
                text=text,
                final=True,
                interrupted=item.interrupted,
            )

    async def _send_events(self) -> None:
        while True:
            event = await self._events.get()
            try:
                await self._publish(event)
            except Exception as error:
                log().info("event for the page not sent", error=type(error).__name__)
