"""One session: wires room, inbox, drawing, playout and outbox together, and owns nothing clever."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Final, Protocol

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from avatar_contracts.beat import Claim, EventKind, SessionFigures
from avatar_contracts.messages import (
    PlayoutMessage,
    PlayoutReady,
    PlayoutStarted,
)
from avatar_contracts.states import EndReason
from avatar_contracts.streams import audio_key, playout_key
from avatar_worker import observability as metrics
from avatar_worker.drawing import Drawing
from avatar_worker.engines.base import Engine, OptionError
from avatar_worker.inbox import Inbox
from avatar_worker.outbox import Outbox
from avatar_worker.playout import Outlet, Playout
from avatar_worker.publisher import LeftReason, PublishError
from avatar_worker.reporter import SessionReporter
from avatar_worker.scheduler import Scheduler

FIRST_PICTURE_WAIT_S: Final = 15.0
WATCH_INTERVAL_S: Final = 0.25

log = structlog.get_logger()


class Ending(StrEnum):
    """Why this worker no longer serves the session."""

    STOPPED = "stopped"
    DRAINED = "drained"
    EVICTED = "evicted"
    ROOM_GONE = "room_gone"
    CONNECTION_LOST = "connection_lost"
    FAILED = "failed"


class Room(Outlet, Protocol):
    """A room that can be joined and left; `publisher.Publisher` is one."""

    async def join(self, url: str, token: str) -> None: ...
    async def aclose(self) -> None: ...


RoomMaker = Callable[[Claim, Callable[[LeftReason], None]], Room]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all sessions of this process share."""

    redis: Redis
    scheduler: Scheduler
    make_room: RoomMaker


class Session:
    """From the claim to the end. `run` is awaited by the task that holds the slot."""

    def __init__(
        self, claim: Claim, around: Surroundings, reporter: SessionReporter, *, began_s: float
    ) -> None:
        self.claim = claim
        self._around = around
        self._reporter = reporter
        self._began_s = began_s
        self._ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._room = around.make_room(claim, self._handle_left)
        self._outbox = Outbox(around.redis, playout_key(claim.session, claim.epoch))
        self._playout = Playout(self._room, self._handle_playout)
        self._drawing: Drawing | None = None
        self._first_picture = asyncio.Event()
        self._rate = _Rate()

    def end(self, ending: Ending) -> None:
        """Ask the session to end. The first reason counts; on the loop."""
        if not self._ending.done():
            self._ending.set_result(ending)

    @property
    def ready_pictures(self) -> int:
        """Pictures drawn and waiting to be shown."""
        return self._drawing.ready if self._drawing is not None else 0

    def figures(self) -> SessionFigures:
        """How the session is doing, for the beat."""
        shown = self._playout.pictures.counts
        return SessionFigures(
            session=self.claim.session,
            epoch=self.claim.epoch,
            fps=self._rate.update(shown.shown),
            frames=shown.shown,
            skipped=shown.repeated,
            late=shown.late,
            speaking=self._playout.is_speaking,
            queued_audio_s=round(self._playout.queued_s, 3),
        )

    async def run(self, engine: "asyncio.Future[Engine]") -> Ending:
        """Join, draw, publish, until somebody ends it.

        Args:
            engine: the character, perhaps still being loaded while the room is joined.
        """
        structlog.contextvars.bind_contextvars(
            session_id=self.claim.session, epoch=self.claim.epoch
        )
        tasks: list[asyncio.Task[None]] = [asyncio.create_task(self._outbox.run(), name="outbox")]
        metrics.SESSIONS.inc()
        try:
            await self._open(engine)
            tasks += [
                asyncio.create_task(self._playout.run(), name="playout"),
                asyncio.create_task(self._inbox().run(), name="inbox"),
                asyncio.create_task(self._watch(), name="watch"),
            ]
            ending = await self._until_the_end(tasks)
        except _EndedEarlyError as ended:
            ending = ended.ending
        except OptionError as error:
            log.warning("session refused", reason=str(error))
            self._reporter.report(
                EventKind.AVATAR_FAILED,
                reason=EndReason.OPTIONS_REFUSED.value,
                message=str(error)[:300],
            )
            ending = Ending.FAILED
        except (PublishError, Exception) as error:
            log.exception("session failed")
            self._reporter.report(EventKind.AVATAR_FAILED, reason=_sentence(error))
            ending = Ending.FAILED
        finally:
            metrics.SESSIONS.dec()
            await self._close(tasks)
        if ending is not Ending.FAILED:
            self._reporter.report(EventKind.AVATAR_LEFT, reason=ending.value)
        log.info("session left", reason=ending.value)
        return ending

    async def _open(self, engine: "asyncio.Future[Engine]") -> None:
        """Join the room while the character loads; then draw the first picture."""
        join = asyncio.ensure_future(self._room.join(self.claim.livekit_url, self.claim.token))
        opened: asyncio.Future[Any] = asyncio.gather(join, engine)
        await asyncio.wait({opened, self._ending}, return_when=asyncio.FIRST_COMPLETED)
        if self._ending.done():
            opened.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await opened
            raise _EndedEarlyError(self._ending.result())
        await opened
        self._reporter.report(EventKind.AVATAR_JOINED)
        loaded = engine.result()
        loop = asyncio.get_running_loop()
        self._drawing = Drawing(
            loaded,
            loaded.open(dict(self.claim.options)),
            time_of_slot=self._playout.pictures.time_of_slot,
            on_ready=partial(_call, loop, self._handle_ready),
            wake=self._around.scheduler.wake,
        )
        self._playout.attach(self._drawing)
        self._around.scheduler.add(self._drawing)
        async with asyncio.timeout(FIRST_PICTURE_WAIT_S):
            await self._first_picture.wait()
        if self._drawing.failure is not None:
            raise self._drawing.failure

    async def _until_the_end(self, tasks: list[asyncio.Task[None]]) -> Ending:
        """The end that was asked for; a task that dies raises its error instead."""
        awaited: set[asyncio.Future[Any]] = {self._ending, *tasks}
        await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
        return await self._ending

    async def _watch(self) -> None:
        """A renderer that gave up on this session ends it."""
        while self._drawing is None or self._drawing.failure is None:  # noqa: ASYNC110  # a thread sets it
            await asyncio.sleep(WATCH_INTERVAL_S)
        raise self._drawing.failure

    async def _close(self, tasks: list[asyncio.Task[None]]) -> None:
        """Leave nothing behind: every open segment is told, the room is left, the sound deleted."""
        if self._drawing is not None:
            self._playout.close()
            self._around.scheduler.remove(self._drawing)
        await self._outbox.drain()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._room.aclose()
        with contextlib.suppress(RedisError, OSError):
            await self._around.redis.delete(audio_key(self.claim.session, self.claim.epoch))

    def _inbox(self) -> Inbox:
        key = audio_key(self.claim.session, self.claim.epoch)
        return Inbox(self._around.redis, key, self._playout)

    def _handle_ready(self) -> None:
        self._first_picture.set()
        self._playout.picture_ready()

    def _handle_left(self, reason: LeftReason) -> None:
        self.end(
            {
                LeftReason.EVICTED: Ending.EVICTED,
                LeftReason.ROOM_GONE: Ending.ROOM_GONE,
                LeftReason.CONNECTION_LOST: Ending.CONNECTION_LOST,
            }[reason]
        )

    def _handle_playout(self, message: PlayoutMessage) -> None:
        """To the agent by stream, and the parts that matter to the platform by report."""
        self._outbox.put(message)
        if isinstance(message, PlayoutReady):
            took_s = time.monotonic() - self._began_s
            metrics.PROVISION_SECONDS.observe(took_s)
            self._reporter.report(EventKind.FIRST_FRAME, provision_ms=round(took_s * 1000))
        elif isinstance(message, PlayoutStarted):
            latency_s = self._playout.counts.start_latency_s or 0.0
            self._reporter.report(EventKind.LATENCY, name="start_ms", ms=round(latency_s * 1000, 1))


class _EndedEarlyError(Exception):
    """The end came before the session was up."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.value)
        self.ending = ending


class _Rate:
    """Pictures a second between two looks."""

    def __init__(self) -> None:
        self._at_s = time.monotonic()
        self._shown = 0
        self._fps = 0.0

    def update(self, shown: int) -> float:
        now = time.monotonic()
        if now - self._at_s >= WATCH_INTERVAL_S:
            self._fps = round((shown - self._shown) / (now - self._at_s), 1)
            self._at_s, self._shown = now, shown
        return self._fps


def _call(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    """From another thread; a loop that is closing no longer cares."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback)


def _sentence(error: BaseException) -> str:
    """One line about an error, for people; group errors tell their first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"[:300]
