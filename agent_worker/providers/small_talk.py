"""The few things everybody says to a stranger, by rule."""

import re
from dataclasses import dataclass
from typing import Final

from avatar_contracts.messages import Persona

_SHORT_WORDS: Final = 7
"""A longer sentence is about something, even if it begins with "hello"."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Said when the pattern is found in a sentence of few words."""

    pattern: re.Pattern[str]
    answer: str


def rules_for(persona: Persona) -> tuple[Rule, ...]:
    """Small talk of this persona; the first rule that fits is used."""
    name = persona.name or "the avatar"
    table = (
        (r"\b(can|do) you hear me\b", "Yes, I can hear you well."),
        (r"\bhow are you\b|\bhow('s| is) it going\b", "I'm well, thank you. How can I help?"),
        (r"\bwho are you\b|\b(what's|what is) your name\b", f"My name is {name}."),
        (r"\b(nice|good|pleased) to meet you\b", "It's nice to meet you too."),
        (r"\b(thanks|thank you)\b", "You're welcome."),
        (r"\b(good ?bye|bye|see you)\b", "Goodbye! It was nice talking with you."),
        (r"^(yes|yeah|okay|ok|sure|right|i see)\b\W*$", "Good. What else would you like to know?"),
        (r"^(no|nope|not really)\b\W*$", "All right. Just ask when you want to know something."),
        (r"^(well )?(hi|hello|hey|good (morning|afternoon|evening))\b", "Hello! How can I help?"),
    )
    return tuple(Rule(re.compile(pattern), answer) for pattern, answer in table)


def asks_to_repeat(text: str) -> bool:
    return bool(
        re.search(
            r"\b(say|repeat) (that|it|this)\b|\b(say|come) again\b|^(pardon|sorry|what)\W*$",
            text.lower(),
        )
    )


def asks_for_help(text: str) -> bool:
    return bool(
        re.search(r"\bwhat (can|do) (you|i) (do|know|ask)\b|\bwhat can i (say|ask)\b", text.lower())
    )


def small_talk(rules: tuple[Rule, ...], text: str) -> str | None:
    """The answer of the first rule that fits, or None."""
    lowered = re.sub(r"[^\w\s']", " ", text.lower()).strip()
    if len(lowered.split()) > _SHORT_WORDS:
        return None
    return next((rule.answer for rule in rules if rule.pattern.search(lowered)), None)
