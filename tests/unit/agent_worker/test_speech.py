"""Voices: what they say is understood again, and a fixed line is made once."""

import asyncio
import os
import time
from pathlib import Path

import numpy as np
import pytest
import soxr
from livekit.agents import APIError, tts

from agent_worker.errors import SpeechError, UnknownVoiceError
from agent_worker.persona import fixed_sentences
from agent_worker.providers.hearing import Hearing
from agent_worker.speech import speaker as speaker_module
from agent_worker.speech.kept import KeptSpeech, content_key
from agent_worker.speech.phonemes import phonemise
from agent_worker.speech.speaker import Speaker
from agent_worker.speech.tts import LocalTTS, sentence_tokenizer, sentences, streaming
from agent_worker.speech.voice import Pcm, to_pcm
from agent_worker.speech.voices import known_or_default, load_voice, voice_names
from avatar_contracts.audio import SAMPLE_RATE_HZ
from tests.unit.agent_worker.speech import until

pytestmark = pytest.mark.component

LINE = "A ticket costs eight euros. Children come in free."


class CountingVoice:
    """Says a tone; counts."""

    identity = "counting:1"

    def __init__(self) -> None:
        self.said: list[str] = []
        self.fails = False

    def speak(self, text: str, speed: float = 1.0) -> Pcm:
        if self.fails:
            raise SpeechError("no")
        self.said.append(text)
        return (1000 * np.sin(np.arange(len(text) * 500) / 9)).astype(np.int16)


@pytest.fixture
def voice(monkeypatch: pytest.MonkeyPatch) -> CountingVoice:
    voice = CountingVoice()
    monkeypatch.setattr(speaker_module, "load_voice", lambda _: voice)
    return voice


@pytest.mark.parametrize("name", ["piper:joe", "kokoro:af_heart"])
async def test_a_voice_is_understood_by_the_ear(name: str) -> None:
    pcm = load_voice(name).speak("You find the small cafe in the garden behind the main hall.")
    assert 2.0 < len(pcm) / SAMPLE_RATE_HZ < 6.0
    hearing = Hearing()
    heard = await hearing.transcribe(
        soxr.resample(pcm.astype(np.float32) / 32768, SAMPLE_RATE_HZ, 16_000)
    )
    hearing.close()
    words = {"you", "find", "small", "cafe", "in", "the", "garden", "behind", "main", "hall"}
    understood = heard.lower().replace("é", "e").strip(" .").split()
    assert len(words & set(understood)) >= len(words) - 3, heard


def test_the_shipped_voices_are_there_and_an_unknown_one_is_named() -> None:
    assert {"kokoro:af_heart", "kokoro:bf_emma", "piper:joe"} <= set(voice_names())
    with pytest.raises(UnknownVoiceError, match="piper:joe"):
        load_voice("piper:nobody")
    with pytest.raises(UnknownVoiceError):
        load_voice("festival:kal")
    assert known_or_default("gemini:Puck", "piper:joe") == "piper:joe"


def test_nothing_to_say_is_no_sound() -> None:
    assert len(load_voice("piper:joe").speak("… ?!")) == 0


def test_phonemes_keep_the_punctuation_that_makes_the_melody() -> None:
    ipa = phonemise("Hello, Mira — how are you?")
    assert ipa.startswith("həlˈoʊ, ")
    assert "—" in ipa
    assert ipa.endswith("?")


def test_a_louder_sound_than_full_scale_is_limited_and_resampled() -> None:
    sound = np.sin(np.arange(22_050) / 10).astype(np.float32) * 2
    pcm = to_pcm(sound, 22_050)
    assert len(pcm) == pytest.approx(24_000, abs=2)
    assert 32_000 < np.abs(pcm.astype(int)).max() <= 32_767


def test_kept_speech_comes_back_bit_for_bit(tmp_path: Path) -> None:
    kept = KeptSpeech(tmp_path)
    pcm = np.random.default_rng(1).integers(-32768, 32767, 50_001, dtype=np.int16)
    key = content_key("voice", "Some  line.", 1.0)
    assert kept.get(key) is None
    kept.put(key, pcm)
    assert np.array_equal(kept.get(key), pcm)
    assert content_key("voice", "Some line.", 1.0) == key
    others = [
        ("other", "Some line.", 1.0),
        ("voice", "Some line!", 1.0),
        ("voice", "Some line.", 1.1),
    ]
    assert key not in {content_key(*other) for other in others}


def test_a_broken_file_is_made_again_and_old_ones_make_room(tmp_path: Path) -> None:
    kept = KeptSpeech(tmp_path, max_bytes=0)
    keys = [content_key("v", str(i), 1.0) for i in range(4)]
    for age_s, key in zip((40, 30, 20, 10), keys, strict=True):
        kept.put(key, np.zeros(8_000, dtype=np.int16))
        (file,) = tmp_path.glob(f"*/{key}.flac")
        os.utime(file, (time.time() - age_s,) * 2)
    kept = KeptSpeech(tmp_path, max_bytes=2 * file.stat().st_size)
    kept.trim()
    assert [kept.get(key) is not None for key in keys] == [False, False, True, True]
    next(tmp_path.glob(f"*/{keys[3]}.flac")).write_bytes(b"not FLAC")
    assert kept.get(keys[3]) is None
    assert not list(tmp_path.glob(f"*/{keys[3]}.flac"))


async def test_a_fixed_line_is_spoken_once_for_all_conversations(
    voice: CountingVoice, tmp_path: Path
) -> None:
    speaker = Speaker(tmp_path)
    lines = await asyncio.gather(*(speaker.speak("Hello.", "v", keep=True) for _ in range(5)))
    assert all(np.array_equal(line, lines[0]) for line in lines)
    again = Speaker(tmp_path)
    await again.speak("Hello.", "v", keep=True)
    assert voice.said == ["Hello."]
    await again.speak("Said freely.", "v")
    assert len(list(tmp_path.rglob("*.flac"))) == 1  # noqa: ASYNC240
    speaker.close()
    again.close()


async def test_answers_spoken_ahead_cost_nothing_when_they_are_given(
    voice: CountingVoice, tmp_path: Path
) -> None:
    """The sentences that are kept must be the ones that livekit-agents later asks for."""
    speaker = Speaker(tmp_path)
    fixed = fixed_sentences((LINE, "Hello! I am Mira. Ask me about e.g. prices, or Dr. Smith."))
    speaker.speak_ahead(fixed, "v")
    await until(lambda: len(voice.said) == len(fixed))
    adapter = streaming(LocalTTS(speaker, "v", frozenset(fixed)))
    async with adapter.stream() as stream:
        stream.push_text(LINE)
        stream.end_input()
        sound = [event.frame async for event in stream]
    # livekit-agents adds a few hundredths of silence to each sentence
    samples = sum(frame.samples_per_channel for frame in sound)
    assert samples == pytest.approx(sum(len(one) * 500 for one in sentences(LINE)), abs=2_000)
    assert len(voice.said) == len(fixed)
    speaker.close()


@pytest.mark.parametrize("step", [1, 3, 1000])
async def test_sentences_do_not_depend_on_how_a_text_arrives(step: int) -> None:
    text = "Hello! I am Mira. Ask me about e.g. prices, or Dr. Smith. It costs 3.5 euros."
    stream = sentence_tokenizer().stream()
    for i in range(0, len(text), step):
        stream.push_text(text[i : i + step])
    stream.end_input()
    assert [event.token async for event in stream] == sentences(text)


async def test_a_voice_that_fails_is_an_error_of_the_tts_not_a_hang(
    voice: CountingVoice, tmp_path: Path
) -> None:
    voice.fails = True
    speaker = Speaker(tmp_path)
    local = LocalTTS(speaker, "v", frozenset())
    errors: list[tts.TTSError] = []
    local.on("error", errors.append)

    async def collect() -> None:
        async with local.synthesize("Hello.") as stream:
            async for _ in stream:
                pass

    with pytest.raises(APIError):
        await asyncio.wait_for(collect(), 5)
    assert errors
    speaker.close()
