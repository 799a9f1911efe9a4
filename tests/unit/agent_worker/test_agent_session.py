"""livekit-agents' own AgentSession over our output: what was heard is what history says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from livekit.agents import Agent, AgentSession, llm, tts, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions
from livekit.agents.voice.io import TextOutput
from livekit.agents.voice.transcription import TranscriptSynchronizer

from agent_worker.narrator import Narrator
from agent_worker.providers.embedding import Embedder
from agent_worker.providers.provider import turn_handling
from agent_worker.providers.retrieval import KnowledgeBase, RetrievalLLM
from agent_worker.reporter import Reporter
from agent_worker.speech.tts import sentence_tokenizer
from avatar_contracts.audio import SAMPLE_RATE_HZ
from tests.fakes.avatar import FakeAvatar
from tests.unit.agent_worker.cast import mira
from tests.unit.agent_worker.speech import until
from tests.unit.agent_worker.test_audio_output import Bench

pytestmark = pytest.mark.component

LONG = (
    "This is the first of many sentences. It goes on for quite a while. There is much to tell. "
    "Nobody will ever hear the end of it. That is what interruptions are for."
)


class ToneTTS(tts.TTS):
    """Hums for 60 ms a character."""

    def __init__(self) -> None:
        capabilities = tts.TTSCapabilities(streaming=False)
        super().__init__(capabilities=capabilities, sample_rate=SAMPLE_RATE_HZ, num_channels=1)

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return _Tone(tts=self, input_text=text, conn_options=conn_options)


class _Tone(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id=utils.shortuuid(),
            sample_rate=SAMPLE_RATE_HZ,
            num_channels=1,
            mime_type="audio/pcm",
        )
        t = np.arange(int(len(self.input_text) * 0.06 * SAMPLE_RATE_HZ))
        output_emitter.push((3000 * np.sin(t / 20)).astype("<i2").tobytes())


class Captions(TextOutput):
    """Where the paced text goes."""

    def __init__(self) -> None:
        super().__init__(label="captions", next_in_chain=None)
        self.text = ""

    async def capture_text(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        self.text += "|"


class Told(Reporter):
    """Keeps the reports instead of posting them."""

    def __init__(self) -> None:
        super().__init__(None, "s")  # type: ignore[arg-type]

    @property
    def reports(self) -> list[tuple[str, dict[str, Any]]]:
        return [(report.kind, report.data) for report in self._waiting]

    def kinds(self, *leave_out: str) -> list[str]:
        return [kind for kind, _ in self.reports if kind not in leave_out]


class Stage(Bench):
    """A bench with a session on our side of it."""

    def __init__(self) -> None:
        super().__init__()
        self.avatar = FakeAvatar(self.redis, "s", 1, speed=1.0)
        self.told = Told()
        self.captions = Captions()
        self.events: list[bytes] = []
        self.narrator = Narrator("s", self.told, self._publish)
        knowledge = KnowledgeBase(mira(), Embedder())
        self.session: AgentSession[None] = AgentSession(
            llm=RetrievalLLM(knowledge),
            tts=tts.StreamAdapter(tts=ToneTTS(), sentence_tokenizer=sentence_tokenizer()),
            vad=None,
            turn_handling=turn_handling("manual"),
            user_away_timeout=None,
        )

    async def _publish(self, event: bytes) -> None:
        self.events.append(event)


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    it = Stage()
    it.output.start()
    it.output.assign(1)
    await it.avatar.start()
    it.narrator.start()
    it.narrator.follow_output(it.output)
    it.narrator.follow_session(it.session)
    sync = TranscriptSynchronizer(next_in_chain_audio=it.output, next_in_chain_text=it.captions)
    it.session.output.audio = sync.audio_output
    it.session.output.transcription = sync.text_output
    await it.session.start(Agent(instructions="You are Mira."), record=False)
    try:
        yield it
    finally:
        await it.session.aclose()
        await it.output.aclose()
        await it.narrator.aclose()
        await it.avatar.die()
        await it.redis.aclose()


def said(session: AgentSession[None]) -> list[llm.ChatMessage]:
    return [m for m in session.history.messages() if m.role == "assistant"]


async def test_three_interruptions_leave_three_true_lines_in_the_history() -> None:
    async with stage() as it:
        for turn in range(1, 4):
            handle = it.session.say(LONG)
            await until(lambda turn=turn: it.started == turn, 10)
            await until(lambda: it.captions.text.rpartition("|")[2].count(" ") >= 3, 10)
            await it.session.interrupt()
            await asyncio.wait_for(handle.wait_for_playout(), 3)
        lines = said(it.session)
        assert [line.interrupted for line in lines] == [True, True, True]
        for line in lines:
            text = line.text_content or ""
            assert text, "what was heard is missing in the history"
            assert LONG.startswith(text.strip())
            assert len(text) < len(LONG) / 2
        assert [interrupted for _, interrupted in it.finished] == [True] * 3
        assert all(0.3 < position < 3 for position, _ in it.finished)
        assert (
            it.told.kinds("latency")
            == [
                "avatar.speak_started",
                "avatar.speak_ended",
                "avatar.transcription",
            ]
            * 3
        )


async def test_an_answer_is_told_to_platform_and_page() -> None:
    async with stage() as it:
        it.avatar._speed = 20.0
        await asyncio.wait_for(it.session.run(user_input="How expensive is it?"), 10)
        await until(lambda: "avatar.transcription" in it.told.kinds())
        by_kind = dict(it.told.reports)
        assert by_kind["user.transcription"]["text"] == "How expensive is it?"
        answer = "A ticket costs eight euros. Children come in free."
        assert by_kind["avatar.transcription"] == {
            "role": "avatar",
            "text": answer,
            "final": True,
            "interrupted": False,
        }
        assert by_kind["avatar.speak_ended"]["interrupted"] is False
        latencies = {data["name"] for kind, data in it.told.reports if kind == "latency"}
        assert {"llm_ms", "tts_ms"} <= latencies
        await until(lambda: any(b"avatar.transcription" in event for event in it.events))
        assert answer in it.captions.text


async def test_lines_follow_each_other_without_mixing() -> None:
    async with stage() as it:
        it.avatar._speed = 20.0
        handles = [it.session.say(f"Line number {n}.") for n in range(3)]
        for handle in handles:
            await asyncio.wait_for(handle.wait_for_playout(), 5)
        assert [line.text_content for line in said(it.session)] == [
            "Line number 0.",
            "Line number 1.",
            "Line number 2.",
        ]
        assert [s.finished for s in it.avatar.segments.values()] == [[False]] * 3
