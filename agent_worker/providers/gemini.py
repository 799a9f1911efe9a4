"""Gemini Live: hears and speaks by itself, on Vertex AI or with an API key.

It cannot be made to say given words through a voice of ours, so fixed lines are asked of the model
itself, in its own voice.
"""

from typing import Any, Final, get_args

from google.genai import types
from livekit.agents import AgentSession
from livekit.agents.types import NOT_GIVEN
from livekit.agents.voice import SpeechHandle
from livekit.plugins.google import realtime

from agent_worker.config import NEEDS_GOOGLE, AgentSettings
from agent_worker.errors import ProviderUnavailableError
from agent_worker.persona import instructions_for, verbatim_instructions
from agent_worker.providers.provider import local_vad, turn_handling
from avatar_contracts.messages import Persona

VOICE_PREFIX: Final = "gemini:"
VOICES: Final[tuple[str, ...]] = get_args(realtime.Voice)
COMPRESS_FROM_TOKENS: Final = 25_600
COMPRESS_TO_TOKENS: Final = 12_800
"""A conversation of any length stays within the model's window: old turns are let go."""


class GeminiProvider:
    """A `Provider` over Gemini Live. Session resumption and `goAway` are the plugin's work.

    Raises:
        ProviderUnavailableError: no credentials.
    """

    name: Final = "gemini"

    def __init__(self, settings: AgentSettings, persona: Persona) -> None:
        if not settings.has_google_credentials:
            raise ProviderUnavailableError("credentials", NEEDS_GOOGLE)
        self.instructions = instructions_for(persona)
        self._settings = settings
        self._persona = persona

    def prepare_speech(self) -> None:
        """Nothing is known beforehand: the model speaks everything itself."""

    def start_session(self) -> AgentSession[None]:
        try:
            model = self._model()
        except (ValueError, OSError) as error:
            raise ProviderUnavailableError("configuration", type(error).__name__) from error
        return AgentSession(
            llm=model,
            vad=local_vad(),
            turn_handling=turn_handling("realtime_llm"),
            aec_warmup_duration=None,
            user_away_timeout=None,
        )

    def say(self, session: AgentSession[None], text: str) -> SpeechHandle:
        return session.generate_reply(instructions=verbatim_instructions(text))

    def _model(self) -> Any:
        settings = self._settings
        api_key = settings.google_api_key.get_secret_value()
        access: dict[str, Any] = (
            {"api_key": api_key}
            if api_key
            else {
                "vertexai": True,
                "project": settings.gcp_project_id,
                "location": settings.gcp_region,
            }
        )
        return realtime.RealtimeModel(
            model=settings.gemini_model,
            voice=self._voice(),
            language=self._persona.language or NOT_GIVEN,
            context_window_compression=types.ContextWindowCompressionConfig(
                trigger_tokens=COMPRESS_FROM_TOKENS,
                sliding_window=types.SlidingWindow(target_tokens=COMPRESS_TO_TOKENS),
            ),
            proactivity=settings.gemini_proactive_audio or NOT_GIVEN,
            enable_affective_dialog=settings.gemini_affective_dialog or NOT_GIVEN,
            api_version=settings.gemini_api_version or NOT_GIVEN,
            **access,
        )

    def _voice(self) -> str:
        """The persona's voice when it is one of Gemini's, else the operator's choice."""
        asked = self._persona.voice.removeprefix(VOICE_PREFIX)
        return asked if asked in VOICES else self._settings.gemini_voice
