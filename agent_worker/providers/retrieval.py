"""Answers from what the persona knows: the nearest of its questions, small talk, or "I don't know".

Nothing is made up. An answer is always one of the persona's own lines, so all of them can be
spoken ahead of need.
"""

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any, Final

from livekit.agents import llm
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions

from agent_worker.providers.embedding import Embedder, Vectors
from agent_worker.providers.small_talk import (
    asks_for_help,
    asks_to_repeat,
    rules_for,
    small_talk,
)
from agent_worker.speech.tts import sentences
from avatar_contracts.messages import Persona

THRESHOLD: Final = 0.35
"""Cosine from which on a question counts as asked; below it, not knowing is the honest answer."""
SURE: Final = 0.6
"""From here on the persona's own entry goes before small talk."""
_REFUSALS: Final = (
    "I'm sorry, I don't know that.",
    "That is something I don't know.",
    "I can't answer that, I'm afraid.",
)


class KnowledgeBase:
    """A persona's knowledge, ready to be asked. Keeps the thread of one conversation."""

    def __init__(self, persona: Persona, embedder: Embedder) -> None:
        self._persona = persona
        self._embedder = embedder
        self._rules = rules_for(persona)
        # what an entry is found by: its questions, and what its answer says
        self._keys = [
            (index, key)
            for index, entry in enumerate(persona.knowledge)
            for key in (*entry.questions, *sentences(entry.answer))
        ]
        self._vectors: Vectors | None = None
        self._last_answer = ""
        self._refused = 0

    @property
    def lines(self) -> tuple[str, ...]:
        """Everything that can be answered."""
        return (
            *(entry.answer for entry in self._persona.knowledge),
            *(rule.answer for rule in self._rules),
            *_REFUSALS,
            *self._hints,
        )

    @property
    def _hints(self) -> tuple[str, ...]:
        """What one can ask, as sentences."""
        first = [entry.questions[0] for entry in self._persona.knowledge if entry.questions]
        return tuple(f"You could ask me: {question}" for question in first[:3])

    def answer(self, text: str) -> str:
        """What to say to this. Blocking, some 10 ms."""
        if asks_to_repeat(text) and self._last_answer:
            return self._last_answer
        index, score = self._nearest(text)
        if index is not None and score >= SURE:
            said = self._persona.knowledge[index].answer
        elif asks_for_help(text) and self._hints:
            said = " ".join(self._hints[:2])
        elif (talk := small_talk(self._rules, text)) is not None:
            said = talk
        elif index is not None and score >= THRESHOLD:
            said = self._persona.knowledge[index].answer
        else:
            said = self._refuse()
        self._last_answer = said
        return said

    def _nearest(self, text: str) -> tuple[int | None, float]:
        if not self._keys:
            return None, 0.0
        if self._vectors is None:
            self._vectors = self._embedder.embed([key for _, key in self._keys])  # [n_keys, 384]
        scores = self._vectors @ self._embedder.embed([text])[0]  # [n_keys]
        best = int(scores.argmax())
        return self._keys[best][0], float(scores[best])

    def _refuse(self) -> str:
        refusal = _REFUSALS[self._refused % len(_REFUSALS)]
        hint = self._hints[self._refused % len(self._hints)] if self._hints else ""
        self._refused += 1
        return f"{refusal} {hint}".strip()


class RetrievalLLM(llm.LLM[None]):
    """A `KnowledgeBase` in the place of a language model."""

    def __init__(self, knowledge: KnowledgeBase) -> None:
        super().__init__()
        self.knowledge = knowledge

    @property
    def model(self) -> str:
        return "minilm-retrieval"

    @property
    def provider(self) -> str:
        return "local"

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: Sequence[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        **_options: Any,
    ) -> llm.LLMStream:
        return _Answer(self, chat_ctx=chat_ctx, tools=list(tools or ()), conn_options=conn_options)


class _Answer(llm.LLMStream):
    async def _run(self) -> None:
        assert isinstance(self._llm, RetrievalLLM)
        said = [m.text_content for m in self._chat_ctx.messages() if m.role == "user"]
        question = (said[-1] if said else None) or ""
        answer = await asyncio.to_thread(self._llm.knowledge.answer, question)
        self._event_ch.send_nowait(
            llm.ChatChunk(
                id=uuid.uuid4().hex,
                delta=llm.ChoiceDelta(role="assistant", content=answer),
            )
        )
