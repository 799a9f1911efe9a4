"""A local server that speaks OpenAI's protocol, in the place of a language model."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from livekit.agents import Agent
from pydantic import SecretStr

from agent_worker.models import Models
from agent_worker.providers.choice import make_provider
from agent_worker.providers.pipeline import PipelineProvider
from tests.unit.agent_worker.cast import mira, settings

pytestmark = pytest.mark.component


class ChatServer:
    """`POST /v1/chat/completions`, streamed."""

    def __init__(self) -> None:
        self.asked: list[dict[str, object]] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for i, word in enumerate(["Eight ", "euros."]):
            choice = {"index": 0, "delta": {"role": "assistant", "content": word}}
            await self._event(response, {"choices": [choice], "id": f"c{i}"})
        last = {"index": 0, "delta": {}, "finish_reason": "stop"}
        await self._event(response, {"choices": [last], "id": "c9"})
        await response.write(b"data: [DONE]\n\n")
        return response

    @staticmethod
    async def _event(response: web.StreamResponse, body: dict[str, object]) -> None:
        chunk = {"object": "chat.completion.chunk", "created": 1, "model": "m", **body}
        await response.write(f"data: {json.dumps(chunk)}\n\n".encode())


@pytest.fixture
async def server() -> AsyncIterator[ChatServer]:
    it = ChatServer()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", it.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    it.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield it
    await runner.cleanup()


async def test_a_local_model_is_told_the_persona_and_its_answer_is_taken(
    server: ChatServer, tmp_path: Path
) -> None:
    values = settings(
        tmp_path, agent_provider="openai", openai_base_url=server.url, openai_model="tiny"
    )
    models = Models(values)
    provider = make_provider(values, models, mira())
    assert isinstance(provider, PipelineProvider)
    session = provider.start_session()
    session.output.set_audio_enabled(False)
    await session.start(Agent(instructions=provider.instructions), record=False)
    result = await asyncio.wait_for(session.run(user_input="What does it cost?"), 20)
    result.expect.contains_message(role="assistant")
    said = [m.text_content for m in session.history.messages() if m.role == "assistant"]
    await session.aclose()
    models.close()
    assert said == ["Eight euros."]
    assert server.asked[0]["model"] == "tiny"
    assert "friendly face of a small museum" in json.dumps(server.asked[0]["messages"])


async def test_the_turn_detector_that_listens_to_words_is_the_local_one(
    tmp_path: Path, server: ChatServer
) -> None:
    values = settings(
        tmp_path,
        agent_provider="openai",
        openai_base_url=server.url,
        openai_api_key=SecretStr("k"),
        agent_turn_detection="v1-mini",
    )
    models = Models(values)
    session = make_provider(values, models, mira()).start_session()
    assert "mini" in str(getattr(session.turn_detection, "model", ""))
    models.close()
