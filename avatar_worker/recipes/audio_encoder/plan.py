"""What is spoken by whom: the sets of the recipe, and the order of their lines.

The lines of a set never end and never change, so a set is resumed by counting.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from avatar_worker.recipes.speech import aligned, formant, joe, kokoro, programs
from avatar_worker.recipes.speech.sentences import (
    CLOSURE_RICH,
    TEST_SENTENCES,
    read_sentences,
)
from avatar_worker.recipes.speech.utterance import Utterance

UNSEEN_KOKORO = ("af_heart", "am_michael", "bf_emma", "bm_george")
"""Never trained on, mixes included."""


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence to be spoken."""

    engine: str
    voice: str
    text: str
    speed: float = 1.0
    language: str | None = None

    def speak(self) -> Utterance:
        """Have the engine speak it.

        Raises:
            ValueError: The engine cannot speak this text.
        """
        return _ENGINES[self.engine](self)


_ENGINES: dict[str, Callable[[Line], Utterance]] = {
    "kokoro": lambda x: kokoro.synthesise(x.text, x.voice, x.speed, language=x.language),
    "joe": lambda x: joe.synthesise(x.text, x.speed),
    "flite": lambda x: programs.flite(x.text, x.voice, x.speed),
    "festival": lambda x: programs.festival(x.text, x.voice),
    "pico": lambda x: aligned.pico(x.text, x.voice),
    "espeak": lambda x: formant.synthesise(x.text, x.voice, x.speed, pitch=30 + len(x.text) % 41),
}


@dataclass(frozen=True, slots=True)
class SpeechSet:
    """A part of the corpus: its lines are spoken until it is `minutes` long."""

    name: str
    minutes: float
    is_training: bool
    lines: Callable[[], Iterator[Line]]


def speech_sets(scale: float = 1.0) -> tuple[SpeechSet, ...]:
    """All sets, cheap ones first.

    Args:
        scale: Multiplies the minutes of every set.
    """

    def train(name: str, minutes: float, make: _MakeLine) -> SpeechSet:
        return SpeechSet(name, scale * minutes, True, lambda: _lines(name, True, make))

    def test(name: str, minutes: float, make: _MakeLine) -> SpeechSet:
        return SpeechSet(name, scale * minutes, False, lambda: _lines(name, False, make))

    return (
        test("test-joe", 3.0, lambda i, text, rng: Line("joe", "joe", text)),
        test("test-ked", 1.6, lambda i, text, rng: Line("festival", "ked_diphone", text)),
        test("test-awb", 1.4, lambda i, text, rng: Line("flite", "awb", text)),
        test("test-espeak", 1.0, _espeak_line),
        test("test-pico", 2.5, _pico_line),
        test("test-kokoro", 1.5, _unseen_kokoro_line),
        train("train-espeak", 5.0, _espeak_line),
        train("train-flite", 7.6, _flite_line),
        train("train-festival", 4.9, _festival_line),
        train("train-joe", 10.2, lambda i, text, rng: Line("joe", "joe", text, _speed(rng))),
        train("train-kokoro", 16.0, _kokoro_line),
    )


_MakeLine = Callable[[int, str, random.Random], Line]


def _lines(name: str, is_training: bool, make: _MakeLine) -> Iterator[Line]:
    everything = read_sentences()
    texts: Sequence[str] = everything[:-TEST_SENTENCES]
    if not is_training:
        texts = everything[-TEST_SENTENCES:]
    shuffled = random.Random(name).sample(texts, len(texts))
    if not is_training:
        shuffled = [*CLOSURE_RICH, *shuffled]
    for index, text in enumerate(shuffled):
        yield make(index, text, random.Random(f"{name}/{index}"))


def _speed(rng: random.Random) -> float:
    return round(rng.uniform(0.85, 1.2), 3)


def _espeak_line(index: int, text: str, rng: random.Random) -> Line:
    voice = rng.choice(formant.ACCENTS) + rng.choice(formant.VARIANTS)
    return Line("espeak", voice, text, _speed(rng))


def _pico_line(index: int, text: str, rng: random.Random) -> Line:
    return Line("pico", ("en-US", "en-GB")[index % 2], text)


def _flite_line(index: int, text: str, rng: random.Random) -> Line:
    return Line("flite", ("slt", "rms", "kal16")[index % 3], text, _speed(rng))


def _festival_line(index: int, text: str, rng: random.Random) -> Line:
    return Line("festival", ("kal_diphone", "cmu_us_slt_arctic_hts")[index % 2], text)


def _unseen_kokoro_line(index: int, text: str, rng: random.Random) -> Line:
    return Line("kokoro", UNSEEN_KOKORO[index % len(UNSEEN_KOKORO)], text)


def _kokoro_line(index: int, text: str, rng: random.Random) -> Line:
    """45 % English voices in turn, 15 % any voice, 40 % mixes of two voices."""
    voices = [voice for voice in kokoro.voice_names() if voice not in UNSEEN_KOKORO]
    english = [voice for voice in voices if voice[0] in "ab"]
    draw = rng.random()
    if draw < 0.45:
        voice = english[index % len(english)]
    elif draw < 0.60:
        voice = rng.choice(voices)
    else:
        first, second = rng.sample(voices, 2)
        share = rng.uniform(0.25, 0.75)
        voice = f"{first}*{share:.3f}+{second}*{1 - share:.3f}"
    language = rng.choice(["en-us", "en-us", "en-gb"])
    return Line("kokoro", voice, text, _speed(rng), language)
