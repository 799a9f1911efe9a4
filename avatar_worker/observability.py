"""Logs and metrics of the avatar worker, and the small HTTP server that shows them."""

import logging
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest

_SECONDS: Final = (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.1, 0.2, 0.5, 1.0, 2.0)

DRAW_SECONDS: Final = Histogram("avatar_draw_seconds", "One picture, engine call", buckets=_SECONDS)
LISTEN_SECONDS: Final = Histogram(
    "avatar_listen_seconds", "One step of the audio encoder", buckets=_SECONDS
)
START_SECONDS: Final = Histogram(
    "avatar_start_seconds", "First chunk read to first sample and picture out", buckets=_SECONDS
)
CLEAR_SECONDS: Final = Histogram(
    "avatar_clear_seconds", "Clear read to the sound's end", buckets=_SECONDS
)
PROVISION_SECONDS: Final = Histogram(
    "avatar_provision_seconds", "Task taken to first frame published", buckets=_SECONDS
)
FRAMES: Final = Counter("avatar_frames", "Pictures handed to LiveKit")
SKIPPED: Final = Counter("avatar_skipped_frames", "Pictures left out because they were too late")
REPEATED: Final = Counter("avatar_repeated_frames", "Times the picture before had to stay")
LATE: Final = Counter("avatar_late_frames", "Pictures shown more than 5 ms late")
STARVED: Final = Counter("avatar_starved_segments", "Times speech ran out before its end")
UNDERRUNS: Final = Counter("avatar_sound_underruns", "Times the sound queue ran empty")
SEGMENTS: Final = Counter("avatar_segments", "Segments finished", ["interrupted"])
SESSIONS: Final = Gauge("avatar_sessions", "Sessions being served")
SLOTS: Final = Gauge("avatar_slots", "Sessions this worker can serve at once")
QUEUED_AUDIO: Final = Gauge("avatar_queued_audio_seconds", "Speech received, not yet out")
READY_PICTURES: Final = Gauge("avatar_ready_pictures", "Pictures drawn, not yet shown")
BEATS: Final = Counter("avatar_beats", "Beats sent to the platform", ["result"])
REPORTS_DROPPED: Final = Counter("avatar_dropped_reports", "Reports that found no room to wait")


def configure_logging(*, as_json: bool, level: str = "INFO") -> None:
    """structlog for us and, through the standard library, for everybody else."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info if as_json else _keep,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("httpx", "httpcore", "livekit", "celery"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _keep(
    _logger: object, _method: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    return event


class StatusServer:
    """`GET /metrics` for Prometheus; `GET /healthz`: 200, or 503 with the reason."""

    def __init__(self, host: str, port: int, problem: Callable[[], str | None]) -> None:
        self._server = ThreadingHTTPServer((host, port), _handler(problem))
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="status", daemon=True
        )

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(problem: Callable[[], str | None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest())
            elif self.path == "/healthz":
                found = problem()
                status = 200 if found is None else 503
                self._answer(status, "text/plain", (found or "ok").encode())
            else:
                self._answer(404, "text/plain", b"not found")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # theirs
            """Probes come every few seconds; they are not worth a line each."""

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
