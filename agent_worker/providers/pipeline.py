"""Hearing, a language model and a voice in a row, with turn-taking on this machine.

Offline, the model is retrieval over the persona's knowledge; otherwise it is any server that
speaks OpenAI's protocol, whose hearing and voices can be used as well.
"""

from typing import Any

from livekit.agents import AgentSession, inference, llm, stt, tts
from livekit.agents.voice import SpeechHandle

from agent_worker.config import NEEDS_OPENAI, AgentSettings
from agent_worker.errors import ProviderUnavailableError, UnknownVoiceError
from agent_worker.models import Models
from agent_worker.observability import log
from agent_worker.persona import fixed_sentences, instructions_for
from agent_worker.providers.hearing import MoonshineSTT
from agent_worker.providers.provider import local_vad, turn_handling
from agent_worker.providers.retrieval import KnowledgeBase, RetrievalLLM
from agent_worker.speech.tts import LocalTTS, streaming
from agent_worker.speech.voices import known_or_default
from avatar_contracts.messages import Persona

OPENAI_VOICE = "openai:"


class PipelineProvider:
    """A `Provider` of three parts.

    Args:
        name: `offline` or `openai`.

    Raises:
        ProviderUnavailableError: a part is missing here.
    """

    def __init__(self, name: str, settings: AgentSettings, models: Models, persona: Persona):
        self.name = name
        self.instructions = instructions_for(persona)
        self._settings = settings
        self._models = models
        lines: tuple[str, ...] = (persona.greeting,)
        if name == "offline":
            knowledge = KnowledgeBase(persona, models.embedder)
            lines += knowledge.lines
            self._llm: llm.LLM[Any] = RetrievalLLM(knowledge)
        else:
            self._llm = self._openai_llm()
        self._fixed = fixed_sentences(lines)
        self._n_greeting = len(fixed_sentences(lines[:1]))
        self._tts = self._openai_tts(persona.voice) or self._local_tts(persona.voice)

    def prepare_speech(self) -> None:
        if isinstance(self._tts, tts.StreamAdapter):
            self._models.speaker.speak_ahead(self._fixed, self._voice, n_urgent=self._n_greeting)

    async def rehearse(self) -> None:
        """Speak every fixed line that is not kept yet; returns when all are.

        Raises:
            SpeechError: one cannot be spoken.
        """
        for sentence in self._fixed:
            await self._models.speaker.speak(sentence, self._voice, keep=True)

    def start_session(self) -> AgentSession[None]:
        detector: Any = "vad"
        if self._settings.agent_turn_detection == "v1-mini":
            detector = inference.TurnDetector(version="v1-mini")
        return AgentSession(
            stt=self._stt(),
            vad=local_vad(),
            llm=self._llm,
            tts=self._tts,
            turn_handling=turn_handling(detector),
            aec_warmup_duration=None,
            user_away_timeout=None,
        )

    def say(self, session: AgentSession[None], text: str) -> SpeechHandle:
        return session.say(text)

    def _local_tts(self, asked: str) -> tts.TTS[Any]:
        try:
            voice = known_or_default(asked, self._settings.agent_voice)
        except UnknownVoiceError as error:
            raise ProviderUnavailableError("voice_missing", str(error)) from error
        if voice != asked:
            log().warning("voice is not installed; another one speaks", asked=asked, voice=voice)
        self._voice = voice
        return streaming(LocalTTS(self._models.speaker, voice, frozenset(self._fixed)))

    def _stt(self) -> stt.STT[Any]:
        if self.name == "openai" and self._settings.openai_stt_model:
            from livekit.plugins import openai

            return openai.STT(model=self._settings.openai_stt_model, **self._openai_access())
        return MoonshineSTT(self._models.hearing)

    def _openai_llm(self) -> llm.LLM[Any]:
        from livekit.plugins import openai

        if not self._settings.has_openai_access:
            raise ProviderUnavailableError("credentials", NEEDS_OPENAI)
        return openai.LLM(model=self._settings.openai_model, **self._openai_access())

    def _openai_tts(self, voice: str) -> tts.TTS[Any] | None:
        if not (self.name == "openai" and voice.startswith(OPENAI_VOICE)):
            return None
        from livekit.plugins import openai

        return openai.TTS(
            model=self._settings.openai_tts_model or "tts-1",
            voice=voice.removeprefix(OPENAI_VOICE),
            **self._openai_access(),
        )

    def _openai_access(self) -> dict[str, Any]:
        """Address and key; a local server wants no key, the client library wants one."""
        key = self._settings.openai_api_key.get_secret_value()
        access: dict[str, Any] = {"api_key": key or "unused"}
        if self._settings.openai_base_url:
            access["base_url"] = self._settings.openai_base_url
        return access
