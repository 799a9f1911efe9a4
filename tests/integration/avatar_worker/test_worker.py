"""The avatar worker as a process: it takes, serves, stops, drains, and gives way."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest
from redis.asyncio import Redis

from avatar_contracts.beat import EventKind, StopOrder
from avatar_contracts.messages import PlayoutFinished, PlayoutReady, PlayoutStarted
from avatar_worker.platform_link import EXIT_DECLARED_DEAD
from tests.bench.live.pattern import on_off_frames, sound_of
from tests.bench.live.producer import Producer
from tests.bench.live.rooms import delete_room, token
from tests.bench.live.viewer import Viewer
from tests.integration.avatar_worker.conftest import Ground

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

SPEECH_FRAMES = 50


def is_up(ground: Ground, session: str) -> bool:
    return EventKind.FIRST_FRAME in ground.api.kinds(session)


def has_left(ground: Ground, session: str) -> bool:
    return EventKind.AVATAR_LEFT in ground.api.kinds(session)


def left_because(ground: Ground, session: str) -> object:
    left = [r for r in ground.api.reports.values() if r.kind == EventKind.AVATAR_LEFT]
    return next(r.data["reason"] for r in left if r.session == session)


def test_a_queued_session_becomes_a_face_that_speaks_and_is_interrupted(ground: Ground) -> None:
    ground.start_worker()
    claim = ground.offer()

    async def talk() -> tuple[Viewer, Producer]:
        viewer = Viewer(claim.avatar_identity)
        await viewer.join(ground.livekit.url, token(ground.livekit, claim.room, "viewer"))
        redis = Redis.from_url(ground.redis_url, protocol=2)
        producer = Producer(redis, claim.session, claim.epoch)
        await producer.wait_for(PlayoutReady)
        said = await producer.speak(sound_of(on_off_frames(SPEECH_FRAMES, 1)))
        await producer.wait_for(PlayoutStarted, said)
        await producer.wait_for(PlayoutFinished, said)
        cut = await producer.speak(sound_of(on_off_frames(10 * SPEECH_FRAMES, 2)))
        await producer.wait_for(PlayoutStarted, cut)
        cleared = await producer.clear()
        told = await producer.wait_for(PlayoutFinished, cut)
        assert told - cleared < 2.0  # long before the 20 s that were queued
        await asyncio.sleep(0.5)
        await viewer.aclose()
        await redis.aclose()
        return viewer, producer

    viewer, producer = asyncio.run(talk())
    finished = [m for _, m in producer.played if isinstance(m, PlayoutFinished)]
    assert [(m.segment, m.interrupted) for m in finished] == [(1, False), (2, True)]
    assert finished[0].position_s == 2.0  # 50 frames of 40 ms
    assert finished[1].position_s < 2.0
    assert len(viewer.seen) > SPEECH_FRAMES // 2  # a busy machine may leave some out
    assert any(seen.is_loud for seen in viewer.seen)
    numbers = [seen.number for seen in viewer.seen]
    assert numbers == sorted(numbers)
    assert len(viewer.sound_edges()) >= 4
    kinds = ground.api.kinds(claim.session)
    assert kinds[:2] == [EventKind.AVATAR_JOINED, EventKind.FIRST_FRAME]
    assert kinds.count(EventKind.LATENCY) == 2  # how long each segment took to begin


def test_a_task_that_comes_twice_late_or_for_nothing_does_no_harm(ground: Ground) -> None:
    ground.start_worker(slots=1)
    claim = ground.offer()
    ground.api.wait_for(lambda: is_up(ground, claim.session), "the face")
    ground.send("nobody", 1)
    ground.send(claim.session, claim.epoch)
    ground.api.stops.append(StopOrder(claim.session, claim.epoch, "over"))
    ground.api.wait_for(lambda: has_left(ground, claim.session), "the end")
    second = ground.offer()
    ground.api.wait_for(lambda: is_up(ground, second.session), "the second face")
    assert ground.api.kinds(claim.session).count(EventKind.FIRST_FRAME) == 1


def test_a_full_worker_leaves_the_queue_alone_and_takes_the_next_when_a_slot_is_free(
    ground: Ground,
) -> None:
    ground.start_worker(slots=1)
    first = ground.offer()
    ground.api.wait_for(lambda: is_up(ground, first.session), "the first face")
    second = ground.offer()
    beats = len(ground.api.beats)
    ground.api.wait_for(lambda: len(ground.api.beats) >= beats + 2, "two more beats")
    assert second.session not in ground.api.claimed_at
    ground.api.stops.append(StopOrder(first.session, 1, "over"))
    freed = ground.api.wait_for(lambda: has_left(ground, first.session), "the first one's end")
    ground.api.wait_for(lambda: second.session in ground.api.claimed_at, "the second claim")
    assert ground.api.claimed_at[second.session] - freed < 1.0
    assert left_because(ground, first.session) == "stopped"


def test_an_avatar_of_a_newer_epoch_evicts_this_one_which_never_comes_back(
    ground: Ground,
) -> None:
    ground.start_worker()
    claim = ground.offer()
    ground.api.wait_for(lambda: is_up(ground, claim.session), "the face")

    async def take_over() -> None:
        successor = Viewer("nobody")
        own = token(ground.livekit, claim.room, claim.avatar_identity, is_avatar=True)
        await successor.join(ground.livekit.url, own)
        left = asyncio.to_thread(
            ground.api.wait_for, lambda: has_left(ground, claim.session), "the eviction"
        )
        await left
        beats = len(ground.api.beats)
        await asyncio.to_thread(
            ground.api.wait_for, lambda: len(ground.api.beats) >= beats + 3, "three beats"
        )
        assert successor._room.isconnected()
        await successor.aclose()

    asyncio.run(take_over())
    assert left_because(ground, claim.session) == "evicted"


def test_a_deleted_room_frees_the_slot(ground: Ground) -> None:
    ground.start_worker(slots=1)
    claim = ground.offer()
    ground.api.wait_for(lambda: is_up(ground, claim.session), "the face")
    asyncio.run(delete_room(ground.livekit, claim.room))
    ground.api.wait_for(lambda: has_left(ground, claim.session), "the end")
    assert left_because(ground, claim.session) == "room_gone"
    ground.api.wait_for(lambda: not ground.api.beats[-1][1].sessions, "an empty beat")


def test_sigterm_lets_the_running_session_finish_and_takes_no_new_one(ground: Ground) -> None:
    worker = ground.start_worker(slots=2)
    running = ground.offer()
    ground.api.wait_for(lambda: is_up(ground, running.session), "the face")
    worker.send_signal(signal.SIGTERM)
    ground.api.wait_for(lambda: ground.api.beats[-1][1].draining, "the word that it drains")
    late = ground.offer()
    ground.start_worker(slots=2)
    ground.api.wait_for(lambda: is_up(ground, late.session), "the other worker's face")
    assert worker.poll() is None
    assert not has_left(ground, running.session)
    ground.api.stops.append(StopOrder(running.session, 1, "over"))
    assert worker.wait(45) == 0


def test_patience_ends_and_the_session_is_handed_over(ground: Ground) -> None:
    worker = ground.start_worker(drain_s=0.5)
    claim = ground.offer()
    ground.api.wait_for(lambda: is_up(ground, claim.session), "the face")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(45) == 0
    assert left_because(ground, claim.session) == "drained"


def test_a_worker_declared_dead_exits_at_once(ground: Ground) -> None:
    worker = ground.start_worker()
    claim = ground.offer()
    ground.api.wait_for(lambda: is_up(ground, claim.session), "the face")
    ground.api.is_dead = True
    assert worker.wait(5) == EXIT_DECLARED_DEAD


def test_a_platform_that_is_away_ends_nothing_and_hears_everything_later(ground: Ground) -> None:
    ground.start_worker()
    claim = ground.offer()
    ground.api.wait_for(lambda: is_up(ground, claim.session), "the face")
    ground.api.is_away = True

    async def talk() -> None:
        redis = Redis.from_url(ground.redis_url, protocol=2)
        producer = Producer(redis, claim.session, claim.epoch)
        said = await producer.speak(sound_of(on_off_frames(SPEECH_FRAMES, 3)))
        await producer.wait_for(PlayoutFinished, said)
        await redis.aclose()

    asyncio.run(talk())
    assert EventKind.LATENCY not in ground.api.kinds(claim.session)
    ground.api.is_away = False
    ground.api.wait_for(
        lambda: EventKind.LATENCY in ground.api.kinds(claim.session), "the late report"
    )
    assert not has_left(ground, claim.session)


def test_beats_come_each_second_and_show_that_pictures_are_made(ground: Ground) -> None:
    ground.start_worker()
    claim = ground.offer()
    ground.api.wait_for(lambda: is_up(ground, claim.session), "the face")
    beats = len(ground.api.beats)
    began = time.monotonic()
    ground.api.wait_for(lambda: len(ground.api.beats) >= beats + 3, "three beats")
    assert 1.5 < time.monotonic() - began < 6.0
    last = [beat for _, beat in ground.api.beats[-3:]]
    assert last[0].render_progress < last[1].render_progress < last[2].render_progress
    assert last[-1].sessions[0].frames > last[0].sessions[0].frames
    assert last[-1].sessions[0].session == claim.session


def test_a_wrong_setting_ends_the_process_with_one_line_that_names_it() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "avatar_worker", "run"],
        env=os.environ | {"WORKER_TOKEN": "long-enough-token", "AVATAR_FPS": "30"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 2
    assert run.stderr.startswith("avatar worker: AVATAR_FPS")
    assert len(run.stderr.strip().splitlines()) == 1
