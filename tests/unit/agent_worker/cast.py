"""One known character for the agent worker's tests."""

from pathlib import Path

from agent_worker.config import AgentSettings
from avatar_contracts.messages import KnowledgeEntry, Persona


def mira(voice: str = "piper:joe", greeting: str = "Hello, I am Mira.") -> Persona:
    return Persona(
        name="Mira",
        instructions="You are the friendly face of a small museum.",
        voice=voice,
        language="en-US",
        greeting=greeting,
        knowledge=(
            KnowledgeEntry(
                ("When are you open?", "What are the opening hours?", "When do you close today?"),
                "We are open every day from ten to six.",
            ),
            KnowledgeEntry(
                ("How much is a ticket?", "What does it cost to get in?", "Is entry free?"),
                "A ticket costs eight euros. Children come in free.",
            ),
            KnowledgeEntry(
                ("Where can I eat something?", "Is there a cafe or restaurant?"),
                "There is a small cafe in the garden behind the main hall.",
            ),
            KnowledgeEntry(
                ("How do I get here by train?", "Which station is close to the museum?"),
                "Take the train to North Bridge. From there it is a short walk.",
            ),
            KnowledgeEntry(
                ("Can I take photographs?", "Are cameras allowed inside?"),
                "Yes, you may take pictures, but please without a flash.",
            ),
            KnowledgeEntry(
                ("Are you a real person?", "Are you a robot?", "Who made you?"),
                "I am a synthetic character, drawn and spoken by a computer.",
            ),
        ),
    )


def settings(tmp_path: Path, **values: object) -> AgentSettings:
    """Settings that no environment can change."""
    return AgentSettings.model_construct(
        **{
            **{
                name: field.get_default(call_default_factory=True)
                for name, field in AgentSettings.model_fields.items()
            },
            "avatar_cache_dir": tmp_path / "cache",
            "agent_provider": "offline",
            "agent_voice": "piper:joe",
            **values,
        }
    )
