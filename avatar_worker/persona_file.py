"""`persona.toml`, which goes along in a bundle: who the character is.

[persona]                      # each may be absent
instructions = "You are …"
voice = "…"
language = "…"
greeting = "…"

[[knowledge]]                  # what she answers word for word; any number of them
questions = ["…"]
answer = "…"

The platform reads it; here it is only looked at, so that a mistake shows before the bundle is made.
"""

import tomllib
from pathlib import Path
from typing import Final

from avatar_worker.bundle_files import BundleContentError
from avatar_worker.plain_files import read_plain

MAX_PERSONA_BYTES: Final = 1024**2
TEXTS: Final = ("instructions", "voice", "language", "greeting")


def check_persona(path: Path) -> None:
    """Whether the platform will take the file.

    Raises:
        BundleContentError: it will not.
    """
    try:
        table = tomllib.loads(read_plain(path, MAX_PERSONA_BYTES).decode())
    except (ValueError, RecursionError) as error:
        raise BundleContentError(f"persona {path} cannot be read: {error}") from None
    persona, knowledge = table.get("persona", {}), table.get("knowledge", [])
    if not isinstance(persona, dict) or not isinstance(knowledge, list):
        raise BundleContentError(f"persona {path}: expected [persona] and [[knowledge]]")
    for key in TEXTS:
        if not isinstance(persona.get(key, ""), str):
            raise BundleContentError(f"persona {path}: {key} is {persona[key]!r}; expected a text")
    for entry in knowledge:
        match entry:
            case {"questions": [str(), *_] as questions, "answer": str()} if all(
                isinstance(question, str) for question in questions
            ):
                pass
            case _:
                raise BundleContentError(
                    f"persona {path}: each [[knowledge]] has a list of questions and one answer"
                )
