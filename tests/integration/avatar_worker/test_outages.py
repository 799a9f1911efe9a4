"""Redis goes away in the middle of a sentence."""

import asyncio
import signal
from pathlib import Path

import pytest
from redis.asyncio import Redis

from avatar_contracts.beat import EventKind
from avatar_contracts.messages import PlayoutFinished, PlayoutStarted
from avatar_platform.local.engines import LiveKitAddress, free_port, redis_process
from avatar_platform.local.processes import wait_for_port
from tests.bench.live.pattern import on_off_frames, sound_of
from tests.bench.live.producer import Producer
from tests.fakes.platform_api import PlatformApi
from tests.integration.avatar_worker.conftest import Ground

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


def test_speech_that_was_read_is_heard_to_its_end_while_redis_restarts(
    livekit: LiveKitAddress, tmp_path: Path, worker_cache: Path
) -> None:
    port = free_port(0)
    redis = redis_process(port, tmp_path / "redis", tmp_path / "redis.log")
    with PlatformApi() as api, redis:
        wait_for_port(port, redis)
        ground = Ground(api, livekit, f"redis://127.0.0.1:{port}/0", tmp_path, worker_cache)
        worker = ground.start_worker()
        claim = ground.offer()
        try:
            api.wait_for(lambda: EventKind.FIRST_FRAME in api.kinds(claim.session), "the face", 90)
            asyncio.run(_talk_through_a_restart(ground, claim.session, redis, port))
            later = ground.offer()
            api.wait_for(
                lambda: EventKind.FIRST_FRAME in api.kinds(later.session), "the next session"
            )
            assert EventKind.AVATAR_LEFT not in api.kinds(claim.session)
        finally:
            worker.send_signal(signal.SIGKILL)
            worker.wait()


async def _talk_through_a_restart(ground: Ground, session: str, redis, port: int) -> None:
    client = Redis.from_url(ground.redis_url, protocol=2, retry_on_error=[ConnectionError])
    producer = Producer(client, session, 1)
    said = await producer.speak(sound_of(on_off_frames(150, 1)))
    await producer.wait_for(PlayoutStarted, said, within_s=60)
    redis.stop(grace_s=0)  # at once, by SIGKILL
    redis.start()
    wait_for_port(port, redis)
    await producer.wait_for(PlayoutFinished, said)
    again = await producer.speak(sound_of(on_off_frames(50, 2)))
    await producer.wait_for(PlayoutFinished, again)
    finished = [m for _, m in producer.played if isinstance(m, PlayoutFinished)]
    # 150 and 50 frames of 40 ms, each told once
    assert [(m.segment, m.position_s, m.interrupted) for m in finished] == [
        (1, 6.0, False),
        (2, 2.0, False),
    ]
    await client.aclose()
