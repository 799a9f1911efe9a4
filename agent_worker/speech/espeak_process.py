"""Run as a program: clauses in, IPA out, through libespeak-ng.

libespeak-ng is GPL-3.0-or-later. It is loaded in this process only, which the worker starts and
talks to through pipes; the worker itself never loads it. Standard library only, so that it starts
in hundredths of a second: `python -I -S espeak_process.py LIBRARY DATA_DIRECTORY`.

Standard input: `{"voice": "en-us", "clauses": ["hello", …]}`; output: as many IPA strings, a list.
"""

import ctypes
import json
import sys

_AUDIO_OUTPUT_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_UTF8 = 1
_IPA = 0x02


def main(library: str, data: str) -> None:
    request = json.loads(sys.stdin.read())
    espeak = ctypes.CDLL(library)
    espeak.espeak_TextToPhonemes.restype = ctypes.c_char_p
    espeak.espeak_TextToPhonemes.argtypes = [
        ctypes.POINTER(ctypes.c_char_p),
        ctypes.c_int,
        ctypes.c_int,
    ]
    directory = data.encode() if data else None
    if espeak.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, directory, _DONT_EXIT) <= 0:
        sys.exit("libespeak-ng cannot find its data")
    if espeak.espeak_SetVoiceByName(request["voice"].encode()) != 0:
        sys.exit(f"libespeak-ng has no voice {request['voice']!r}")
    json.dump([_ipa(espeak, clause) for clause in request["clauses"]], sys.stdout)


def _ipa(espeak: ctypes.CDLL, clause: str) -> str:
    rest = ctypes.c_char_p(clause.encode())
    spoken: list[str] = []
    while rest.value:
        phonemes = espeak.espeak_TextToPhonemes(ctypes.byref(rest), _UTF8, _IPA)
        spoken.append((phonemes or b"").decode())
    return " ".join(part.strip() for part in spoken if part.strip())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
