"""Text → IPA through the `espeak-ng` program, with the punctuation kept.

espeak-ng is GPL; it is run as a program of its own and only its output is used.
"""

from __future__ import annotations

import re
import shutil
import subprocess

_PUNCTUATION = re.compile(r'([;:,.!?]+(?=[\s"”)]|$)|[—…"“”()]+)')
_LANGUAGE_SWITCH = re.compile(r"\([a-z-]+\)")


class EspeakMissingError(RuntimeError):
    """The program `espeak-ng` is not installed."""


def phonemise(text: str, language: str = "en-us") -> str:
    """IPA of a text, stress signs included.

    Args:
        text: One or a few sentences.
        language: A voice name of espeak-ng, such as `en-us` or `en-gb`.

    Raises:
        EspeakMissingError: espeak-ng is not on the path.
    """
    written: list[str] = []
    for index, part in enumerate(_PUNCTUATION.split(text)):
        words = part.strip()
        if index % 2 or not words:
            written.append(part)
            continue
        before, _, after = part.partition(words)
        written.append(f"{before}{_words(words, language)}{after}")
    return re.sub(r"\s+", " ", "".join(written)).strip()


def _words(text: str, language: str) -> str:
    program = shutil.which("espeak-ng")
    if program is None:
        raise EspeakMissingError("espeak-ng is not installed (Debian package espeak-ng)")
    command = [program, "-q", "--ipa", "-v", language, "--stdin"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    lines = (line.strip() for line in done.stdout.splitlines())
    return _LANGUAGE_SWITCH.sub("", " ".join(line for line in lines if line))
