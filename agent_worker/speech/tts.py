"""Our voices as a TTS of livekit-agents: sentence by sentence, 24 kHz."""

from typing import Final

from livekit.agents import APIError, tokenize, tts, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions

from agent_worker.errors import SpeechError
from agent_worker.speech.speaker import Speaker
from avatar_contracts.audio import SAMPLE_RATE_HZ

FRAME_MS: Final = 40


def sentence_tokenizer() -> tokenize.SentenceTokenizer:
    """How speech is cut; the first, short sentence is spoken while the next is made."""
    return tokenize.blingfire.SentenceTokenizer(min_sentence_len=8, stream_context_len=4)


def sentences(text: str) -> list[str]:
    """The sentences of a complete text, as `LocalTTS` will be asked to speak them."""
    return [s for s in (part.strip() for part in sentence_tokenizer().tokenize(text)) if s]


class LocalTTS(tts.TTS[None]):
    """Speaks with one voice.

    Args:
        fixed_sentences: lines that are written down anyway: they are kept once spoken.
    """

    def __init__(self, speaker: Speaker, voice: str, fixed_sentences: frozenset[str]) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=False),
            sample_rate=SAMPLE_RATE_HZ,
            num_channels=1,
        )
        self.speaker = speaker
        self.voice = voice
        self.fixed_sentences = fixed_sentences

    @property
    def model(self) -> str:
        return self.voice

    @property
    def provider(self) -> str:
        return "local"

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return _Sentence(tts=self, input_text=text, conn_options=conn_options)


class _Sentence(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        assert isinstance(self._tts, LocalTTS)
        output_emitter.initialize(
            request_id=utils.shortuuid(),
            sample_rate=SAMPLE_RATE_HZ,
            num_channels=1,
            mime_type="audio/pcm",
            frame_size_ms=FRAME_MS,
        )
        text = self.input_text.strip()
        try:
            pcm = await self._tts.speaker.speak(
                text, self._tts.voice, keep=text in self._tts.fixed_sentences
            )
        except SpeechError as error:
            raise APIError(str(error), retryable=False) from error
        output_emitter.push(pcm.tobytes())
        output_emitter.flush()


def streaming(local: LocalTTS) -> tts.StreamAdapter:
    """The same, for a text that comes in pieces."""
    return tts.StreamAdapter(tts=local, sentence_tokenizer=sentence_tokenizer())
