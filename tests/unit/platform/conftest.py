"""The platform in one process: fakes at its edges, a clock that stands, memory instead of Redis."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.core.cache import cache

from avatar_contracts import codec
from avatar_contracts.beat import (
    BeatAnswer,
    Claim,
    ClaimRequest,
    EventKind,
    SessionFigures,
    WorkerBeat,
)
from avatar_contracts.messages import SessionReport
from avatar_platform import clock as platform_clock
from avatar_platform import gateways
from avatar_platform.config import get_settings
from avatar_platform.sessions import events
from avatar_platform.sessions.models import Session
from tests import factories
from tests.fakes.clock import FakeClock
from tests.fakes.gateways import FakeCommands, FakeOutbound, FakeTasks
from tests.fakes.livekit import FakeRooms

WORKER_TOKEN = "worker-token-of-the-tests"


@dataclass(frozen=True)
class World:
    """Everything around the platform, and the clock it goes by."""

    rooms: FakeRooms
    commands: FakeCommands
    tasks: FakeTasks
    outbound: FakeOutbound
    clock: FakeClock


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch, settings, tmp_path: Path) -> Iterator[None]:
    """Settings of the tests, whatever the machine's environment says."""
    monkeypatch.setenv("WORKER_TOKEN", WORKER_TOKEN)
    monkeypatch.setenv("DEMO_PAGE", "true")
    get_settings.cache_clear()
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    settings.MEDIA_ROOT = tmp_path / "media"
    settings.AXES_ENABLED = False
    cache.clear()
    yield
    get_settings.cache_clear()


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch, configured: None) -> Iterator[World]:
    time = FakeClock()
    monkeypatch.setattr(platform_clock, "now", time.now)
    made = World(FakeRooms(), FakeCommands(), FakeTasks(), FakeOutbound(), time)
    with gateways.use(gateways.Gateways(made.rooms, made.commands, made.tasks, made.outbound)):
        yield made


@pytest.fixture
def ada(db: None) -> factories.Person:
    return factories.ada()


@pytest.fixture
def cleo(db: None) -> factories.Person:
    return factories.cleo()


@pytest.fixture
def committed(django_capture_on_commit_callbacks) -> Callable[[], object]:
    """A block after which everything that waits for the commit has run."""
    return lambda: django_capture_on_commit_callbacks(execute=True)


class Worker:
    """Plays an avatar worker over the internal API."""

    def __init__(self, client, name: str = "worker-1") -> None:
        self.name = name
        self.progress = 0
        self.held: dict[str, int] = {}
        self._client = client
        self._headers = {"authorization": f"Bearer {WORKER_TOKEN}"}

    def post(self, path: str, message: object):
        return self._client.post(
            f"/internal/v1/{path}",
            data=codec.to_json(message),
            content_type="application/json",
            headers=self._headers,
        )

    def get(self, path: str):
        return self._client.get(f"/internal/v1/{path}", headers=self._headers)

    def beat(self, *reports: SessionReport, rendering: bool = True, slots: int = 2) -> BeatAnswer:
        self.progress += 1 if rendering else 0
        told = WorkerBeat(
            worker=self.name,
            host="here",
            device="cpu",
            worker_class="default",
            slots=slots,
            render_progress=self.progress,
            sessions=tuple(
                SessionFigures(session, epoch, 25.0, 1, 0, 0, False, 0.0)
                for session, epoch in self.held.items()
            ),
            reports=reports,
        )
        answer = self.post("beat", told)
        assert answer.status_code == 200, answer.content
        return codec.from_json(BeatAnswer, answer.content)

    def claim(self, session: object, epoch: int = 1) -> Claim | None:
        answer = self.post("claim", ClaimRequest(self.name, str(session), epoch))
        if answer.status_code == 409:
            return None
        assert answer.status_code == 200, answer.content
        self.held[str(session)] = epoch
        return codec.from_json(Claim, answer.content)


@pytest.fixture
def worker(client, db: None) -> Worker:
    return Worker(client)


def tell(
    session: Session | str, kind: EventKind, *, epoch: int = 1, key: str = "", **data: object
) -> bool:
    """Apply one report, as a worker would make it."""
    name = str(session.pk) if isinstance(session, Session) else session
    key = key or f"{kind.value}:{epoch}:{sorted(data.items())}"
    return events.apply_report(
        SessionReport(name, epoch, key, kind.value, at_ms=1_800_000_000_000, data=data)
    )


def bring_up(world: World, worker: Worker, person: factories.Person, **wish: object) -> Session:
    """A session that is ready: claimed, agent and avatar in the room, first picture shown."""
    body = {"character": "test-card", **wish}
    session = Session.objects.get(pk=person.post("/sessions", body).json()["id"])
    worker.beat()
    assert worker.claim(session.pk) is not None
    world.rooms.join(session.room, f"agent-{session.pk}", is_agent=True)
    tell(session, EventKind.AGENT_JOINED)
    tell(session, EventKind.FIRST_FRAME)
    session.refresh_from_db()
    assert session.status == "ready"
    return session
