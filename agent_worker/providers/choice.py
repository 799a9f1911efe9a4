"""Which provider holds the conversations of this process, said once in the log."""

from importlib import import_module
from typing import Final, assert_never

from agent_worker.config import AgentSettings
from agent_worker.models import Models
from agent_worker.observability import log
from agent_worker.providers.provider import Provider
from avatar_contracts.messages import Persona

_MODULES: Final = {
    "gemini": "agent_worker.providers.gemini",
    "offline": "agent_worker.providers.pipeline",
    "openai": "livekit.plugins.openai",
}


def load_plugins(settings: AgentSettings) -> None:
    """Import the chosen provider. On the main thread: livekit's plugins refuse any other one,
    and conversations run on others."""
    import_module(_MODULES[settings.provider])


def make_provider(settings: AgentSettings, models: Models, persona: Persona) -> Provider:
    """The provider of one conversation.

    Raises:
        ProviderUnavailableError: it cannot start here.
    """
    from agent_worker.providers.pipeline import PipelineProvider

    match settings.provider:
        case "gemini":
            from agent_worker.providers.gemini import GeminiProvider

            return GeminiProvider(settings, persona)
        case "offline" | "openai" as name:
            return PipelineProvider(name, settings, models, persona)
        case never:
            assert_never(never)


def announce(settings: AgentSettings) -> None:
    """Say which provider was chosen, and why."""
    if settings.agent_provider:
        why = "AGENT_PROVIDER"
    elif settings.has_google_credentials:
        why = "AGENT_PROVIDER is unset and Google credentials exist"
    else:
        why = "AGENT_PROVIDER is unset and there are no Google credentials"
    log().info("conversation provider", provider=settings.provider, because=why)
