"""Errors of the agent worker.

    AgentError
    ├── SettingsError              a variable is missing or wrong; the text names it
    ├── ConversationOverError      the platform no longer knows the session
    ├── PlatformRefusedError       the platform does not accept our token or our request
    ├── PlatformUnreachableError   no usable answer within the time that was allowed
    ├── LiveKitUnreachableError    the server does not take this worker, however often it tries
    ├── ProviderUnavailableError   the conversation model cannot start; `reason` is for the timeline
    ├── SpeechError                a text cannot be spoken
    │   └── UnknownVoiceError      no such voice in this installation
    └── SinkLostError              speech can no longer be handed to where it was played

Texts never contain what was said, prompts, tokens or keys.
"""


class AgentError(Exception):
    """Base of all errors of this package."""


class SettingsError(AgentError):
    """A variable is missing or wrong; the text names it and says what is expected."""


class ConversationOverError(AgentError):
    """The platform no longer knows the session, or it is over."""


class PlatformRefusedError(AgentError):
    """The platform answered that the request itself is not acceptable."""


class PlatformUnreachableError(AgentError):
    """The platform gave no usable answer within the time that was allowed."""


class LiveKitUnreachableError(AgentError):
    """LiveKit does not take this worker, however often it tries."""


class ProviderUnavailableError(AgentError):
    """The conversation model cannot start.

    Attributes:
        reason: One word for the session's timeline, such as `credentials`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class SpeechError(AgentError):
    """A text cannot be spoken."""


class UnknownVoiceError(SpeechError):
    """No such voice in this installation; the text lists those there are."""


class SinkLostError(AgentError):
    """Speech can no longer be handed over to where it was being played."""
