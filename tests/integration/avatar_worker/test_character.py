"""A trained character, fetched from the platform and shown live."""

import asyncio
import zipfile
from pathlib import Path

import numpy as np
import pytest
from livekit import rtc
from redis.asyncio import Redis

from avatar_contracts.beat import EventKind, StopOrder
from avatar_contracts.messages import PlayoutFinished
from avatar_worker.import_bundle import BundleOptions, write_bundle
from avatar_worker.trained import open_trained
from tests.bench.live.pattern import on_off_frames, sound_of
from tests.bench.live.producer import Producer
from tests.bench.live.rooms import token
from tests.integration.avatar_worker.conftest import Ground
from tests.unit.avatar_worker import mini

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    options = BundleOptions(name="mini", licence="Apache-2.0", consent="drawn, nobody")
    trained = open_trained(mini.DATA, mini.WORKSPACE)
    write_bundle(trained, folder / "mini", options, encoder=mini.ENCODER)
    path = folder / "mini.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted((folder / "mini").rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder / "mini").as_posix())
    return path


def test_a_trained_character_is_fetched_once_and_speaks(ground: Ground, archive: Path) -> None:
    ground.start_worker()
    claim = ground.offer(bundle=archive, size=256)

    async def watch() -> list[np.ndarray]:
        pictures: list[np.ndarray] = []
        streams: list[asyncio.Task[None]] = []

        async def look(track: rtc.Track) -> None:
            async for event in rtc.VideoStream(track, format=rtc.VideoBufferType.RGB24):
                size = (event.frame.height, event.frame.width, 3)
                pictures.append(np.frombuffer(event.frame.data, np.uint8).reshape(size)[::8, ::8])

        def subscribed(track: rtc.Track, *_: object) -> None:
            if track.kind == rtc.TrackKind.KIND_VIDEO:
                streams.append(asyncio.create_task(look(track)))

        room = rtc.Room()
        room.on("track_subscribed", subscribed)
        await room.connect(ground.livekit.url, token(ground.livekit, claim.room, "viewer"))
        redis = Redis.from_url(ground.redis_url, protocol=2)
        producer = Producer(redis, claim.session, claim.epoch)
        said = await producer.speak(sound_of(on_off_frames(50, 1)))
        await producer.wait_for(PlayoutFinished, said, within_s=60)
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
        await room.disconnect()
        await redis.aclose()
        return pictures

    pictures = asyncio.run(watch())
    real = [picture for picture in pictures if picture.shape == (32, 32, 3)]
    assert len(real) > 10
    assert np.std(real[-1]) > 10  # something is drawn
    assert max(np.abs(a.astype(int) - real[0]).max() for a in real) > 10  # and it moves
    second = ground.offer(bundle=archive, size=256)
    ground.api.wait_for(
        lambda: EventKind.FIRST_FRAME in ground.api.kinds(second.session), "the second face"
    )
    first_frame = {
        r.session: int(str(r.data["provision_ms"]))
        for r in ground.api.reports.values()
        if r.kind == EventKind.FIRST_FRAME
    }
    assert first_frame[second.session] < first_frame[claim.session]  # nothing to fetch or load


def test_a_session_gets_the_face_it_asked_for_or_a_sentence_why_not(
    ground: Ground, archive: Path
) -> None:
    ground.start_worker(slots=1)
    asked = {"preset": "serious", "blink_rate": 20, "blend_width": 4, "blend_feather": 6}
    served = ground.offer(bundle=archive, options=dict(asked))
    ground.api.wait_for(
        lambda: EventKind.FIRST_FRAME in ground.api.kinds(served.session), "the face"
    )
    ground.api.stops.append(StopOrder(served.session, 1, "over"))
    refused = ground.offer(bundle=archive, options={"background": "#00b140"})  # it is a portrait
    ground.api.wait_for(
        lambda: EventKind.AVATAR_FAILED in ground.api.kinds(refused.session), "the refusal"
    )
    failed = next(r for r in ground.api.reports.values() if r.kind == EventKind.AVATAR_FAILED)
    assert failed.data["reason"] == "OPTIONS_REFUSED"
    assert "background is not for portraits" in str(failed.data["message"])
    ground.api.wait_for(lambda: not ground.api.beats[-1][1].sessions, "a free slot")
