"""The process's one mouthpiece: speaks in threads, and never says the same fixed line twice.

Two threads do the work: one for what somebody waits for, one of low priority for fixed lines that
are spoken ahead of need. A sentence that one of them is at is not begun by the other.
"""

import asyncio
import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

from agent_worker.errors import SpeechError
from agent_worker.observability import log
from agent_worker.speech.kept import KeptSpeech, content_key
from agent_worker.speech.voice import Pcm
from agent_worker.speech.voices import load_voice

BACKGROUND_NICENESS: Final = 19


class Speaker:
    """Sentences → speech, for all conversations of this process.

    Args:
        cache_dir: where fixed lines are kept, in a folder of their own.
    """

    def __init__(self, cache_dir: Path) -> None:
        self.kept = KeptSpeech(cache_dir / "speech")
        self.spoken_count = 0
        """Sentences that had to be made; kept ones do not count."""
        self._live = ThreadPoolExecutor(1, thread_name_prefix="speech")
        self._background = ThreadPoolExecutor(
            1, thread_name_prefix="speech-ahead", initializer=_lower_priority
        )
        self._lock = threading.Lock()
        self._running: dict[str, Future[Pcm]] = {}
        self._closed = False

    async def speak(self, text: str, voice: str, speed: float = 1.0, *, keep: bool = False) -> Pcm:
        """Speech of a sentence, 24 kHz mono; at once when it is kept.

        Args:
            keep: this is a fixed line: look it up, and keep it.

        Raises:
            SpeechError: it cannot be spoken.
        """
        if keep:
            kept = await asyncio.to_thread(self._look_up, text, voice, speed)
            if kept is not None:
                return kept
        return await asyncio.wrap_future(
            self._live.submit(self._make, text, voice, speed, keep=keep)
        )

    def speak_ahead(
        self, sentences: Sequence[str], voice: str, speed: float = 1.0, *, n_urgent: int = 0
    ) -> None:
        """Have fixed lines made; returns at once.

        Args:
            n_urgent: the first so many (a greeting) are needed at once. They are made before
                whatever is asked for after them.
        """
        with suppress(RuntimeError):  # closed meanwhile
            for number, sentence in enumerate(sentences):
                pool = self._live if number < n_urgent else self._background
                pool.submit(self._make_ahead, sentence, voice, speed)

    def warm_up(self, voice: str) -> None:
        """Load a voice in the background, so that the first free sentence does not wait for it."""
        self._background.submit(lambda: load_voice(voice).speak("Yes."))

    def close(self) -> None:
        """End after the sentences that are being made."""
        self._closed = True
        self._background.shutdown(wait=False, cancel_futures=True)
        self._live.shutdown(wait=False, cancel_futures=True)

    def _look_up(self, text: str, voice: str, speed: float) -> Pcm | None:
        return self.kept.get(content_key(load_voice(voice).identity, text, speed))

    def _make_ahead(self, text: str, voice: str, speed: float) -> None:
        if self._closed:
            return
        try:
            self._make(text, voice, speed, keep=True)
        except SpeechError as error:
            log().warning("fixed line cannot be spoken", voice=voice, error=str(error))

    def _make(self, text: str, voice: str, speed: float, *, keep: bool) -> Pcm:
        speaks = load_voice(voice)
        key = content_key(speaks.identity, text, speed)
        if keep and (kept := self.kept.get(key)) is not None:
            return kept
        with self._lock:
            mine: Future[Pcm] = Future()
            running = self._running.setdefault(key, mine)
        if running is not mine:
            return running.result()
        try:
            self.spoken_count += 1
            pcm = speaks.speak(text, speed)
            if keep:
                self.kept.put(key, pcm)
            mine.set_result(pcm)
        except BaseException as error:
            mine.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._running[key]
        return pcm


def _lower_priority() -> None:
    """Of this thread only; Linux counts niceness by thread."""
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BACKGROUND_NICENESS)
