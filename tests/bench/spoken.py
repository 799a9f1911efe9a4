"""Sentences spoken by a voice of the recipes on one track, and the video frames of each phone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import soxr
from numpy.typing import NDArray

from avatar_worker.audio.mel import SAMPLE_RATE_HZ
from avatar_worker.audio.window import FRAME_RATE_HZ
from avatar_worker.recipes.people.voices import synthesise
from avatar_worker.recipes.speech.assets import AssetError
from avatar_worker.recipes.speech.espeak_ipa import EspeakMissingError
from avatar_worker.recipes.speech.utterance import SILENCE, Mark, Utterance, tile

CLOSED: Final = ("p", "b", "m")
OPEN_VOWELS: Final = ("ɑ", "æ", "ʌ", "a", "ɛ")
"""Jaws drop for these in every accent; not for ɔ, whose lips are rounded."""

HOW_TO_GET_VOICES: Final = (
    "voices need `uv pip install --python .venv -r avatar_worker/recipes/speech/requirements.txt`, "
    "Debian's espeak-ng and, once, npm; see avatar_worker/recipes/speech/README.md"
)

ROUNDING: Final = 1e-6
"""Of a frame: a phone that ends where a frame begins does not reach into it."""


@dataclass(frozen=True, slots=True, eq=False)
class Spoken:
    """A track.

    Attributes:
        samples: mono, 16 kHz. float32 [n]
        marks: phones from the first sample to the last, pauses among them.
    """

    samples: NDArray[np.float32]
    marks: tuple[Mark, ...]

    @property
    def n_frames(self) -> int:
        """Whole video frames of it."""
        return len(self.samples) * FRAME_RATE_HZ // SAMPLE_RATE_HZ

    def frames(self, mark: Mark, margin: int = 0) -> range:
        """Video frames whose 40 ms overlap the phone, and so many more on either side."""
        first = math.floor(mark.start_s * FRAME_RATE_HZ + ROUNDING) - margin
        end = math.ceil(mark.end_s * FRAME_RATE_HZ - ROUNDING) + margin
        return range(max(0, first), max(0, min(self.n_frames, end)))

    def phone_at(self, frame: int) -> str:
        """What is said in the middle of a frame."""
        middle_s = (frame + 0.5) / FRAME_RATE_HZ
        return next((m.phone for m in self.marks if m.start_s <= middle_s < m.end_s), SILENCE)


def utter(voice: str, text: str) -> Utterance:
    """One sentence by `joe`, or by one of Kokoro's voices.

    Raises:
        SystemExit: what it needs is not installed; the text says how to get it.
    """
    try:
        return synthesise(text, voice)
    except (ImportError, EspeakMissingError, AssetError) as error:
        raise SystemExit(f"voice {voice}: {error}; {HOW_TO_GET_VOICES}") from None


def speak(
    voice: str, sentences: Sequence[str], *, lead_s: float = 0.6, pause_s: float = 0.4
) -> Spoken:
    """Sentences one after the other; digital silence between, before and behind them."""
    return lay_out([utter(voice, text) for text in sentences], lead_s=lead_s, pause_s=pause_s)


def lay_out(spoken: Sequence[Utterance], *, lead_s: float, pause_s: float) -> Spoken:
    """Utterances on one track of whole video frames."""
    parts, marks = [_silence(lead_s)], []
    at = len(parts[0])
    for number, utterance in enumerate(spoken):
        sound = soxr.resample(utterance.samples, utterance.sample_rate, SAMPLE_RATE_HZ)
        start_s = at / SAMPLE_RATE_HZ
        marks += [Mark(m.phone, start_s + m.start_s, start_s + m.end_s) for m in utterance.marks]
        gap = _silence(pause_s if number < len(spoken) - 1 else lead_s)
        parts += [np.asarray(sound, np.float32), gap]
        at += len(sound) + len(gap)
        if gap.size:
            marks.append(Mark(SILENCE, marks[-1].end_s, at / SAMPLE_RATE_HZ))
    frame = SAMPLE_RATE_HZ // FRAME_RATE_HZ
    parts.append(np.zeros(-at % frame, np.float32))
    samples = np.concatenate(parts)
    return Spoken(samples, tile(marks, len(samples) / SAMPLE_RATE_HZ))


def _silence(seconds: float) -> NDArray[np.float32]:
    return np.zeros(round(seconds * SAMPLE_RATE_HZ), np.float32)
