"""Logs: structlog and the standard library's logging in one format, and nothing private in them.

A log event is a fixed string, everything else a field. livekit-agents marks what was said with
fields named `lk.pii.…`; they are dropped here, together with its debug lines.
"""

import logging
from collections.abc import MutableMapping
from typing import Any

import structlog


def configure_logging(log_format: str = "json") -> None:
    """Send everything to stderr, as JSON or for reading."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderer: list[structlog.types.Processor] = (
        [structlog.dev.ConsoleRenderer()]
        if log_format == "console"
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                drop_private,
                *renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    for noisy in ("httpx", "httpcore", "google_genai", "websockets", "asyncio", "openai"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def drop_private(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Remove the fields that carry what was said."""
    for name in [name for name in event if name.startswith("lk.pii")]:
        del event[name]
    return event


def log() -> Any:
    """A logger; what was bound in this context travels with it."""
    return structlog.get_logger("agent_worker")
