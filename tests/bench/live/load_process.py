"""Sessions of the shipped character in one worker process, without task queue and platform.

Prints `ready` when every session shows its face and `measured`, with what it measured as JSON,
some seconds after all of them speak.

    python -m tests.bench.live.load_process CLAIMS.json REDIS_URL DEVICE SECONDS
"""

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from redis.asyncio import Redis

from avatar_contracts.beat import Claim
from avatar_contracts.codec import from_json
from avatar_worker import session as sessions
from avatar_worker.config import VideoCodec
from avatar_worker.engines.shelf import EngineShelf
from avatar_worker.host import helpers_beside
from avatar_worker.observability import configure_logging
from avatar_worker.publisher import LeftReason, Publisher
from avatar_worker.reporter import ReportQueue, SessionReporter
from avatar_worker.scheduler import Scheduler

SHIPPED_CHARACTER = Path("avatar_worker") / "characters" / "mira"
POLL_S = 0.1
SETTLE_S = 2.0


def make_room(claim: Claim, on_left: Callable[[LeftReason], None]) -> Publisher:
    return Publisher(
        width=claim.width,
        height=claim.height,
        codec=VideoCodec.VP8,
        video_bitrate=1_500_000,
        on_left=on_left,
    )


async def serve(claims: list[Claim], redis_url: str, device: str, seconds: float) -> None:
    configure_logging(as_json=False, level="WARNING")
    cores = len(os.sched_getaffinity(0))
    scheduler = Scheduler(helpers=helpers_beside(device, cores))
    scheduler.start()
    shelf = EngineShelf(lambda _name, _sha: SHIPPED_CHARACTER, device=device, threads=cores)
    redis = Redis.from_url(redis_url, protocol=2, socket_timeout=5)
    around = sessions.Surroundings(redis, scheduler, make_room)
    loop = asyncio.get_running_loop()
    loaders = ThreadPoolExecutor(1)
    runs = []
    for claim in claims:
        reporter = SessionReporter(ReportQueue(lambda: None), claim.session, claim.epoch, "bench")
        run = sessions.Session(claim, around, reporter, began_s=time.monotonic())
        engine = loop.run_in_executor(loaders, shelf.take, claim)
        runs.append((run, asyncio.create_task(run.run(engine))))
    await until(lambda: all(run.figures().frames > 0 for run, _ in runs))
    print("ready", flush=True)
    await until(lambda: all(run.figures().speaking for run, _ in runs))
    await asyncio.sleep(SETTLE_S)
    before, began_s, used_s = [r.figures() for r, _ in runs], time.monotonic(), time.process_time()
    await asyncio.sleep(seconds)
    after = [r.figures() for r, _ in runs]
    took_s, used_s = time.monotonic() - began_s, time.process_time() - used_s
    rates = [(b.frames - a.frames) / took_s for a, b in zip(before, after, strict=True)]
    measured = {
        "fps_least": round(min(rates), 2),
        "fps_median": round(statistics.median(rates), 2),
        "skipped": sum(b.skipped - a.skipped for a, b in zip(before, after, strict=True)),
        "late": sum(b.late - a.late for a, b in zip(before, after, strict=True)),
        "cores": round(used_s / took_s, 2),
        "all_speak": all(figures.speaking for figures in after),
    }
    print("measured", json.dumps(measured), flush=True)
    for run, task in runs:
        run.end(sessions.Ending.STOPPED)
        await task
    await redis.aclose()
    scheduler.close()


async def until(is_true: Callable[[], bool]) -> None:
    while not is_true():  # noqa: ASYNC110  # other threads make it true
        await asyncio.sleep(POLL_S)


if __name__ == "__main__":
    asyncio.run(
        serve(
            [from_json(Claim, text) for text in json.loads(Path(sys.argv[1]).read_text())],
            sys.argv[2],
            sys.argv[3],
            float(sys.argv[4]),
        )
    )
