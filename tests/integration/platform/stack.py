"""The control plane as it is deployed, on free ports: web, control worker, beat, Redis, LiveKit.

The workers are played by the test, over the internal API, as a real one would call it.
"""

import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from avatar_contracts import codec
from avatar_contracts.beat import (
    BeatAnswer,
    Claim,
    ClaimRequest,
    EventKind,
    SessionFigures,
    WorkerBeat,
)
from avatar_contracts.internal import BEAT_PATH, CLAIM_PATH, REPORTS_PATH, conversation_path
from avatar_contracts.messages import Conversation, ReportBatch, SessionReport
from avatar_platform.local.engines import LOOPBACK, free_port, livekit_server, redis_server
from avatar_platform.local.processes import ChildProcess, wait_for_port, wait_until

ROOT = Path(__file__).resolve().parents[3]
WORKER_TOKEN = "token-of-the-workers-for-this-test"


@dataclass(frozen=True)
class Stack:
    """A running control plane."""

    url: str
    redis_url: str
    env: dict[str, str]
    web: ChildProcess
    web_command: list[str]

    def manage(self, *arguments: str) -> str:
        """What a management command printed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def api(self, key: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=10)

    def internal(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {WORKER_TOKEN}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=10)


@contextmanager
def running_stack(folder: Path) -> Iterator[Stack]:
    with ExitStack() as started:
        redis_url = started.enter_context(redis_server())
        port = free_port(0)
        url = f"http://{LOOPBACK}:{port}"
        livekit = started.enter_context(livekit_server(webhook_url=f"{url}/livekit/webhook"))
        env = {
            **os.environ,
            "DJANGO_SECRET_KEY": "a-secret-key-of-the-integration-test-only-0123456789",
            "DATABASE_URL": f"sqlite:///{folder / 'platform.sqlite3'}",
            "MEDIA_ROOT": str(folder / "media"),
            "REDIS_URL": redis_url,
            "PLATFORM_URL": url,
            "WORKER_TOKEN": WORKER_TOKEN,
            "LIVEKIT_URL": livekit.url,
            "LIVEKIT_API_KEY": livekit.api_key,
            "LIVEKIT_API_SECRET": livekit.api_secret,
            "PLATFORM_LEFT_TIMEOUT_S": "3",
        }
        python = [sys.executable, "-m"]
        celery = [*python, "celery", "-A", "avatar_platform"]
        web_command = [*python, "uvicorn", "avatar_platform.asgi:application"]
        web_command += ["--host", LOOPBACK, "--port", str(port), "--no-access-log"]

        def child(name: str, command: list[str]) -> ChildProcess:
            log = folder / f"{name}.log"
            process = ChildProcess(name, command, log=log, env=env, cwd=ROOT)
            return started.enter_context(process)

        subprocess.run(
            [sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=env, check=True
        )
        web = child("web", web_command)
        control = child("control", [*celery, "worker", "-Q", "control", "-c", "2"])
        child("beat", [*celery, "beat"])
        wait_for_port(port, web)

        def ready() -> bool:
            checks = httpx.get(f"{url}/readyz", timeout=5).json()["checks"]
            return bool(checks["control_worker"] == "ok" and checks["livekit"] == "ok")

        wait_until(ready, "web and control worker serve", within_s=90, child=control)
        yield Stack(url, redis_url, env, web, web_command)


class PlayedWorker:
    """An avatar worker that draws nothing: beats, claims, reports."""

    def __init__(self, stack: Stack, slots: int = 2) -> None:
        self.id = f"played-{uuid.uuid4().hex[:8]}"
        self._http = stack.internal()
        self._slots = slots
        self._progress = 0
        self._held: dict[str, int] = {}
        self._reports: list[SessionReport] = []
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.answers: list[BeatAnswer] = []

    def __enter__(self) -> "PlayedWorker":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.freeze()

    def freeze(self) -> None:
        """No beat any more, as after `kill -9`."""
        self._stop.set()
        self._thread.join(timeout=10)

    def beat(self) -> BeatAnswer:
        with self._lock:
            self._progress += 25
            reports, self._reports = tuple(self._reports), []
            told = WorkerBeat(
                worker=self.id,
                host="test",
                device="none",
                worker_class="default",
                slots=self._slots,
                render_progress=self._progress,
                sessions=tuple(_figures(*held) for held in self._held.items()),
                reports=reports,
            )
            answer = self._http.post(BEAT_PATH, content=codec.to_json(told))
            answer.raise_for_status()
            said = codec.from_json(BeatAnswer, answer.content)
            self.answers.append(said)
            for order in said.stop:
                self._held.pop(order.session, None)
            return said

    def claim(self, session: str, epoch: int) -> Claim | None:
        """None when the platform refuses."""
        wanted = ClaimRequest(worker=self.id, session=session, epoch=epoch)
        answer = self._http.post(CLAIM_PATH, content=codec.to_json(wanted))
        if answer.status_code == 409:
            return None
        answer.raise_for_status()
        with self._lock:
            self._held[session] = epoch
        return codec.from_json(Claim, answer.content)

    def show_face(self, session: str, epoch: int) -> None:
        for kind in (EventKind.AVATAR_JOINED, EventKind.FIRST_FRAME):
            with self._lock:
                self._reports.append(report(session, epoch, kind))
        self.beat()

    def _run(self) -> None:
        while not self._stop.wait(0.5):
            self.beat()


def _figures(session: str, epoch: int) -> SessionFigures:
    return SessionFigures(
        session=session,
        epoch=epoch,
        fps=25.0,
        frames=100,
        skipped=0,
        late=0,
        speaking=False,
        queued_audio_s=0.0,
    )


class PlayedAgent:
    """An agent worker that says nothing: fetches the conversation, reports."""

    def __init__(self, stack: Stack) -> None:
        self._http = stack.internal()

    def conversation(self, session: str) -> Conversation:
        answer = self._http.get(conversation_path(session))
        answer.raise_for_status()
        return codec.from_json(Conversation, answer.content)

    def tell(self, *reports: SessionReport) -> None:
        batch = codec.to_json(ReportBatch(reports=reports))
        self._http.post(REPORTS_PATH, content=batch).raise_for_status()


def report(session: str, epoch: int, kind: EventKind, **data: Any) -> SessionReport:
    key = f"{kind.value}:{epoch}:{uuid.uuid4().hex[:8]}"
    at_ms = 1_800_000_000_000
    return SessionReport(
        session=session, epoch=epoch, key=key, kind=kind.value, at_ms=at_ms, data=data
    )
