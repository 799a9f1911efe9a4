"""All sessions of this process: one event loop, one render thread, one beat.

Celery's slot threads ──serve──► loop thread (rooms, Redis, playout)
                                    │  ▲ pictures
                                 render thread
beat thread ◄── reports, figures
"""

import asyncio
import contextlib
import socket
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from redis.asyncio import Redis

from avatar_contracts.beat import (
    BeatAnswer,
    Claim,
    ClaimRequest,
    EventKind,
    SessionFigures,
    StopOrder,
    WorkerBeat,
)
from avatar_worker import observability as metrics
from avatar_worker.config import WorkerSettings
from avatar_worker.engines.base import Engine
from avatar_worker.engines.shelf import EngineShelf
from avatar_worker.platform_link import (
    BeatThread,
    LinkError,
    PlatformLink,
    RefusedError,
    exit_declared_dead,
)
from avatar_worker.publisher import LeftReason, Publisher
from avatar_worker.render.painters import choose_device
from avatar_worker.reporter import ReportQueue, SessionReporter
from avatar_worker.scheduler import Scheduler
from avatar_worker.session import Ending, Session, Surroundings
from avatar_worker.slots import Capacity

TICK_S: Final = 0.25
STUCK_S: Final = 5.0
"""Without progress for so long this process calls itself ill (the lease is lost long before)."""
CLOSE_WITHIN_S: Final = 8.0
REPORTS_A_BEAT: Final = 200

HELPERS_MAX: Final = 4
"""Beside a GPU: hearing takes a sixth of a core for a session that speaks."""

log = structlog.get_logger()


def helpers_beside(device: str, cores: int) -> int:
    """Threads for what is not drawing. On a CPU one: it fills the core that waits while the other
    does what only one can, a quarter more pictures when there is no time for all."""
    if choose_device(device).type == "cpu":
        return min(1, cores - 1)
    return max(1, min(HELPERS_MAX, cores // 2))


@dataclass(slots=True)
class _Serving:
    """A claimed session. It is in the beats from the claim on, before it is up."""

    claim: Claim
    session: Session | None = None
    ending: Ending | None = None


class SessionHost:
    """Serves sessions until it is closed. `serve` blocks; the rest is for any thread."""

    def __init__(
        self, settings: WorkerSettings, capacity: Capacity, *, link: PlatformLink | None = None
    ) -> None:
        self.worker_id = f"{socket.gethostname()[:40]}-{uuid.uuid4().hex[:10]}"
        self.is_draining = False
        self._settings = settings
        self._capacity = capacity
        self._link = link or PlatformLink(
            settings.platform_url, settings.worker_token.get_secret_value()
        )
        self._scheduler = Scheduler(
            helpers=helpers_beside(settings.avatar_device, settings.render_threads)
        )
        self._shelf = EngineShelf(
            self._fetch,
            device=settings.avatar_device,
            threads=settings.render_threads,
            hubert=settings.avatar_hubert_model,
        )
        self._beats = BeatThread(
            self._link,
            make=self._make_beat,
            on_answer=self._handle_answer,
        )
        self._reports = ReportQueue(self._beats.hurry)
        self._serving: dict[tuple[str, int], _Serving] = {}
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._loop_thread = threading.Thread(target=self._run_loop, name="loop", daemon=True)
        self._loaders = ThreadPoolExecutor(max_workers=2, thread_name_prefix="load")
        self._around: Surroundings | None = None
        self._loop_ticked_s = time.monotonic()
        self._progress = _Progress()

    def start(self) -> None:
        """Threads up; returns when sessions can be served."""
        self._scheduler.start()
        self._loop_thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()
        self._beats.start()
        metrics.SLOTS.set(self._capacity.slots)
        log.info("worker started", worker_id=self.worker_id, slots=self._capacity.slots)

    def close(self) -> None:
        """End what still runs and say so. May be called twice."""
        self.is_draining = True
        self.end_all(Ending.DRAINED)
        deadline = time.monotonic() + CLOSE_WITHIN_S
        while self._serving and time.monotonic() < deadline:
            time.sleep(0.02)
        self._beats.close()
        self._link.close()
        if self._loop_thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(CLOSE_WITHIN_S)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._loop_thread.join(CLOSE_WITHIN_S)
        self._scheduler.close()
        self._loaders.shutdown(wait=False, cancel_futures=True)

    def serve(self, session: str, epoch: int) -> Ending | None:
        """Claim a session and serve it to its end; None when it is not ours to serve.

        A task may come twice, late, or for an epoch that is over: the claim decides.
        """
        began_s = time.monotonic()
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(session_id=session, epoch=epoch)
        try:
            asked = self._link.claim(ClaimRequest(self.worker_id, session, epoch))
        except RefusedError:
            log.info("session not ours")
            return None
        except LinkError as error:
            log.warning("session not claimed", error=str(error))
            return None
        claim = self._capacity.fitted(asked)
        key = (claim.session, claim.epoch)
        with self._lock:
            self._serving[key] = _Serving(claim)
        try:
            run = self._run_session(self._serving[key], began_s)
            return asyncio.run_coroutine_threadsafe(run, self._loop).result()
        finally:
            with self._lock:
                del self._serving[key]
            self._beats.hurry()

    def end_all(self, ending: Ending) -> None:
        """Ask every session to end."""
        for serving in self._snapshot():
            self._end(serving, ending)

    @property
    def running(self) -> int:
        """How many sessions are being served."""
        return len(self._serving)

    def problem(self) -> str | None:
        """What is wrong with this process, None when it works."""
        now = time.monotonic()
        if now - self._loop_ticked_s > STUCK_S:
            return "the event loop is stuck"
        if now - self._progress.advanced_s(self._scheduler.progress) > STUCK_S:
            return "the render loop is stuck"
        return None

    # --- the loop thread ------------------------------------------------------------------------

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _open(self) -> None:
        redis = Redis.from_url(
            self._settings.redis_url.get_secret_value(),
            protocol=2,
            socket_timeout=5,
            socket_connect_timeout=2,
            socket_keepalive=True,
            health_check_interval=10,
        )
        self._around = Surroundings(redis, self._scheduler, self._make_room)
        self._ticker = asyncio.create_task(self._tick(), name="tick")

    async def _close(self) -> None:
        self._ticker.cancel()
        if self._around is not None:
            await self._around.redis.aclose()

    async def _tick(self) -> None:
        """Proof that the loop turns; without it the render loop's progress is not reported."""
        while True:
            self._loop_ticked_s = time.monotonic()
            await asyncio.sleep(TICK_S)

    async def _run_session(self, serving: _Serving, began_s: float) -> Ending:
        assert self._around is not None, "start first"
        claim = serving.claim
        reporter = SessionReporter(self._reports, claim.session, claim.epoch, self.worker_id)
        try:
            session = Session(claim, self._around, reporter, began_s=began_s)
        except Exception as error:  # a claim that makes no sense must not keep the slot
            log.exception("session refused")
            reporter.report(EventKind.AVATAR_FAILED, reason=str(error)[:300])
            return Ending.FAILED
        serving.session = session
        if serving.ending is not None:
            session.end(serving.ending)
        engine: asyncio.Future[Engine] = self._loop.run_in_executor(
            self._loaders, self._shelf.take, claim
        )
        try:
            return await session.run(engine)
        finally:
            with contextlib.suppress(Exception):
                await engine
                self._shelf.give_back(claim)

    def _make_room(self, claim: Claim, on_left: Callable[[LeftReason], None]) -> Publisher:
        return Publisher(
            width=claim.width,
            height=claim.height,
            codec=self._settings.avatar_video_codec,
            video_bitrate=self._settings.avatar_video_bitrate,
            on_left=on_left,
        )

    # --- the platform ---------------------------------------------------------------------------

    def _fetch(self, character: str, sha256: str) -> Path:
        folder = self._settings.avatar_cache_dir / "bundles"
        return self._link.fetch_bundle(character, sha256, folder)

    def _make_beat(self) -> WorkerBeat:
        serving = self._snapshot()
        figures = tuple(_figures(one) for one in serving)
        metrics.QUEUED_AUDIO.set(sum(f.queued_audio_s for f in figures))
        metrics.READY_PICTURES.set(sum(s.session.ready_pictures for s in serving if s.session))
        is_turning = time.monotonic() - self._loop_ticked_s < 2 * TICK_S + 1.0
        return WorkerBeat(
            worker=self.worker_id,
            host=socket.gethostname(),
            device=self._settings.avatar_device,
            worker_class=self._settings.avatar_class,
            slots=self._capacity.slots,
            render_progress=self._progress.report(self._scheduler.progress, is_turning=is_turning),
            draining=self.is_draining,
            characters=self._shelf.characters(),
            sessions=figures,
            reports=self._reports.peek(REPORTS_A_BEAT),
        )

    def _handle_answer(self, beat: WorkerBeat, answer: BeatAnswer) -> None:
        if answer.dead:
            exit_declared_dead()
        self._reports.confirm(beat.reports)
        for order in answer.stop:
            self._stop(order)

    def _stop(self, order: StopOrder) -> None:
        with self._lock:
            serving = self._serving.get((order.session, order.epoch))
        if serving is not None:
            self._end(serving, Ending.STOPPED)

    def _end(self, serving: _Serving, ending: Ending) -> None:
        serving.ending = ending
        if serving.session is not None:
            self._loop.call_soon_threadsafe(serving.session.end, ending)

    def _snapshot(self) -> list[_Serving]:
        with self._lock:
            return list(self._serving.values())


class _Progress:
    """The render loop's count as the platform gets it: it stands still when the loop does."""

    def __init__(self) -> None:
        self._seen = -1
        self._advanced_s = time.monotonic()
        self._reported = 0

    def advanced_s(self, progress: int) -> float:
        """When the count was last seen to have grown."""
        if progress != self._seen:
            self._seen = progress
            self._advanced_s = time.monotonic()
        return self._advanced_s

    def report(self, progress: int, *, is_turning: bool) -> int:
        if is_turning:
            self._reported = progress
        return self._reported


def _figures(serving: _Serving) -> SessionFigures:
    if serving.session is not None:
        return serving.session.figures()
    claim = serving.claim
    return SessionFigures(claim.session, claim.epoch, 0.0, 0, 0, 0, False, 0.0)
