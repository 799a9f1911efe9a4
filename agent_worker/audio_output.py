"""The sink for the agent's speech: chunks on the session's audio stream, one part per utterance.

    AgentSession ─► capture_frame ─► Utterance ─► pump ─► AvatarSink (Redis) ──► avatar
                                                     └──► fallback (sound in the room)
                    on_playback_* ◄── SinkEvents ◄───────── playout stream ◄──────┘

livekit-agents counts a segment when its first frame is captured, and waits for exactly one
"finished" for each. An `Utterance` is such a segment; every way out of this module ends in
`_finish`, which reports once. Which sink plays is decided in one place, `_switch`:

    nobody ──ready──► avatar ──no sign of life──► fallback ──ready of a newer epoch──► avatar

and whatever was not heard goes to the new sink, from the last position that is known.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Final, Protocol

from livekit import rtc
from livekit.agents.voice.io import AudioOutput, AudioOutputCapabilities

from agent_worker.errors import SinkLostError
from agent_worker.observability import log
from agent_worker.playout_listener import PlayoutListener
from agent_worker.redis_streams import RedisClient
from agent_worker.sinks import AvatarSink, SinkEvents, SpeechSink
from agent_worker.tasks import end_tasks, log_failure
from agent_worker.utterance import Part, Utterance
from avatar_contracts.audio import (
    BYTES_PER_SAMPLE,
    CHUNK_SAMPLES,
    READ_AHEAD_MAX_S,
    SAMPLE_RATE_HZ,
    samples_to_seconds,
    seconds_to_samples,
)

WATCH_INTERVAL_S: Final = 0.1
STALL_MIN_SAMPLES: Final = SAMPLE_RATE_HZ // 5


@dataclass(frozen=True, slots=True)
class Patience:
    """How long this output waits for the avatar; all in seconds."""

    ready_s: float = 20.0
    """For the first frame of the first avatar, from construction on."""
    clear_s: float = 2.0
    """For the report that follows a clear."""
    suspect_s: float = 0.8
    """Without a sign of life (they come twice a second); the fallback is prepared."""
    dead_s: float = 1.2
    """Without a sign of life while speaking; the fallback takes over."""
    stall_s: float = 5.0
    """Alive, with speech to play, and not getting on."""


class FallbackSink(SpeechSink, Protocol):
    """A sink that can be made ready ahead of use. After `leave` it can be used again."""

    async def prepare(self) -> None: ...


class RedisAudioOutput(AudioOutput):
    """An `AudioOutput` that a remote avatar plays.

    Args:
        fallback: builds the sink for the time without an avatar; without one, speech that loses
            its avatar is finished as interrupted.

    `start` before use; `aclose` finishes what is open as interrupted and may be called twice.
    """

    def __init__(
        self,
        redis: RedisClient,
        session: str,
        *,
        fallback: Callable[[SinkEvents], FallbackSink] | None = None,
        patience: Patience = Patience(),
    ) -> None:
        super().__init__(
            label="RedisAudioOutput",
            capabilities=AudioOutputCapabilities(pause=False),
            sample_rate=SAMPLE_RATE_HZ,
        )
        self._redis = redis
        self._session = session
        self._patience = patience
        self._utterances: deque[Utterance] = deque()
        self._open: Utterance | None = None
        self._sink: SpeechSink | None = None
        self._listener: PlayoutListener | None = None
        self._listeners: dict[int, PlayoutListener] = {}
        self._feeds: dict[int, _Feed] = {}
        self._stalled_epoch = 0
        self._fallback: FallbackSink | None = None
        if fallback is not None:
            feed = _Feed(self)
            self._fallback = feed.sink = fallback(feed)
        self._ready = asyncio.Event()
        self._wake = asyncio.Event()
        self._progress = asyncio.Event()
        self._progress_at_s = 0.0
        self._clear_due = False
        self._is_fallback_prepared = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    # --- life -----------------------------------------------------------------------------------

    def start(self) -> None:
        self._ready_until_s = asyncio.get_running_loop().time() + self._patience.ready_s
        self._spawn(self._pump())
        self._spawn(self._watch())

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        await end_tasks(*self._tasks)
        for utterance in list(self._utterances):
            self._finish(utterance, interrupted=True)
        for listener in list(self._listeners.values()):
            await listener.aclose()
        if self._sink is not None:
            await self._sink.leave()
        if self._fallback is not None and self._fallback is not self._sink:
            await self._fallback.leave()

    def assign(self, epoch: int) -> None:
        """An avatar worker holds this epoch: once its first frame is out, it plays our speech.

        Older and repeated epochs are ignored.
        """
        if self._closed or (self._listeners and epoch <= max(self._listeners)):
            return
        feed = self._feeds[epoch] = _Feed(self)
        listener = PlayoutListener(
            self._redis,
            self._session,
            epoch,
            on_ready=lambda: self._on_avatar_ready(listener),
            events=feed,
        )
        self._listeners[epoch] = listener
        listener.start()

    async def wait_ready(self) -> bool:
        """Until an avatar is ready, at most as long as `Patience.ready_s`. Whether one is."""
        wait_s = self._ready_until_s - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(max(wait_s, 0)):
                await self._ready.wait()
        except TimeoutError:
            return False
        return True

    @property
    def is_fallback(self) -> bool:
        """Speech is played as plain sound in the room at the moment."""
        return self._sink is not None and self._sink is self._fallback

    # --- what livekit-agents calls --------------------------------------------------------------

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        """Take a frame (24 kHz, mono); waits while 20 s of speech have not been heard yet."""
        if self._sink is None and not await self.wait_ready() and self._sink is None:
            log().warning("no avatar came; speaking without one")
            self._switch(self._fallback)
        await super().capture_frame(frame)
        if self._open is None:
            self._open = Utterance()
            self._utterances.append(self._open)
        utterance = self._open
        if utterance.is_over or self._closed:
            return
        utterance.append(bytes(frame.data))
        self._wake.set()
        while not utterance.is_over and self._unheard_s() > READ_AHEAD_MAX_S:
            self._progress.clear()
            await self._progress.wait()

    def flush(self) -> None:
        super().flush()
        utterance, self._open = self._open, None
        if utterance is None:
            return
        utterance.is_flushed = True
        if self._sink is None:
            self._finish(utterance, interrupted=True)
        self._wake.set()

    def clear_buffer(self) -> None:
        """Stop, now. Nothing happens when nothing is being said, or it was cleared already."""
        due = [u for u in self._utterances if not u.is_over]
        for utterance in due:
            utterance.is_cleared = True
            if utterance.part is None:
                self._finish(utterance, interrupted=True)
        waiting = [u for u in due if not u.is_finished]
        if waiting:
            self._clear_due = True
            asyncio.get_running_loop().call_later(
                self._patience.clear_s, self._stop_waiting, waiting
            )
        self._note_progress()
        self._wake.set()

    # --- what a sink reports --------------------------------------------------------------------

    def part_started(self, sink: SpeechSink, part: int) -> None:
        utterance = self._playing(sink, part)
        if utterance is not None:
            self._note_progress()
            self._mark_started(utterance)

    def part_position(self, sink: SpeechSink, part: int, position_s: float) -> None:
        utterance = self._playing(sink, part)
        if utterance is not None and self._hear(utterance, position_s):
            self._note_progress()

    def part_finished(
        self, sink: SpeechSink, part: int, position_s: float, *, interrupted: bool
    ) -> None:
        utterance = self._playing(sink, part)
        if utterance is not None:
            self._hear(utterance, position_s)
            self._finish(utterance, interrupted=interrupted)

    # --- inside ---------------------------------------------------------------------------------

    async def _pump(self) -> None:
        """Writes what is due, in order; the only place that writes to a sink."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            sink = self._sink
            if sink is None:
                continue
            try:
                await self._write_clear(sink)
                for utterance in list(self._utterances):
                    await self._write(sink, utterance)
            except SinkLostError as error:
                log().warning("speech sink lost", reason=str(error))
                if sink is self._sink:
                    self._switch(None if sink is self._fallback else self._fallback)

    async def _write_clear(self, sink: SpeechSink) -> None:
        if not self._clear_due:
            return
        self._clear_due = False
        parts = [u.part for u in self._utterances if u.is_cleared and u.part is not None]
        if parts and parts[-1].sink is sink:
            part = parts[-1]
            part.next_chunk += 1
            await sink.clear(part.number, part.next_chunk - 1)

    async def _write(self, sink: SpeechSink, utterance: Utterance) -> None:
        """All full chunks of an utterance, and its rest and flush when it is complete."""
        while self._sink is sink and not self._clear_due and not utterance.is_over:
            part = utterance.part
            if part is None:
                if not utterance.unheard_samples and not utterance.is_flushed:
                    return
                number = await sink.open_part()
                if self._sink is sink and not utterance.is_over:
                    heard = utterance.heard_samples
                    utterance.part = Part(sink, number, heard, heard)
                    self._note_progress()
                continue
            if part.is_flushed:
                return
            left = utterance.total_samples - part.sent_samples
            if left < CHUNK_SAMPLES and not utterance.is_flushed:
                return
            chunk, part.next_chunk = part.next_chunk, part.next_chunk + 1
            if left:
                pcm = utterance.read(part.sent_samples, CHUNK_SAMPLES)
                await sink.send(part.number, chunk, pcm)
                part.sent_samples += len(pcm) // BYTES_PER_SAMPLE
            else:
                part.is_flushed = True
                await sink.flush(part.number, chunk)
        if self._clear_due:
            self._wake.set()

    async def _watch(self) -> None:
        """Notices an avatar that died or hangs while there is something to say."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            listener = self._listener
            if listener is None:
                continue
            silent_s = loop.time() - listener.last_sign_s
            if self.is_fallback:
                self._return_to_avatar(listener, silent_s)
                continue
            if silent_s < self._patience.suspect_s and self._is_fallback_prepared:
                self._is_fallback_prepared = False
                if self._fallback is not None:
                    self._spawn(self._fallback.leave())
            speaking = [u for u in self._utterances if not u.is_over and u.part is not None]
            if not speaking:
                continue
            part = speaking[0].part
            to_play = part.sent_samples - speaking[0].heard_samples if part is not None else 0
            stalled = (
                to_play > STALL_MIN_SAMPLES
                and loop.time() - self._progress_at_s > self._patience.stall_s
            )
            if silent_s > self._patience.suspect_s:
                self._prepare_fallback()
            if silent_s > self._patience.dead_s or stalled:
                log().warning("avatar lost while speaking", stalled=stalled, epoch=listener.epoch)
                self._stalled_epoch = listener.epoch if stalled else 0
                self._switch(self._fallback)

    def _return_to_avatar(self, listener: PlayoutListener, silent_s: float) -> None:
        """An avatar that lives after all (the network was cut) speaks again, between utterances."""
        alive = silent_s < self._patience.suspect_s and listener.epoch != self._stalled_epoch
        if alive and not self._utterances:
            log().info("avatar lives after all", epoch=listener.epoch)
            self._play_with(listener)

    def _prepare_fallback(self) -> None:
        if self._fallback is not None and not self._is_fallback_prepared:
            self._is_fallback_prepared = True
            self._spawn(self._fallback.prepare())

    def _on_avatar_ready(self, listener: PlayoutListener) -> None:
        if self._listener is not None and listener.epoch < self._listener.epoch:
            return
        for epoch in [epoch for epoch in self._listeners if epoch < listener.epoch]:
            self._spawn(self._listeners.pop(epoch).aclose())
        self._listener = listener
        log().info("avatar ready", epoch=listener.epoch, open_utterances=len(self._utterances))
        self._play_with(listener)
        self._ready.set()

    def _play_with(self, listener: PlayoutListener) -> None:
        feed = self._feeds[listener.epoch]
        feed.sink = AvatarSink(self._redis, self._session, listener.epoch)
        self._switch(feed.sink)

    def _switch(self, sink: SpeechSink | None) -> None:
        """From now on `sink` plays, beginning with what was not heard yet; None: nobody can."""
        if self._closed:
            return
        old, self._sink = self._sink, sink
        for utterance in list(self._utterances):
            utterance.part = None
            complete = utterance.is_flushed and not utterance.unheard_samples
            if utterance.is_cleared or complete or sink is None:
                self._finish(utterance, interrupted=not complete)
        self._clear_due = False
        if old is not None and old is not sink:
            self._is_fallback_prepared = self._is_fallback_prepared and old is not self._fallback
            self._spawn(old.leave())
        self._note_progress()
        self._wake.set()

    def _playing(self, sink: SpeechSink, part: int) -> Utterance | None:
        """The utterance of a report; None for one that is over or was handed on."""
        for utterance in self._utterances:
            if utterance.part and utterance.part.sink is sink and utterance.part.number == part:
                return utterance
        return None

    def _hear(self, utterance: Utterance, position_s: float) -> bool:
        part = utterance.part
        if part is None:
            return False
        position = part.base_samples + seconds_to_samples(position_s)
        return utterance.hear(min(position, part.sent_samples))

    def _mark_started(self, utterance: Utterance) -> None:
        if not utterance.is_started:
            utterance.is_started = True
            self.on_playback_started(created_at=time.time())

    def _finish(self, utterance: Utterance, *, interrupted: bool) -> None:
        """Report an utterance as finished, once."""
        if utterance.is_finished:
            return
        utterance.is_finished = True
        self._utterances.remove(utterance)
        if utterance.heard_samples:
            self._mark_started(utterance)
        self._note_progress()
        self.on_playback_finished(
            playback_position=samples_to_seconds(utterance.heard_samples), interrupted=interrupted
        )

    def _stop_waiting(self, utterances: list[Utterance]) -> None:
        for utterance in utterances:
            if not utterance.is_finished:
                log().warning("no report after a clear")
                self._finish(utterance, interrupted=True)

    def _unheard_s(self) -> float:
        return samples_to_seconds(sum(u.unheard_samples for u in self._utterances if not u.is_over))

    def _note_progress(self) -> None:
        self._progress_at_s = asyncio.get_running_loop().time()
        self._progress.set()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(log_failure)


class _Feed:
    """Carries one sink's reports to the output, with the sink's name on them."""

    def __init__(self, output: RedisAudioOutput) -> None:
        self.sink: SpeechSink | None = None
        self._output = output

    def on_started(self, part: int) -> None:
        if self.sink is not None:
            self._output.part_started(self.sink, part)

    def on_position(self, part: int, position_s: float) -> None:
        if self.sink is not None:
            self._output.part_position(self.sink, part, position_s)

    def on_finished(self, part: int, position_s: float, *, interrupted: bool) -> None:
        if self.sink is not None:
            self._output.part_finished(self.sink, part, position_s, interrupted=interrupted)
