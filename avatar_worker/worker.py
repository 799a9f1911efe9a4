"""`python -m avatar_worker run`: a Celery worker with a threads pool, one slot per session.

SIGTERM drains: first nothing new is taken, then what runs may finish for `AVATAR_DRAIN_S`, then it
is handed over (the sessions end here, and the platform gives them to another worker). A second
signal hands over at once.
"""

import argparse
import gc
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, Final

import structlog
from celery import Celery, bootsteps, signals
from celery.exceptions import SecurityWarning
from celery.worker import state as celery_state

from avatar_contracts.streams import avatar_queue
from avatar_worker.config import WorkerSettings, load_settings_or_exit
from avatar_worker.engines.shelf import warm_up
from avatar_worker.host import SessionHost
from avatar_worker.observability import StatusServer, configure_logging
from avatar_worker.session import Ending
from avatar_worker.slots import measure_capacity
from avatar_worker.tasks import make_app

TICK_S: Final = 0.05
"""Celery's threads pool looks for work only when its loop wakes up; this wakes it. Without it a
freed slot stays empty for a second (measured: 0.98 s, with it 0.02–0.05 s)."""
BROKER_SILENCE_MAX_S: Final = 15.0
LAST_POP_S: Final = 1.5
"""Redis may hand out one more message to the read that was under way when we cancelled."""

STOP_WITHIN_S: Final = 15.0
"""How long Celery may take to stop when nothing runs any more."""

log = structlog.get_logger()


def main(arguments: Sequence[str]) -> int:
    """Serve until told to stop."""
    argparse.ArgumentParser(prog="python -m avatar_worker run", description=__doc__).parse_args(
        list(arguments)
    )
    settings = load_settings_or_exit()
    configure_logging(as_json=settings.avatar_log_format == "json")
    signals.setup_logging.connect(_keep_logging, weak=False)
    # Celery warns root about pickled tasks; ours are JSON only
    warnings.filterwarnings("ignore", category=SecurityWarning)
    warm_up()
    capacity = measure_capacity(settings)
    host = SessionHost(settings, capacity)
    worker = _Worker(settings, host, capacity.slots)
    status = StatusServer(settings.avatar_health_host, settings.avatar_health_port, worker.problem)
    status.start()
    host.start()
    gc.collect()
    gc.freeze()  # what is loaded by now stays; the collector need not walk it while sound runs
    try:
        return worker.run()
    finally:
        host.close()
        status.close()


def _keep_logging(**_: Any) -> None:
    """A receiver of this signal is what keeps Celery from setting the level of our logs."""


class _Worker:
    """Celery's worker around our host: signals, drain, health."""

    def __init__(self, settings: WorkerSettings, host: SessionHost, slots: int) -> None:
        self._settings = settings
        self._host = host
        self._queue = avatar_queue(settings.avatar_class)
        self._app = make_app(settings, host)
        self._ticked_s = time.monotonic()
        _add_tick(self._app, self._tick)
        self._worker: Any = self._app.Worker(
            hostname=f"avatar@{host.worker_id}",
            pool="threads",
            concurrency=slots,
            queues=[self._queue],
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            quiet=True,
        )
        self._drain_until_s: float | None = None

    def run(self) -> int:
        signals.worker_ready.connect(self._handle_ready, weak=False)
        self._worker.start()
        return int(self._worker.exitcode or 0)

    def problem(self) -> str | None:
        """For the health check: what is wrong, None when all is well."""
        if self._drain_until_s is None and time.monotonic() - self._ticked_s > BROKER_SILENCE_MAX_S:
            return "not consuming: the broker does not answer"
        return self._host.problem()

    def _handle_ready(self, **_: Any) -> None:
        """Celery is up and has installed its own handlers; ours take their place."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle_signal)
        log.info("taking sessions", queue=self._queue)

    def _handle_signal(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if self._drain_until_s is not None:
            self._drain_until_s = now  # asked twice: no more patience
            return
        self._host.is_draining = True
        self._drain_until_s = now + self._settings.avatar_drain_s
        consumer = self._worker.consumer
        if consumer is not None:
            consumer.call_soon(consumer.cancel_task_queue, self._queue)
        threading.Thread(target=self._drain, args=(now,), name="drain", daemon=True).start()

    def _drain(self, began_s: float) -> None:
        """A thread of its own: Celery's loop stands still while the broker is away."""
        while (now := time.monotonic()) < (self._drain_until_s or 0.0) and (
            self._host.running or now < began_s + LAST_POP_S
        ):
            time.sleep(TICK_S)
        self._host.end_all(Ending.DRAINED)
        celery_state.should_stop = 0  # type: ignore[assignment]  # an exit code
        time.sleep(STOP_WITHIN_S)
        log.warning("celery does not stop; leaving without it")
        self._host.close()
        os._exit(0)

    def _tick(self) -> None:
        """On Celery's loop, many times a second."""
        self._ticked_s = time.monotonic()


def _add_tick(app: Celery, tick: Callable[[], None]) -> None:
    class Tick(bootsteps.StartStopStep):
        """Wakes Celery's loop."""

        requires = ("celery.worker.components:Timer",)

        def start(self, worker: Any) -> None:
            worker.timer.call_repeatedly(TICK_S, tick)

    app.steps["worker"].add(Tick)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
