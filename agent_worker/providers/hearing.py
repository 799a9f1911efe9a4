"""Speech → text on this machine: moonshine (tiny, English), behind livekit-agents' own VAD."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import soxr
from livekit import rtc
from livekit.agents import LanguageCode, stt, utils
from livekit.agents.types import NOT_GIVEN, APIConnectOptions, NotGivenOr
from numpy.typing import NDArray

_RATE_HZ: Final = 16_000
_MIN_SAMPLES: Final = _RATE_HZ // 10


class Hearing:
    """The process's one transcriber. It is loaded when it is first needed, or by `load`."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="hearing")
        self._lock = threading.Lock()
        self._transcriber: Any = None

    def load(self) -> Any:
        """Read the model (44 MB, in the package); slow the first time."""
        with self._lock:
            if self._transcriber is None:
                from moonshine_voice import ModelArch, Transcriber, get_model_path

                self._transcriber = Transcriber(
                    str(get_model_path("tiny-en")),
                    ModelArch.TINY,
                    options={
                        "vad_threshold": "0.0",  # livekit-agents has cut the utterance already
                        "identify_speakers": "false",
                        "return_audio_data": "false",
                    },
                )
            return self._transcriber

    async def transcribe(self, samples: NDArray[np.float32]) -> str:
        """The words of an utterance (mono, 16 kHz, in [-1, 1])."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._transcribe, samples)

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _transcribe(self, samples: NDArray[np.float32]) -> str:
        if len(samples) < _MIN_SAMPLES:
            return ""
        result = self.load().transcribe_without_streaming(samples.tolist(), _RATE_HZ)
        return " ".join(line.text.strip() for line in result.lines if line.text).strip()


class MoonshineSTT(stt.STT[None]):
    """`Hearing` as an STT of livekit-agents, an utterance at a time."""

    def __init__(self, hearing: Hearing) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=False, interim_results=False))
        self._hearing = hearing

    @property
    def model(self) -> str:
        return "moonshine-tiny-en"

    @property
    def provider(self) -> str:
        return "local"

    async def _recognize_impl(
        self,
        buffer: utils.AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions,
    ) -> stt.SpeechEvent:
        text = await self._hearing.transcribe(_samples(rtc.combine_audio_frames(buffer)))
        return stt.SpeechEvent(
            type=stt.SpeechEventType.FINAL_TRANSCRIPT,
            alternatives=[stt.SpeechData(text=text, language=LanguageCode("en"))],
        )


def _samples(frame: rtc.AudioFrame) -> NDArray[np.float32]:
    """A frame as mono 16 kHz floats."""
    pcm = np.frombuffer(frame.data, dtype=np.int16).reshape(-1, frame.num_channels)
    sound = pcm.astype(np.float32).mean(axis=1) / 32768.0
    if frame.sample_rate != _RATE_HZ:
        sound = soxr.resample(sound, frame.sample_rate, _RATE_HZ)
    return np.asarray(sound, dtype=np.float32)
