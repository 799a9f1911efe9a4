"""A session's beginning and end, between fakes: what it is asked for, and what it reports."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import fakeredis
import pytest

from avatar_contracts.beat import Claim, EventKind
from avatar_worker.engines.base import Engine, OptionError
from avatar_worker.reporter import ReportQueue, SessionReporter
from avatar_worker.scheduler import Scheduler
from avatar_worker.session import Ending, Session, Surroundings
from tests.fakes.renderer import FakeEngine, FakeFace
from tests.fakes.tracks import FakeTracks

pytestmark = pytest.mark.unit

CLAIM = Claim("s", 1, "ws://lk", "room", "jwt", "avatar-s", "agent-s", "v1", "", "fake", 4, 4)


class Room(FakeTracks):
    """A room that anybody may join."""

    is_left = False

    async def join(self, url: str, token: str) -> None:
        return

    async def aclose(self) -> None:
        self.is_left = True


class SilentRedis(fakeredis.FakeAsyncRedis):
    """Nobody ever says anything; the fake's own wait would not let itself be cancelled."""

    async def xread(self, *_: object, **__: object) -> None:
        await asyncio.Event().wait()


class ChoosyEngine(FakeEngine):
    """Remembers what it was opened with; refuses a colour."""

    def __init__(self) -> None:
        super().__init__()
        self.is_open = asyncio.Event()

    def open(self, options: dict[str, object]) -> FakeFace:
        self.opened = options
        self.is_open.set()
        if "colour" in options:
            raise OptionError("there is no option 'colour'")
        return super().open(options)


@pytest.fixture
async def around() -> AsyncIterator[Surroundings]:
    scheduler = Scheduler()
    scheduler.start()
    redis = SilentRedis()
    yield Surroundings(redis, scheduler, lambda *_: Room())
    await redis.aclose()
    scheduler.close()


def loaded(engine: Engine) -> "asyncio.Future[Engine]":
    future: asyncio.Future[Engine] = asyncio.get_running_loop().create_future()
    future.set_result(engine)
    return future


async def test_the_options_of_the_claim_reach_the_engine(around: Surroundings) -> None:
    engine, reports = ChoosyEngine(), ReportQueue(lambda: None)
    claim = replace(CLAIM, options={"preset": "serious"})
    session = Session(
        claim, around, SessionReporter(reports, "s", 1, "w"), began_s=time.monotonic()
    )
    session._room.start()
    running = asyncio.create_task(session.run(loaded(engine)))
    async with asyncio.timeout(5):
        await engine.is_open.wait()
    session.end(Ending.STOPPED)
    assert await running is Ending.STOPPED
    assert engine.opened == {"preset": "serious"}


async def test_an_option_that_is_refused_ends_the_session_at_once_with_the_engines_words(
    around: Surroundings,
) -> None:
    reports = ReportQueue(lambda: None)
    claim = replace(CLAIM, options={"colour": "blue"})
    session = Session(
        claim, around, SessionReporter(reports, "s", 1, "w"), began_s=time.monotonic()
    )
    async with asyncio.timeout(5):
        assert await session.run(loaded(ChoosyEngine())) is Ending.FAILED
    assert session._room.is_left
    told = {report.kind: report.data for report in reports.peek(9)}
    assert told[EventKind.AVATAR_FAILED] == {
        "reason": "OPTIONS_REFUSED",
        "message": "there is no option 'colour'",
    }
    assert EventKind.AVATAR_LEFT not in told
