"""Names of participants and of the agent in LiveKit, made by the platform, known to all."""

from typing import Final

AGENT_NAME: Final = "avatar-agent"
"""The name under which agent workers register, and to which the platform dispatches."""
PUBLISH_ON_BEHALF: Final = "lk.publish_on_behalf"
SYNTHETIC_ATTRIBUTE: Final = "synthetic"
EVENTS_TOPIC: Final = "agent-response"
"""Data topic on which the page hears `avatar.speak_started` and the like (LiveAvatar's names)."""


def agent_identity(session: str) -> str:
    """The same after a re-dispatch: LiveKit then evicts the older one."""
    return f"agent-{session}"


def avatar_identity(session: str) -> str:
    """The same in every epoch: LiveKit then evicts the older one."""
    return f"avatar-{session}"


def visitor_identity(session: str) -> str:
    return f"visitor-{session}"
