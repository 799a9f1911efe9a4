"""Prompts: clean English sentences from Debian's `fortunes`, in an order that never changes."""

from __future__ import annotations

import random
import re
from pathlib import Path

FOLDER = Path("/usr/share/games/fortunes")
TEST_SENTENCES = 1_500
"""So many at the end of the list are never trained on."""

CLOSURE_RICH = (
    "My mother bought a beautiful blue umbrella for the baby.",
    "Five very fine fish swam over the rough river.",
    "We would love to show you the new video.",
    "Up above the moon, a bumblebee hummed.",
    "Maybe Pam put the pepper back by the lamp.",
    "Thank you, that was a wonderful question.",
    "Good morning! What would you like to know about it?",
    "The boy chose the large orange cushion.",
)
"""Test sentences with many lip closures, labiodentals and rounded sounds."""

_CLEAN = re.compile(r"[A-Z][A-Za-z ,'\-]+[.!?]")
_SHORTEST_WORDS, _LONGEST_WORDS = 4, 18


def read_sentences(folder: Path = FOLDER) -> list[str]:
    """All clean sentences of 4-18 words, shuffled the same way on every machine.

    Raises:
        FileNotFoundError: The Debian package fortunes is not installed.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is missing; install the Debian package fortunes")
    found: set[str] = set()
    for path in folder.iterdir():
        if path.is_file() and not path.suffix:
            text = path.read_text(encoding="utf-8", errors="ignore")
            for fortune in text.split("\n%\n"):
                found.update(filter(_is_clean, _split(fortune)))
    ordered = sorted(found)
    random.Random(7).shuffle(ordered)
    return ordered


def _split(fortune: str) -> list[str]:
    flat = re.sub(r"\s+", " ", fortune)
    return [part.strip(' "') for part in re.split(r"(?<=[.!?])\s+", flat)]


def _is_clean(sentence: str) -> bool:
    words = sentence.split()
    shouted = any(word.isupper() and len(word) > 1 for word in words)
    long_enough = _SHORTEST_WORDS <= len(words) <= _LONGEST_WORDS
    return long_enough and not shouted and _CLEAN.fullmatch(sentence) is not None
