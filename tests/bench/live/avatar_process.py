"""One avatar session with the test card, as the worker runs it, without task queue and platform.

Every hand-over to LiveKit is written down; at SIGTERM the record goes to a file.

    python -m tests.bench.live.avatar_process CLAIM_JSON REDIS_URL RECORD.npz [DRAW_MS] [CODEC]
"""

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from redis.asyncio import Redis

from avatar_contracts.beat import Claim
from avatar_contracts.codec import from_json
from avatar_worker import session as sessions
from avatar_worker.config import VideoCodec
from avatar_worker.drawing import Picture
from avatar_worker.engines.base import Engine, Face, FrameRequest, Rgb
from avatar_worker.engines.test_card import TestCard
from avatar_worker.observability import configure_logging
from avatar_worker.publisher import LeftReason, Publisher
from avatar_worker.reporter import ReportQueue, SessionReporter
from avatar_worker.scheduler import Scheduler


class SlowTestCard(TestCard):
    """Takes as long for a picture as a slow renderer."""

    def __init__(self, width: int, height: int, draw_s: float) -> None:
        super().__init__(width, height)
        self._draw_s = draw_s

    def draw(self, wanted: Sequence[tuple[Face, FrameRequest]]) -> list[Rgb]:
        time.sleep(self._draw_s * len(wanted))
        return super().draw(wanted)


class RecordingPublisher(Publisher):
    """Writes down what is handed over and when."""

    pushes: list[tuple[float, bytes]]
    clears: list[tuple[float, int]]
    shows: list[tuple[float, int, bool]]

    async def push(self, pcm: bytes) -> None:
        self.pushes.append((time.monotonic(), pcm))
        await super().push(pcm)

    def clear(self) -> None:
        super().clear()
        self.clears.append((time.monotonic(), len(self.pushes)))

    def show(self, picture: Picture) -> None:
        super().show(picture)
        self.shows.append((time.monotonic(), picture.slot, picture.request.is_sounding))


async def serve(
    claim: Claim, redis_url: str, record: Path, draw_ms: float, codec: VideoCodec
) -> None:
    configure_logging(as_json=False)
    made: list[RecordingPublisher] = []

    def make_room(claim: Claim, on_left: Callable[[LeftReason], None]) -> RecordingPublisher:
        room = RecordingPublisher(
            width=claim.width,
            height=claim.height,
            codec=codec,
            video_bitrate=2_000_000,
            on_left=on_left,
        )
        room.pushes, room.clears, room.shows = [], [], []
        made.append(room)
        return room

    scheduler = Scheduler()
    scheduler.start()
    loop = asyncio.get_running_loop()
    redis = Redis.from_url(redis_url, protocol=2, socket_timeout=5)
    around = sessions.Surroundings(redis, scheduler, make_room)
    reporter = SessionReporter(ReportQueue(lambda: None), claim.session, claim.epoch, "bench")
    session = sessions.Session(claim, around, reporter, began_s=time.monotonic())
    loop.add_signal_handler(signal.SIGTERM, session.end, sessions.Ending.STOPPED)
    engine: asyncio.Future[Engine] = loop.create_future()
    card = TestCard(claim.width, claim.height)
    if draw_ms > 0:
        card = SlowTestCard(claim.width, claim.height, draw_ms / 1000)
    engine.set_result(card)
    await session.run(engine)
    figures = session.figures()
    sound = session._playout.counts
    print(
        f"frames {figures.frames} skipped {figures.skipped} late {figures.late} "
        f"starved {sound.starved} underruns {sound.underruns}",
        file=sys.stderr,
    )
    room = made[0]
    np.savez(
        record,
        push_at=[at for at, _ in room.pushes],
        pushed=np.frombuffer(b"".join(pcm for _, pcm in room.pushes), np.int16).reshape(-1, 960),
        clear_at=[at for at, _ in room.clears],
        cleared_after=[n for _, n in room.clears],
        show_at=[at for at, _, _ in room.shows],
        slot=[slot for _, slot, _ in room.shows],
        sounding=[sounding for _, _, sounding in room.shows],
    )
    await redis.aclose()
    scheduler.close()


if __name__ == "__main__":
    asyncio.run(
        serve(
            from_json(Claim, sys.argv[1]),
            sys.argv[2],
            Path(sys.argv[3]),
            float(sys.argv[4]) if len(sys.argv) > 4 else 0.0,
            VideoCodec(sys.argv[5]) if len(sys.argv) > 5 else VideoCodec.VP8,
        )
    )
