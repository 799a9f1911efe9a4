"""Speech without phone times of its own, aligned to its words by pocketsphinx (BSD).

For tests only: the marks are good to about 10 ms. Sources: SVOX Pico, an engine (Apache-2.0) that
nothing is trained on, and two sets of people in Debian: LibriVox readings (public domain, 28 s)
and the prompts of Allison Smith (CC BY-SA 3.0), whose words are read off by moonshine first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from avatar_worker.recipes.speech.phones import from_arpabet
from avatar_worker.recipes.speech.silence import relabel_silence
from avatar_worker.recipes.speech.utterance import Mark, Utterance, tile

SAMPLE_RATE = 16_000
LIBRIVOX_FOLDER = Path("/usr/share/pocketsphinx/test/data/librivox")
ALLISON_FOLDER = Path("/usr/share/asterisk/sounds/en_US_f_Allison")

_MARK_SHIFT_S = 0.006
"""Against engines whose times are exact, pocketsphinx puts phones 6 ms early."""

_FRAME_S = 0.010
_SHORTEST_S, _FEWEST_WORDS = 1.6, 3


def align(samples: NDArray[np.float32], text: str) -> Utterance | None:
    """Find when each phone of a text is said.

    Args:
        samples: Speech `[n]` at 16 kHz.
        text: Its words; punctuation is ignored.

    Returns:
        The utterance, or nothing where a word is unknown or the words do not fit the sound.
    """
    decoder = _decoder()
    words = re.sub(r"[^a-z' ]", " ", text.lower()).split()
    if not words or any(decoder.lookup_word(word) is None for word in words):
        return None
    scaled = samples / (np.abs(samples).max() + 1e-6) * 0.5
    content = np.round(scaled * 32767).astype(np.int16).tobytes()
    try:
        decoder.set_align_text(" ".join(words))
        _decode(decoder, content)
        if decoder.hyp() is None:
            return None
        decoder.set_alignment()
        _decode(decoder, content)
        raw = [
            Mark(phone.name, phone.start * _FRAME_S, (phone.start + phone.duration) * _FRAME_S)
            for word in decoder.get_alignment()
            for phone in word
        ]
    except RuntimeError:
        return None
    duration_s = len(samples) / SAMPLE_RATE
    marks = tile(from_arpabet(raw), duration_s, _MARK_SHIFT_S)
    quiet = relabel_silence(marks, samples, SAMPLE_RATE)
    return Utterance(samples, SAMPLE_RATE, tile(quiet, duration_s))


def pico(text: str, voice: str = "en-US") -> Utterance:
    """Speak a sentence with SVOX Pico; voices en-US and en-GB.

    Raises:
        ValueError: The words could not be aligned.
    """
    from py_nanotts import NanoTTS

    pcm = np.frombuffer(NanoTTS().speak(text, voice=voice), dtype="<i2")
    utterance = align(pcm.astype(np.float32) / 32768, text)
    if utterance is None:
        raise ValueError(f"could not align {text!r}")
    return utterance


def librivox() -> Iterator[tuple[str, Utterance]]:
    """The readings that alignment works for, with their words."""
    for line in (LIBRIVOX_FOLDER / "transcription").read_text().splitlines():
        found = re.fullmatch(r"(?:<s>)?\s*(.*?)\s*(?:</s>)?\s*\((\S+)\)", line.strip())
        if found:
            text, name = found.groups()
            utterance = align(_read_sound(LIBRIVOX_FOLDER / f"{name}.wav"), text)
            if utterance is not None:
                yield text, utterance


def allison() -> Iterator[tuple[str, Utterance]]:
    """The longer prompts whose words were understood and could be aligned."""
    for path in sorted(ALLISON_FOLDER.rglob("*.g722")):
        samples = _read_sound(path)
        if len(samples) < _SHORTEST_S * SAMPLE_RATE:
            continue
        text = _transcribed(samples)
        if re.search(r"\d", text) or len(text.split()) < _FEWEST_WORDS:
            continue
        utterance = align(samples, text)
        if utterance is not None:
            yield text, utterance


def _decode(decoder: Any, content: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(content, full_utt=True)
    decoder.end_utt()


@lru_cache(maxsize=1)
def _decoder() -> Any:
    from pocketsphinx import Decoder

    return Decoder(samprate=SAMPLE_RATE, loglevel="FATAL")


def _read_sound(path: Path) -> NDArray[np.float32]:
    """Any sound file as mono `[n]` at 16 kHz."""
    with av.open(str(path)) as container:
        rate = container.streams.audio[0].rate
        resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
        frames = [
            out.to_ndarray().reshape(-1)
            for frame in container.decode(audio=0)
            for out in resampler.resample(frame)
        ]
    samples = soxr.resample(np.concatenate(frames), rate, SAMPLE_RATE)
    return np.asarray(samples, dtype=np.float32)


@lru_cache(maxsize=1)
def _listener() -> Any:
    import moonshine_voice
    from moonshine_voice import ModelArch
    from moonshine_voice.transcriber import Transcriber

    model = Path(moonshine_voice.__file__).parent / "assets" / "tiny-en"
    options = {"vad_threshold": "0.0", "identify_speakers": "false", "return_audio_data": "false"}
    return Transcriber(model_path=str(model), model_arch=ModelArch.TINY, options=options)


def _transcribed(samples: NDArray[np.float32]) -> str:
    heard = _listener().transcribe_without_streaming(samples.tolist(), SAMPLE_RATE)
    return " ".join(line.text for line in heard.lines)
