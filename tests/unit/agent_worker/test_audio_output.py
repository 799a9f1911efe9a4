"""Speech to the avatar and back: every sample once, exactly one finished, no waiting for ever."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import fakeredis
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from agent_worker.audio_output import Patience, RedisAudioOutput
from agent_worker.room_sink import RoomSink
from agent_worker.sinks import SinkEvents
from avatar_contracts.audio import CHUNK_BYTES, CHUNK_SAMPLES, SAMPLE_RATE_HZ
from tests.fakes.avatar import FakeAvatar
from tests.unit.agent_worker.speech import frame, ramp, until

pytestmark = pytest.mark.unit

QUICK = Patience(ready_s=1.0, clear_s=0.4, suspect_s=0.2, dead_s=0.3, stall_s=0.5)
"""For tests in which an avatar is lost."""

PATIENT = Patience(ready_s=60.0, clear_s=60.0, suspect_s=60.0, dead_s=60.0, stall_s=60.0)
"""For the others: a machine that halts for a moment is no lost avatar."""


class FakeTrack:
    """An `AudioTrack` that plays 20 times as fast as real time and keeps what was heard."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.is_open = False
        self.opened = 0

    @property
    def queued_s(self) -> float:
        return 0.0

    async def open(self) -> None:
        self.opened += not self.is_open
        self.is_open = True

    async def play(self, pcm: bytes) -> None:
        assert self.is_open
        await asyncio.sleep(len(pcm) / 2 / SAMPLE_RATE_HZ / 20)
        self.heard += pcm

    async def drained(self) -> None:
        await asyncio.sleep(0)

    def drop(self) -> None:
        pass

    async def close(self) -> None:
        self.is_open = False


class Bench:
    """An output with an avatar on the other side, and everything it reported."""

    def __init__(self, patience: Patience = PATIENT, *, fallback: bool = True) -> None:
        self.redis = fakeredis.FakeAsyncRedis()
        self.track = FakeTrack()
        self.output = RedisAudioOutput(
            self.redis,
            "s",
            patience=patience,
            fallback=self._fallback if fallback else None,
        )
        self.avatar = FakeAvatar(self.redis, "s", 1)
        self.started = 0
        self.finished: list[tuple[float, bool]] = []
        self.output.on("playback_started", self._on_started)
        self.output.on(
            "playback_finished",
            lambda e: self.finished.append((e.playback_position, e.interrupted)),
        )

    def _fallback(self, events: SinkEvents) -> RoomSink:
        return RoomSink(self.track, events)

    def _on_started(self, _: object) -> None:
        self.started += 1

    async def say(self, pcm: bytes, step: int = 2 * 480) -> None:
        """As livekit-agents does: frames faster than real time, then flush."""
        for i in range(0, len(pcm), step):
            await self.output.capture_frame(frame(pcm[i : i + step]))
        self.output.flush()


@asynccontextmanager
async def bench(
    patience: Patience = PATIENT, *, avatar: bool = True, fallback: bool = True
) -> AsyncIterator[Bench]:
    it = Bench(patience, fallback=fallback)
    it.output.start()
    it.output.assign(1)
    if avatar:
        await it.avatar.start()
    try:
        yield it
    finally:
        await it.output.aclose()
        await it.avatar.die()
        await it.redis.aclose()


async def test_an_utterance_arrives_whole_in_80_ms_chunks_and_is_finished_once() -> None:
    pcm = ramp(2 * SAMPLE_RATE_HZ + 100)
    async with bench() as it:
        await it.say(pcm)
        event = await asyncio.wait_for(it.output.wait_for_playout(), 30)
        segment = it.avatar.segments[1]
    assert bytes(segment.received) == pcm
    # 2 s + 100 samples = 25 full chunks of 1920 samples and one of 100; the flush is entry 27
    assert segment.chunks == list(range(1, 27))
    assert set(segment.chunk_bytes[:-1]) == {CHUNK_BYTES}
    assert segment.chunk_bytes[-1] == 200
    assert it.finished == [(pytest.approx(len(pcm) / 2 / SAMPLE_RATE_HZ), False)]
    assert event.interrupted is False
    assert it.started == 1


@hypothesis_settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.integers(1, 5000), min_size=1, max_size=12))
def test_any_cutting_of_the_sound_gives_the_same_stream(sizes: list[int]) -> None:
    async def run() -> None:
        pcm = ramp(sum(sizes))
        async with bench() as it:
            place = 0
            for size in sizes:
                await it.output.capture_frame(frame(pcm[place : place + 2 * size]))
                place += 2 * size
            it.output.flush()
            await until(lambda: it.finished)
            segment = it.avatar.segments[1]
            assert bytes(segment.received) == pcm
            full, rest = divmod(sum(sizes), CHUNK_SAMPLES)
            assert segment.chunk_bytes == [CHUNK_BYTES] * full + [2 * rest] * bool(rest)
            assert it.finished == [(pytest.approx(sum(sizes) / SAMPLE_RATE_HZ), False)]

    asyncio.run(run())


async def test_the_first_chunk_leaves_before_the_utterance_is_complete() -> None:
    async with bench() as it:
        await it.output.capture_frame(frame(ramp(CHUNK_SAMPLES)))
        await until(lambda: 1 in it.avatar.segments and it.avatar.segments[1].chunks == [1])
        assert not it.avatar.segments[1].is_flushed


async def test_three_interruptions_give_three_finished_and_leave_nothing_behind() -> None:
    async with bench() as it:
        for turn in range(1, 4):
            await it.output.capture_frame(frame(ramp(10 * SAMPLE_RATE_HZ)))
            await until(lambda turn=turn: it.started == turn)
            # livekit-agents' order on an interruption
            it.output.flush()
            it.output.clear_buffer()
            it.output.clear_buffer()
            event = await asyncio.wait_for(it.output.wait_for_playout(), 30)
            assert event.interrupted
        await it.say(ramp(4800))
        event = await asyncio.wait_for(it.output.wait_for_playout(), 30)
        assert not event.interrupted
        assert event.playback_position == pytest.approx(0.2)
        assert it.avatar.clears == [1, 2, 3]
        reports = [segment.finished for segment in it.avatar.segments.values()]
        assert reports == [[True], [True], [True], [False]]
    assert [interrupted for _, interrupted in it.finished] == [True, True, True, False]
    assert all(0 < position < 10 for position, _ in it.finished[:3])


async def test_a_clear_with_nothing_to_say_is_no_entry_and_no_report() -> None:
    async with bench() as it:
        it.output.clear_buffer()
        await it.say(ramp(4800))
        await asyncio.wait_for(it.output.wait_for_playout(), 30)
        it.output.clear_buffer()
        await asyncio.sleep(0.05)
        assert it.avatar.clears == []
        assert len(it.finished) == 1


async def test_a_lost_report_after_a_clear_is_replaced_by_our_own() -> None:
    async with bench(QUICK) as it:
        it.avatar.lose_finished = True
        await it.output.capture_frame(frame(ramp(5 * SAMPLE_RATE_HZ)))
        await until(lambda: it.started)
        it.output.flush()
        it.output.clear_buffer()
        event = await asyncio.wait_for(it.output.wait_for_playout(), 30)
    assert event.interrupted
    assert len(it.finished) == 1


async def test_frames_that_come_after_a_clear_without_flush_are_not_spoken() -> None:
    async with bench() as it:
        await it.output.capture_frame(frame(ramp(SAMPLE_RATE_HZ)))
        await until(lambda: it.started)
        it.output.clear_buffer()
        await it.output.capture_frame(frame(ramp(SAMPLE_RATE_HZ)))
        it.output.flush()
        await asyncio.wait_for(it.output.wait_for_playout(), 30)
        await it.say(ramp(CHUNK_SAMPLES))
        await asyncio.wait_for(it.output.wait_for_playout(), 30)
    assert len(it.finished) == 2
    assert len(it.avatar.segments[1].received) <= 2 * SAMPLE_RATE_HZ


async def test_speech_waits_for_the_first_picture() -> None:
    async with bench(avatar=False) as it:
        speaking = asyncio.create_task(it.say(ramp(9600)))
        await asyncio.sleep(0.05)
        assert it.output.captured_playout_segments == 0
        await it.avatar.start()
        await speaking
        await until(lambda: it.finished)
        assert not it.finished[0][1]
        assert not it.track.opened


async def test_without_any_avatar_the_agent_speaks_by_itself_in_the_end() -> None:
    pcm = ramp(9600)
    async with bench(Patience(ready_s=0.1), avatar=False) as it:
        await it.say(pcm)
        await asyncio.wait_for(it.output.wait_for_playout(), 30)
        assert bytes(it.track.heard) == pcm
        assert it.finished == [(pytest.approx(0.4), False)]


async def test_without_avatar_and_fallback_speech_is_finished_as_interrupted() -> None:
    async with bench(Patience(ready_s=0.05), avatar=False, fallback=False) as it:
        await it.say(ramp(9600))
        event = await asyncio.wait_for(it.output.wait_for_playout(), 30)
    assert (event.playback_position, event.interrupted) == (0.0, True)


async def test_the_producer_waits_at_20_s_ahead_of_what_was_heard() -> None:
    async with bench(Patience(stall_s=30)) as it:
        it.avatar.stalled = True
        speaking = asyncio.create_task(it.say(ramp(40 * SAMPLE_RATE_HZ), step=2 * SAMPLE_RATE_HZ))
        await until(lambda: _sent_s(it) >= 20)
        await asyncio.sleep(0.1)
        assert not speaking.done()
        # the frame that passed the limit was taken whole: at most one of 1 s more
        assert 20 <= _sent_s(it) <= 21
        it.avatar.stalled = False
        await asyncio.wait_for(speaking, 5)
        await until(lambda: it.finished, 5)
    assert it.finished == [(pytest.approx(40.0), False)]


def _sent_s(it: Bench) -> float:
    segment = it.avatar.segments.get(1)
    return len(segment.received) / 2 / SAMPLE_RATE_HZ if segment else 0.0


async def test_a_dead_avatar_is_replaced_by_the_agents_own_voice() -> None:
    pcm = ramp(20 * SAMPLE_RATE_HZ)
    async with bench(QUICK) as it:
        speaking = asyncio.create_task(it.say(pcm))
        await until(lambda: it.avatar.segments and it.avatar.segments[1].played_samples > 48_000)
        await it.avatar.die()
        loop = asyncio.get_running_loop()
        died_s = loop.time()
        await until(lambda: it.track.heard)
        # dead_s, one look of the watch and the opening of the track
        assert loop.time() - died_s < QUICK.dead_s + 0.3
        await speaking
        await asyncio.wait_for(it.output.wait_for_playout(), 30)
        heard = it.avatar.segments[1].heard
    assert it.finished == [(pytest.approx(20.0), False)]
    assert it.started == 1
    assert pcm.endswith(bytes(it.track.heard))
    assert len(heard) + len(it.track.heard) >= len(pcm), "something was never heard"
    # heard twice is at most what was played between two signs of life, 0.05 s at 20-fold speed
    assert len(heard) + len(it.track.heard) - len(pcm) < 2 * 2.5 * SAMPLE_RATE_HZ


async def test_a_new_avatar_takes_over_in_the_middle_of_an_utterance() -> None:
    pcm = ramp(30 * SAMPLE_RATE_HZ)
    async with bench(QUICK) as it:
        speaking = asyncio.create_task(it.say(pcm))
        await until(lambda: it.avatar.segments and it.avatar.segments[1].played_samples > 24_000)
        await it.avatar.die()
        it.output.assign(2)
        await until(lambda: len(it.track.heard) > 48_000)
        second = FakeAvatar(it.redis, "s", 2)
        await second.start()
        await speaking
        await asyncio.wait_for(it.output.wait_for_playout(), 30)
        await until(lambda: not it.track.is_open)
        heard = [it.avatar.segments[1].heard, bytes(it.track.heard), second.segments[1].heard]
        await second.die()
    assert it.finished == [(pytest.approx(30.0), False)]
    assert it.started == 1
    assert pcm.startswith(heard[0])
    assert heard[1] in pcm
    assert pcm.endswith(heard[2])
    # the sound of the room stops within one 20 ms frame of where the new avatar begins
    overlap = sum(map(len, heard)) - len(pcm)
    assert 0 <= overlap < 2 * 2.7 * SAMPLE_RATE_HZ


async def test_a_new_epoch_between_utterances_needs_no_fallback() -> None:
    async with bench() as it:
        await it.say(ramp(4800))
        await asyncio.wait_for(it.output.wait_for_playout(), 30)
        await it.avatar.die()
        it.output.assign(2)
        second = FakeAvatar(it.redis, "s", 2)
        await second.start()
        await until(lambda: 2 in it.output._listeners and it.output._listeners[2].is_ready)
        await it.say(ramp(4800))
        await asyncio.wait_for(it.output.wait_for_playout(), 30)
        await second.die()
    assert [i for _, i in it.finished] == [False, False]
    assert not it.track.opened


async def test_an_avatar_that_lives_but_hangs_is_given_up() -> None:
    async with bench(QUICK) as it:
        it.avatar.stalled = True
        await it.say(ramp(2 * SAMPLE_RATE_HZ))
        event = await asyncio.wait_for(it.output.wait_for_playout(), 30)
    assert not event.interrupted
    assert len(it.track.heard) == 2 * 2 * SAMPLE_RATE_HZ


async def test_an_agent_dispatched_again_does_not_write_into_the_speech_of_the_first() -> None:
    async with bench() as it:
        await it.output.capture_frame(frame(ramp(10 * SAMPLE_RATE_HZ)))
        await until(lambda: it.started)
        again = RedisAudioOutput(it.redis, "s", patience=PATIENT)
        again.start()
        again.assign(1)
        await again.capture_frame(frame(ramp(4800)))
        again.flush()
        event = await asyncio.wait_for(again.wait_for_playout(), 30)
        await again.aclose()
    assert not event.interrupted
    assert it.avatar.segments[1].finished == [True]
    # the clear took number 2 for itself
    assert bytes(it.avatar.segments[3].received) == ramp(4800)


async def test_closing_finishes_what_is_open_once() -> None:
    async with bench() as it:
        await it.output.capture_frame(frame(ramp(10 * SAMPLE_RATE_HZ)))
        await until(lambda: it.started)
        await it.output.aclose()
        await it.output.aclose()
        assert [i for _, i in it.finished] == [True]
