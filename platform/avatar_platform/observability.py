"""Logs and metrics of the platform's processes: wiring in one place.

A log event is a fixed string, everything else a field. Ids are bound once per request or task.
Transcripts, prompts, tokens and keys are never logged.
"""

import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import structlog
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse
from prometheus_client import Counter, Histogram

STAGE_SECONDS: Final = Histogram(
    "avatar_session_stage_seconds",
    "Time from a session's creation to a stage of its life.",
    ["stage"],
    buckets=(0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60, 300),
)
LATENCY_SECONDS: Final = Histogram(
    "avatar_latency_seconds",
    "Latencies reported by the workers, by name.",
    ["name"],
    buckets=(0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10),
)
REPORTS: Final = Counter("avatar_reports_total", "Reports of the workers, applied.", ["kind"])
REFUSED: Final = Counter("avatar_requests_refused_total", "Refused API requests.", ["code"])


def configure_logging(*, debug: bool) -> None:
    """Send structlog and the standard library's logging to stderr in one format."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderer: list[structlog.types.Processor] = (
        [structlog.dev.ConsoleRenderer()]
        if debug
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [*(h for h in root.handlers if type(h) is not logging.StreamHandler), handler]
    root.setLevel(logging.INFO)
    for noisy in ("httpx", "livekit", "celery.app.trace", "celery.beat", "axes", "django.request"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def log() -> Any:
    """A logger; what `bind` has bound travels with it."""
    return structlog.get_logger("avatar_platform")


@contextmanager
def bound(**fields: object) -> Iterator[None]:
    """Every log line inside carries these fields."""
    with structlog.contextvars.bound_contextvars(**fields):
        yield


class RequestContextMiddleware:
    """Gives every request an id, in its log lines and in the answer's `X-Request-Id`."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        if iscoroutinefunction(self):
            return self._acall(request)
        with bound(request_id=(request_id := uuid.uuid4().hex)):
            return self._named(self.get_response(request), request_id)

    async def _acall(self, request: HttpRequest) -> HttpResponse:
        with bound(request_id=(request_id := uuid.uuid4().hex)):
            return self._named(await self.get_response(request), request_id)

    @staticmethod
    def _named(response: HttpResponse, request_id: str) -> HttpResponse:
        response.headers["X-Request-Id"] = request_id
        return response
