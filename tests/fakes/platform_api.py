"""The platform's internal API as an avatar worker sees it, with a row of sessions in memory."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from avatar_contracts.beat import BeatAnswer, Claim, ClaimRequest, StopOrder, WorkerBeat
from avatar_contracts.codec import from_json, to_json
from avatar_contracts.internal import BEAT_PATH, CLAIM_PATH, bundle_path
from avatar_contracts.messages import SessionReport

TOKEN = "token-of-the-workers"


@dataclass
class PlatformApi:
    """`offered`: sessions that can be claimed once. `stops` are given with each beat."""

    offered: dict[tuple[str, int], Claim] = field(default_factory=dict)
    claimed_at: dict[str, float] = field(default_factory=dict)
    beats: list[tuple[float, WorkerBeat]] = field(default_factory=list)
    reports: dict[str, SessionReport] = field(default_factory=dict)
    stops: list[StopOrder] = field(default_factory=list)
    bundles: dict[str, Path] = field(default_factory=dict)
    is_dead: bool = False
    is_away: bool = False

    def __enter__(self) -> "PlatformApi":
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def kinds(self, session: str) -> list[str]:
        return [r.kind for r in self.reports.values() if r.session == session]

    def wait_for(self, is_true: "Callable[[], bool]", what: str, within_s: float = 45.0) -> float:
        """When it became true (seen here)."""
        deadline = time.monotonic() + within_s
        while not is_true():
            if time.monotonic() > deadline:
                kinds = [(r.session, r.kind, r.data) for r in self.reports.values()]
                raise AssertionError(f"waited {within_s} s for {what}; reports: {kinds}")
            time.sleep(0.01)
        return time.monotonic()

    def answer(self, path: str, body: bytes) -> tuple[int, bytes]:
        if self.is_away:
            return 503, b""
        if path == CLAIM_PATH:
            wanted = from_json(ClaimRequest, body)
            claim = self.offered.pop((wanted.session, wanted.epoch), None)
            if claim is None:
                return 409, b""
            self.claimed_at[wanted.session] = time.monotonic()
            return 200, to_json(claim).encode()
        if path == BEAT_PATH:
            beat = from_json(WorkerBeat, body)
            self.beats.append((time.monotonic(), beat))
            self.reports |= {report.key: report for report in beat.reports}
            serving = {(s.session, s.epoch) for s in beat.sessions}
            stop = tuple(o for o in self.stops if (o.session, o.epoch) in serving)
            return 200, to_json(BeatAnswer(self.is_dead, stop)).encode()
        for character, archive in self.bundles.items():
            if path == bundle_path(character):
                return 200, archive.read_bytes()
        return 404, b""


def _handler(api: PlatformApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                self._send(401, json.dumps({"code": "unauthenticated"}).encode())
                return
            self._send(*api.answer(self.path, body))

        def do_GET(self) -> None:
            self._send(*api.answer(self.path, b""))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # theirs
            """Quiet."""

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
