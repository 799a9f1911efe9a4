"""What this process loads once and all its conversations share."""

import os
import threading
from typing import Final

from agent_worker.config import AgentSettings
from agent_worker.errors import AgentError
from agent_worker.observability import log
from agent_worker.providers.embedding import Embedder
from agent_worker.providers.hearing import Hearing
from agent_worker.speech.speaker import Speaker
from agent_worker.speech.voices import known_or_default

PRELOAD_VARIABLE: Final = "LIVEKIT_AGENTS_PRELOAD_LOCAL_INFERENCE"


class Models:
    """Speaker, hearing and embedder. Cheap to make; they load when used, or in `warm_up`."""

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings
        self.speaker = Speaker(settings.avatar_cache_dir)
        self.hearing = Hearing()
        self.embedder = Embedder()

    def prepare_environment(self) -> None:
        """Keep livekit-agents from reading 244 MB of turn detector that nobody asked for."""
        if self._settings.agent_turn_detection == "vad":
            os.environ.setdefault(PRELOAD_VARIABLE, "0")

    def warm_up(self) -> None:
        """Load, in the background, what the chosen provider will need."""
        threading.Thread(target=self._load, name="warm-up", daemon=True).start()

    def close(self) -> None:
        self.speaker.close()
        self.hearing.close()

    def _load(self) -> None:
        try:
            from livekit import local_inference

            local_inference.init_vad()
            if self._settings.provider != "gemini":
                self.hearing.load()
                self.embedder.embed(["Hello."])
                self.speaker.warm_up(known_or_default("", self._settings.agent_voice))
                self.speaker.kept.trim()
        except AgentError as error:
            log().warning("warm-up failed", error=str(error))
        except Exception:
            log().exception("warm-up failed")
