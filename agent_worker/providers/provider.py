"""What a conversation needs of a provider, and the turn-taking that all of them share."""

from typing import Any, Final, Protocol

from livekit.agents import AgentSession, inference
from livekit.agents.voice import SpeechHandle
from livekit.agents.voice.turn import TurnHandlingOptions

MIN_SILENCE_S: Final = 0.35
"""Silence after which the VAD calls speech ended; shorter cuts people off between two words."""
MIN_ENDPOINT_S: Final = 0.4
MAX_ENDPOINT_S: Final = 2.5
MIN_INTERRUPTION_S: Final = 0.3
"""Speech this long stops the avatar; a cough is shorter."""


class Provider(Protocol):
    """One conversation's model."""

    @property
    def name(self) -> str: ...

    @property
    def instructions(self) -> str:
        """What the agent is told."""
        ...

    def prepare_speech(self) -> None:
        """Have the lines that are known beforehand spoken ahead of need; returns at once."""
        ...

    def start_session(self) -> AgentSession[None]:
        """A session that is not started yet.

        Raises:
            ProviderUnavailableError: the provider cannot start here.
        """
        ...

    def say(self, session: AgentSession[None], text: str) -> SpeechHandle:
        """Speak these words in the character's voice."""
        ...


def local_vad() -> inference.VAD:
    return inference.VAD(model="silero", min_silence_duration=MIN_SILENCE_S)


def turn_handling(turn_detection: Any) -> TurnHandlingOptions:
    """Local turn-taking: nothing of it asks a cloud service, in no mode of livekit-agents."""
    return TurnHandlingOptions(
        turn_detection=turn_detection,
        endpointing={"mode": "fixed", "min_delay": MIN_ENDPOINT_S, "max_delay": MAX_ENDPOINT_S},
        interruption={
            "enabled": True,
            "mode": "vad",
            "min_duration": MIN_INTERRUPTION_S,
            "resume_false_interruption": False,
            "false_interruption_timeout": None,
        },
        preemptive_generation={"enabled": False},
    )
