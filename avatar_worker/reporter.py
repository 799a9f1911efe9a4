"""What happened in the sessions of this worker, waiting for the next beat to carry it."""

import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final

from avatar_contracts.beat import EventKind
from avatar_contracts.messages import SessionReport
from avatar_worker.observability import REPORTS_DROPPED

UNSENT_MAX: Final = 2000
"""Some minutes of many sessions while the platform is away; the oldest go first."""


class ReportQueue:
    """Thread-safe. A report stays until the platform has answered the beat that carried it."""

    def __init__(self, on_news: Callable[[], None]) -> None:
        self._on_news = on_news
        self._unsent: deque[SessionReport] = deque()
        self._lock = threading.Lock()

    def put(self, report: SessionReport) -> None:
        with self._lock:
            if len(self._unsent) >= UNSENT_MAX:
                self._unsent.popleft()
                REPORTS_DROPPED.inc()
            self._unsent.append(report)
        self._on_news()

    def peek(self, limit: int) -> tuple[SessionReport, ...]:
        """The oldest ones that have not arrived."""
        with self._lock:
            return tuple(islice(self._unsent, limit))

    def confirm(self, sent: tuple[SessionReport, ...]) -> None:
        """These have arrived."""
        keys = {report.key for report in sent}
        with self._lock:
            self._unsent = deque(r for r in self._unsent if r.key not in keys)


class SessionReporter:
    """Reports of one session and epoch, numbered so that a repetition is recognised."""

    def __init__(self, queue: ReportQueue, session: str, epoch: int, worker: str) -> None:
        self._queue = queue
        self._session = session
        self._epoch = epoch
        self._worker = worker
        self._count = 0

    def report(self, kind: EventKind, **data: object) -> None:
        self._count += 1
        self._queue.put(
            SessionReport(
                session=self._session,
                epoch=self._epoch,
                key=f"{self._worker}:{self._session}:{self._epoch}:{self._count}",
                kind=kind.value,
                at_ms=time.time_ns() // 1_000_000,
                data=data,
            )
        )
