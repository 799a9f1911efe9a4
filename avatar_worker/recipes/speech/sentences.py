"""Prompts: clean sentences from Debian's `fortunes` packages, in an order that never changes."""

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

FRENCH = (
    "Bonjour, je m'appelle Camille et je suis ravie de vous voir.",
    "Le petit bateau bleu part demain pour la Bretagne.",
    "Vous pouvez m'expliquer pourquoi la porte ne ferme plus ?",
    "Mon père achète du pain et des pommes au marché.",
    "Il fait beau, mais le vent vient de la mer.",
    "Une bonne soupe bien chaude, voilà ce qu'il me faut.",
    "Combien de temps faut-il pour aller au musée ?",
    "Nous avons vu un film formidable hier soir.",
    "La musique monte doucement dans la rue vide.",
    "Je voudrais deux places pour le premier train, s'il vous plaît.",
    "Ma voisine promène son chien brun chaque matin.",
    "Ouvrez la fenêtre, il fait beaucoup trop chaud ici.",
    "Le feu rouge passe au vert, on peut avancer.",
    "Personne n'a répondu à ma question sur le problème.",
)
"""Ours, for a test: Debian has no fortunes in French."""

_FILES: dict[str, tuple[str, ...]] = {
    "en": (
        *("art", "ascii-art", "computers", "cookie", "debian", "definitions", "disclaimer"),
        *("drugs", "education", "ethnic", "food", "fortunes", "goedel", "humorists", "kids"),
        *("knghtbrd", "law", "linux", "linuxcookie", "literature", "love", "magic", "medicine"),
        *("men-women", "miscellaneous", "news", "paradoxum", "people", "perl", "pets"),
        *("platitudes", "politics", "pratchett", "riddles", "science", "songs-poems", "sports"),
        *("startrek", "tao", "translate-me", "wisdom", "work", "zippy"),
    ),
    "de": ("de/sprueche", "de/zitate", "de/kinderzitate", "de/anekdoten"),
    "es": tuple(
        f"es/{subject}.fortunes"
        for subject in ("arte", "ciencia", "familia", "famosos", "filosofia", "proverbios")
    ),
    "it": ("it/formiche", "it/leggi", "it/luke", "it/italia", "it/computer"),
    "pt": ("brasil",),
}
"""Which files are read for each language: another package installed beside them changes nothing."""

_CLEAN = re.compile(r"[A-Z][A-Za-z ,'\-]+[.!?]")
_CLEAN_ABROAD = re.compile(r"[^\W\d_][^\W\d_][^\d_@<>()\[\]\"/*]+[.!?]")
_SHORTEST_WORDS, _LONGEST_WORDS = 4, 18


def read_sentences(language: str = "en", folder: Path = FOLDER) -> list[str]:
    """All clean sentences of 4-18 words, shuffled the same way on every machine.

    Args:
        language: `en`, `de`, `es`, `it` or `pt`.
        folder: Where the packages put their files.

    Raises:
        FileNotFoundError: The language's Debian package is not installed.
    """
    paths = [folder / name for name in _FILES[language]]
    there = [path for path in paths if path.is_file()]
    if not there:
        package = {"en": "fortunes", "pt": "fortunes-br"}.get(language, f"fortunes-{language}")
        raise FileNotFoundError(f"{paths[0]} is missing; install the Debian package {package}")
    clean = _CLEAN if language == "en" else _CLEAN_ABROAD
    found: set[str] = set()
    for path in there:
        text = path.read_text(encoding="utf-8", errors="ignore")
        for fortune in text.split("\n%\n"):
            found.update(part for part in _split(fortune) if _is_clean(part, clean))
    ordered = sorted(found)
    random.Random(7).shuffle(ordered)
    return ordered


def _split(fortune: str) -> list[str]:
    flat = re.sub(r"\s+", " ", fortune)
    return [part.strip(' "') for part in re.split(r"(?<=[.!?])\s+", flat)]


def _is_clean(sentence: str, clean: re.Pattern[str]) -> bool:
    words = sentence.split()
    shouted = any(word.isupper() and len(word) > 1 for word in words)
    long_enough = _SHORTEST_WORDS <= len(words) <= _LONGEST_WORDS
    return long_enough and not shouted and clean.fullmatch(sentence) is not None
