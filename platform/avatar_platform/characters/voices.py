"""The voices a persona may name, by provider. Other names are passed on to the provider."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Voice:
    """`id` is what goes into a persona's `voice`."""

    id: str
    provider: str
    language: str
    description: str


VOICES: Final = (
    *(
        Voice(name, "gemini", "multilingual", description)
        for name, description in (
            ("Aoede", "breezy"),
            ("Charon", "informative"),
            ("Fenrir", "excitable"),
            ("Kore", "firm"),
            ("Leda", "youthful"),
            ("Orus", "firm"),
            ("Puck", "upbeat"),
            ("Zephyr", "bright"),
        )
    ),
    Voice("kokoro:af_heart", "offline", "en-US", "warm, female"),
    Voice("kokoro:bf_emma", "offline", "en-GB", "clear, female"),
    Voice("kokoro:am_michael", "offline", "en-US", "calm, male"),
    Voice("piper:joe", "offline", "en-US", "fast to answer, male"),
)
