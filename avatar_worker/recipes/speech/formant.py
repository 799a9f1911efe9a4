"""espeak-ng's formant voices with phone times, through the library's own events.

About a hundred speaker variants for almost no computing: dull, but each with other formants, which
is what keeps an encoder from learning one mouth cavity by heart. Only the sound is kept; the
library (GPL) is loaded at run time by those who make training data.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from avatar_worker.recipes.speech.phones import from_ipa
from avatar_worker.recipes.speech.silence import relabel_silence
from avatar_worker.recipes.speech.utterance import SILENCE, Mark, Utterance, tile

ACCENTS = ("en-us", "en", "en-gb-scotland", "en-gb-x-rp")
VARIANTS = (
    *("", "+m1", "+m2", "+m3", "+m4", "+m5", "+m7", "+f1", "+f2", "+f3", "+f4", "+f5", "+Andy"),
    *("+Annie", "+Alicia", "+Gene", "+klatt", "+klatt2", "+klatt4", "+linda", "+steph", "+Michael"),
    *("+john", "+aunty", "+belinda", "+grandma", "+grandpa", "+victor", "+Mike", "+max"),
)

_WORDS_PER_MINUTE = 165
_SYNCHRONOUS, _PHONEME_EVENTS_IN_IPA = 2, 1 | 2
_RATE, _PITCH = 1, 3
_END_OF_LIST, _PHONEME = 0, 7
_CHARACTERS, _UTF8 = 1, 1


class _Id(ctypes.Union):
    _fields_ = [
        ("number", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("string", ctypes.c_char * 8),
    ]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class _Espeak:
    """The loaded library, which keeps one global state: one object, one thread."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(ctypes.util.find_library("espeak-ng") or "libespeak-ng.so.1")
        self.sample_rate = int(
            self._library.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS_IN_IPA)
        )
        self._chunks: list[NDArray[np.int16]] = []
        self._starts: list[tuple[str, float]] = []
        self._callback = _Callback(self._receive)  # kept: the library holds only the address
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples, count, events) -> int:  # type: ignore[no-untyped-def]
        if count > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].type != _END_OF_LIST:
            event = events[index]
            if event.type == _PHONEME:
                name = event.id.string.decode("utf-8", "ignore")
                self._starts.append((name or SILENCE, event.audio_position / 1000))
            index += 1
        return 0

    def speak(
        self, text: str, voice: str, speed: float, pitch: int
    ) -> tuple[NDArray[np.float32], list[tuple[str, float]]]:
        """Sound `[n]` and the phonemes with their start in seconds."""
        self._chunks.clear()
        self._starts.clear()
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice!r}")
        self._library.espeak_SetParameter(_RATE, round(_WORDS_PER_MINUTE * speed), 0)
        self._library.espeak_SetParameter(_PITCH, pitch, 0)
        content = text.encode()
        self._library.espeak_Synth(content, len(content) + 1, 0, _CHARACTERS, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        if not self._chunks:
            raise ValueError(f"espeak-ng said nothing for {text!r}")
        return np.concatenate(self._chunks).astype(np.float32) / 32768, list(self._starts)


@lru_cache(maxsize=1)
def _espeak() -> _Espeak:
    return _Espeak()


def synthesise(text: str, voice: str = "en-us", speed: float = 1.0, pitch: int = 50) -> Utterance:
    """Speak a sentence.

    Args:
        text: The sentence.
        voice: An accent of `ACCENTS`, with a variant of `VARIANTS` behind it.
        speed: 1 is 165 words a minute.
        pitch: 0-99.

    Raises:
        ValueError: The voice is unknown or nothing was spoken.
        OSError: The library of espeak-ng is not installed.
    """
    espeak = _espeak()
    samples, starts = espeak.speak(text, voice, speed, pitch)
    duration_s = len(samples) / espeak.sample_rate
    ends_s = [start_s for _, start_s in starts[1:]] + [duration_s]
    raw = [
        Mark(name, start_s, end_s) for (name, start_s), end_s in zip(starts, ends_s, strict=True)
    ]
    marks = tile(from_ipa(raw), duration_s)
    return Utterance(
        samples,
        espeak.sample_rate,
        tile(relabel_silence(marks, samples, espeak.sample_rate), duration_s),
    )
