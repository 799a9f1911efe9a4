"""A persona as the parts of this worker need it: instructions for a model, lines known beforehand.

Nothing in here is ever logged.
"""

from typing import Final

from agent_worker.speech.tts import sentences
from avatar_contracts.messages import Persona

_SPOKEN: Final = (
    "You are heard, not read: answer in one to three short spoken sentences, "
    "without lists, markup or emoji."
)


def instructions_for(persona: Persona) -> str:
    """What a conversation model is told: who it is, how to speak, and what it knows."""
    parts = [
        f"Your name is {persona.name}.",
        persona.instructions.strip(),
        _SPOKEN,
        f"Speak {persona.language} unless you are spoken to in another language."
        if persona.language
        else "",
    ]
    if persona.knowledge:
        facts = [f"- {' / '.join(entry.questions)} → {entry.answer}" for entry in persona.knowledge]
        parts.append("What you know; say so when you do not know something:\n" + "\n".join(facts))
    return "\n\n".join(part for part in parts if part)


def verbatim_instructions(text: str) -> str:
    """For a model that can only be asked to speak: say these words."""
    return (
        "Say exactly the following, word for word, in your usual voice, and nothing else before "
        f"or after it:\n{text}"
    )


def fixed_sentences(lines: tuple[str, ...]) -> tuple[str, ...]:
    """The sentences of lines that are known beforehand, each once, in order."""
    return tuple(dict.fromkeys(sentence for line in lines for sentence in sentences(line)))
