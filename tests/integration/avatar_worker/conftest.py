"""A real avatar worker between a real Redis, a real LiveKit and a platform of the test's own."""

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from celery import Celery

from avatar_contracts.beat import Claim
from avatar_contracts.identities import agent_identity, avatar_identity
from avatar_contracts.streams import BROKER_KEY_PREFIX, TASK_RUN_SESSION, avatar_queue
from avatar_platform.local.engines import LiveKitAddress
from tests.bench.live.rooms import create_room, token
from tests.fakes.platform_api import TOKEN, PlatformApi


@dataclass
class Ground:
    """Offers sessions and starts workers, of a class of this test's own."""

    api: PlatformApi
    livekit: LiveKitAddress
    redis_url: str
    folder: Path
    cache: Path
    worker_class: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def offer(
        self,
        *,
        epoch: int = 1,
        session: str = "",
        size: int = 128,
        bundle: Path | None = None,
        options: dict[str, object] | None = None,
    ) -> Claim:
        """A queued session with its room; its task is put on the queue.

        With a bundle archive its character is shown, else the test card.
        """
        name = session or uuid.uuid4().hex
        asyncio.run(create_room(self.livekit, f"room-{name}"))
        identity = avatar_identity(name)
        claim = Claim(
            session=name,
            epoch=epoch,
            livekit_url=self.livekit.url,
            room=f"room-{name}",
            token=token(self.livekit, f"room-{name}", identity, is_avatar=True),
            avatar_identity=identity,
            agent_identity=agent_identity(name),
            character="version-1" if bundle else "test-card",
            bundle_sha256=hashlib.sha256(bundle.read_bytes()).hexdigest() if bundle else "",
            engine="synctalk" if bundle else "test-card",
            width=size,
            height=size,
            options=options or {},
        )
        if bundle:
            self.api.bundles["version-1"] = bundle
        self.api.offered[name, epoch] = claim
        self.send(name, epoch)
        return claim

    def send(self, session: str, epoch: int) -> None:
        app = Celery(broker=self.redis_url)
        app.conf.broker_transport_options = {"global_keyprefix": BROKER_KEY_PREFIX}
        queue = avatar_queue(self.worker_class)
        app.send_task(TASK_RUN_SESSION, (session, epoch), queue=queue, ignore_result=True)
        app.close()

    def start_worker(self, *, slots: int = 2, drain_s: float = 20) -> subprocess.Popen[bytes]:
        env = os.environ | {
            "REDIS_URL": self.redis_url,
            "PLATFORM_URL": self.api.url,
            "WORKER_TOKEN": TOKEN,
            "AVATAR_CLASS": self.worker_class,
            "AVATAR_SLOTS": str(slots),
            "AVATAR_HEALTH_PORT": "0",
            "AVATAR_DRAIN_S": str(drain_s),
            "AVATAR_CACHE_DIR": str(self.cache),
        }
        log = (self.folder / f"worker{len(self.processes)}.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, "-m", "avatar_worker", "run"],
            env=env,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        log.close()
        self.processes.append(process)
        return process

    def log(self, index: int = 0) -> str:
        return (self.folder / f"worker{index}.log").read_text(errors="replace")


@pytest.fixture(scope="session")
def worker_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all workers of a run: the kernel is compiled into it once."""
    return tmp_path_factory.mktemp("worker-cache")


@pytest.fixture
def ground(
    redis_url: str, livekit: LiveKitAddress, tmp_path: Path, worker_cache: Path
) -> Iterator[Ground]:
    with PlatformApi() as api:
        ground = Ground(api, livekit, redis_url, tmp_path, worker_cache)
        yield ground
        for process in ground.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()


@pytest.fixture
def eventually(ground: Ground) -> Callable[[Callable[[], bool], str], float]:
    return ground.api.wait_for
