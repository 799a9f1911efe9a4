"""Text → IPA with its punctuation, which the voices need for their melody.

Pronunciation is espeak-ng's, run as a separate program (see `espeak_process.py`).
"""

import ctypes.util
import importlib.util
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

from agent_worker.errors import SpeechError

TIMEOUT_S: Final = 10.0
_PROGRAM: Final = Path(__file__).with_name("espeak_process.py")
_PAUSES: Final = re.compile(r"([;:,.!?…—]+(?=[\s\"”')\]]|$)|[…—\"“”()\[\]]|\s[-–]\s)")
_OTHER_LANGUAGE: Final = re.compile(r"\([a-z-]+\)")


def phonemise(text: str, voice: str = "en-us") -> str:
    """IPA of a text, with stress marks and the punctuation between clauses.

    Args:
        text: a sentence or a few.
        voice: a voice of espeak-ng, such as `en-us` or `en-gb`.

    Raises:
        SpeechError: espeak-ng is missing, or does not answer.
    """
    pieces = [piece for piece in _PAUSES.split(text) if piece]
    clauses = [piece.strip() for piece in pieces if _is_words(piece)]
    spoken = iter(_ask(clauses, voice) if clauses else [])
    written: list[str] = []
    for piece in pieces:
        if _is_words(piece):
            lead = " " if piece[0].isspace() else ""
            trail = " " if piece[-1].isspace() else ""
            written.append(f"{lead}{_OTHER_LANGUAGE.sub('', next(spoken))}{trail}")
        else:
            written.append("—" if piece.strip() in ("-", "–") else piece)
    return re.sub(r"\s+", " ", "".join(written)).strip()


def _is_words(piece: str) -> bool:
    return any(character.isalnum() for character in piece)


def _ask(clauses: list[str], voice: str) -> list[str]:
    library, data = _library()
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(_PROGRAM), library, data],
            input=json.dumps({"voice": voice, "clauses": clauses}),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SpeechError(f"espeak-ng did not answer ({type(error).__name__})") from None
    if done.returncode != 0:
        raise SpeechError(f"espeak-ng failed: {done.stderr.strip()[-200:]}")
    answer: list[str] = json.loads(done.stdout)
    return answer


@cache
def _library() -> tuple[str, str]:
    """libespeak-ng and its data folder: of the package `espeakng-loader`, else the system's."""
    package = importlib.util.find_spec("espeakng_loader")
    if package is not None and package.origin:
        folder = Path(package.origin).parent
        for library in (*folder.glob("libespeak-ng.so"), *folder.glob("libespeak-ng.dylib")):
            return str(library), str(folder / "espeak-ng-data")
    system = ctypes.util.find_library("espeak-ng")
    if system is None:
        raise SpeechError("espeak-ng is missing: install the package espeakng-loader or espeak-ng")
    return system, ""
