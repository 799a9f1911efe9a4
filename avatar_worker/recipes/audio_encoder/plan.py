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
    FRENCH,
    TEST_SENTENCES,
    read_sentences,
)
from avatar_worker.recipes.speech.utterance import Utterance

UNSEEN_KOKORO = ("af_heart", "am_michael", "bf_emma", "bm_george")
"""Never trained on, mixes included."""

UNSEEN_ABROAD = ("em_alex", "if_sara", "ff_siwis")
"""Never trained on either: voices of Spanish, Italian and French."""

_ABROAD = (
    ("es", "es", ("ef_dora", "em_santa")),
    ("it", "it", ("im_nicola",)),
    ("pt", "pt-br", ("pf_dora", "pm_alex", "pm_santa")),
)
"""Language of the sentences, of the pronunciation, and Kokoro's voices in training. French and
German are in no training set: how they are heard is how a language unknown to it is."""

_TEST_SENTENCES_ABROAD = 200


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

    def abroad(name: str, minutes: float, language: str, make: _MakeLine) -> SpeechSet:
        texts = read_sentences(language)[-_TEST_SENTENCES_ABROAD:]
        return SpeechSet(name, scale * minutes, False, lambda: _made(name, texts, make))

    return (
        test("test-joe", 3.0, lambda i, text, rng: Line("joe", "joe", text)),
        test("test-ked", 1.6, lambda i, text, rng: Line("festival", "ked_diphone", text)),
        test("test-awb", 1.4, lambda i, text, rng: Line("flite", "awb", text)),
        test("test-espeak", 1.0, _espeak_line),
        test("test-pico", 2.5, _pico_line),
        test("test-kokoro", 1.5, _unseen_kokoro_line),
        abroad("test-spanish", 1.2, "es", lambda i, t, rng: Line("kokoro", "em_alex", t, 1, "es")),
        abroad("test-italian", 1.2, "it", lambda i, t, rng: Line("kokoro", "if_sara", t, 1, "it")),
        abroad("test-german", 1.2, "de", lambda i, t, rng: Line("espeak", "de", t)),
        SpeechSet("test-french", scale * 0.7, False, _french_lines),
        train("train-espeak", 10.0, _espeak_line),
        train("train-flite", 20.0, _flite_line),
        train("train-festival", 15.0, _festival_line),
        train("train-joe", 45.0, lambda i, text, rng: Line("joe", "joe", text, _speed(rng))),
        SpeechSet("train-abroad", scale * 40.0, True, _lines_abroad),
        train("train-kokoro", 110.0, _kokoro_line),
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
    yield from _made(name, shuffled, make)


def _made(name: str, texts: Sequence[str], make: _MakeLine) -> Iterator[Line]:
    for index, text in enumerate(texts):
        yield make(index, text, random.Random(f"{name}/{index}"))


def _lines_abroad() -> Iterator[Line]:
    """Languages in turn; of each three lines two are Kokoro's and one is espeak-ng's."""
    texts = {
        language: read_sentences(language)[:-_TEST_SENTENCES_ABROAD] for language, _, _ in _ABROAD
    }
    for index in range(3 * min(map(len, texts.values()))):
        at, (language, accent, voices) = index // 3, _ABROAD[index % 3]
        text, rng = texts[language][at], random.Random(f"abroad/{index}")
        if at % 3 == 2:
            yield Line("espeak", accent + rng.choice(formant.VARIANTS), text, _speed(rng))
        else:
            yield Line("kokoro", rng.choice(voices), text, _speed(rng), accent)


def _french_lines() -> Iterator[Line]:
    return (Line("kokoro", "ff_siwis", text, language="fr-fr") for text in FRENCH)


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
    unseen = UNSEEN_KOKORO + UNSEEN_ABROAD
    voices = [voice for voice in kokoro.voice_names() if voice not in unseen]
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
