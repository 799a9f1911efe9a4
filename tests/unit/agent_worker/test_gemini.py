"""The real google plugin against a faithful server: setup, sound, transcripts, failures."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from livekit.agents import Agent, CloseEvent, utils
from livekit.agents.voice.events import CloseReason
from livekit.agents.voice.transcription import TranscriptSynchronizer
from pydantic import SecretStr

from agent_worker.narrator import Narrator
from agent_worker.providers.gemini import GeminiProvider
from tests.fakes.avatar import FakeAvatar
from tests.fakes.gemini import FakeGemini
from tests.unit.agent_worker.cast import mira, settings
from tests.unit.agent_worker.microphone import Microphone
from tests.unit.agent_worker.speech import until
from tests.unit.agent_worker.test_agent_session import Captions, Told
from tests.unit.agent_worker.test_audio_output import Bench

pytestmark = pytest.mark.component


def tone(seconds: float) -> bytes:
    return (3000 * np.sin(np.arange(int(seconds * 24_000)) / 20)).astype("<i2").tobytes()


@pytest.fixture
async def gemini(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeGemini]:
    server = FakeGemini(tmp_path)
    await server.start()
    monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
    monkeypatch.delenv("GOOGLE_GENAI_USE_VERTEXAI", raising=False)
    yield server
    await server.aclose()


class Talking(Bench):
    """A Gemini conversation without a room."""

    def __init__(self, tmp_path: Path, **values: object) -> None:
        super().__init__()
        self.avatar = FakeAvatar(self.redis, "s", 1, speed=1.0)
        self.told = Told()
        self.narrator = Narrator("s", self.told, self._publish)
        self.provider = GeminiProvider(
            settings(
                tmp_path, agent_provider="gemini", google_api_key=SecretStr("test-key"), **values
            ),
            mira(voice="gemini:Kore"),
        )
        self.captions = Captions()
        self.microphone = Microphone()
        self.closed: list[CloseEvent] = []

    async def _publish(self, event: bytes) -> None:
        pass

    async def __aenter__(self) -> "Talking":
        self._http = utils.http_context.open()
        await self._http.__aenter__()
        self.session = self.provider.start_session()
        self.output.start()
        self.output.assign(1)
        await self.avatar.start()
        self.narrator.start()
        self.narrator.follow_output(self.output)
        self.narrator.follow_session(self.session)
        self.session.on("close", self.closed.append)
        sync = TranscriptSynchronizer(
            next_in_chain_audio=self.output, next_in_chain_text=self.captions
        )
        self.session.input.audio = self.microphone
        self.session.output.audio = sync.audio_output
        self.session.output.transcription = sync.text_output
        await self.session.start(Agent(instructions=self.provider.instructions), record=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.aclose()
        await self.output.aclose()
        await self.narrator.aclose()
        await self.avatar.die()
        await self.redis.aclose()
        await self._http.__aexit__(None, None, None)


async def test_setup_carries_voice_instructions_language_and_compression(
    gemini: FakeGemini, tmp_path: Path
) -> None:
    async with Talking(tmp_path):
        connection = await gemini.connected(1)
    assert connection.path.endswith("GenerativeService.BidiGenerateContent")
    assert {k.lower(): v for k, v in connection.headers.items()}["x-goog-api-key"] == "test-key"
    setup = str(connection.setup)
    for part in ("Kore", "friendly face of a small museum", "en-US", "25600"):
        assert part in setup
    assert connection.refused == []


async def test_an_answer_comes_out_sample_for_sample_and_both_sides_are_told(
    gemini: FakeGemini, tmp_path: Path
) -> None:
    pcm = tone(1.5)
    async with Talking(tmp_path) as it:
        connection = await gemini.connected(1)
        it.microphone.speak(tone(0.5))
        await until(lambda: len(connection.heard) > 16_000)
        await connection.user_said("what does it cost")
        await connection.speak(pcm, "A ticket costs eight euros.")
        await until(lambda: it.finished, 10)
        await until(lambda: "avatar.transcription" in it.told.kinds())
        received = bytes(it.avatar.segments[1].received)
        told = dict(it.told.reports)
    assert received == pcm
    assert it.finished == [(pytest.approx(1.5, abs=0.01), False)]
    assert told["user.transcription"]["text"].strip() == "what does it cost"
    assert told["avatar.transcription"]["text"].strip() == "A ticket costs eight euros."


async def test_an_interruption_by_the_service_stops_the_avatar(
    gemini: FakeGemini, tmp_path: Path
) -> None:
    async with Talking(tmp_path) as it:
        connection = await gemini.connected(1)
        await connection.speak(tone(6.0), "A long answer that nobody hears.", complete=False)
        await until(lambda: it.avatar.segments and it.avatar.segments[1].played_samples > 12_000)
        await connection.interrupt()
        await until(lambda: it.finished)
        ((position, interrupted),) = it.finished
        # and the conversation goes on
        await connection.speak(tone(0.4), "Yes?")
        await until(lambda: len(it.finished) == 2)
    assert interrupted
    assert position < 3
    assert it.avatar.clears[0] == 1
    assert it.finished[1] == (pytest.approx(0.4, abs=0.01), False)


async def test_a_fixed_line_is_asked_of_the_model_itself(
    gemini: FakeGemini, tmp_path: Path
) -> None:
    gemini.answer = (tone(0.5), "Hello, I am Mira.")
    async with Talking(tmp_path) as it:
        connection = await gemini.connected(1)
        it.provider.say(it.session, "Hello, I am Mira.")
        await until(lambda: it.finished, 10)
        turns = str(connection.turns)
    assert "Hello, I am Mira." in turns
    assert "word for word" in turns


async def test_a_conversation_goes_on_after_go_away(gemini: FakeGemini, tmp_path: Path) -> None:
    async with Talking(tmp_path) as it:
        first = await gemini.connected(1)
        await first.offer_resumption("handle-7")
        await first.go_away()
        second = await gemini.connected(2)
        await second.speak(tone(0.4), "I am still here.")
        await until(lambda: it.finished, 10)
        assert it.closed == []
    assert "handle-7" in str(second.setup)


async def test_a_refused_setup_ends_the_session_with_an_error(
    gemini: FakeGemini, tmp_path: Path
) -> None:
    gemini.refuse_with = (1007, "API key not valid")
    async with Talking(tmp_path) as it:
        await until(lambda: it.closed, 20)
    assert it.closed[0].reason == CloseReason.ERROR
