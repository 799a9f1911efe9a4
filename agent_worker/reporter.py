"""What happens in a conversation, on its way to the platform: in order, once, without waiting."""

import asyncio
import time
import uuid
from collections import deque
from contextlib import suppress
from typing import Final

from agent_worker.errors import PlatformRefusedError
from agent_worker.observability import log
from agent_worker.platform_link import PlatformLink
from agent_worker.tasks import end_tasks, log_failure
from avatar_contracts.beat import EventKind
from avatar_contracts.messages import ReportBatch, SessionReport

WAITING_MAX: Final = 1000
"""Reports kept while the platform cannot be reached; then the oldest are dropped."""
BATCH_MAX: Final = 100
FLUSH_WITHIN_S: Final = 3.0


class Reporter:
    """Collects reports and posts them in batches.

    A report's key names this agent's stay and the report's number in it, so a batch that is posted
    twice is applied once.
    """

    def __init__(self, link: PlatformLink, session: str) -> None:
        self._link = link
        self._session = session
        self._stay = uuid.uuid4().hex[:12]
        self._count = 0
        self._waiting: deque[SessionReport] = deque(maxlen=WAITING_MAX)
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self.epoch = 0
        """The epoch that the next reports belong to."""

    def start(self) -> None:
        self._task = asyncio.create_task(self._post(), name="reports")
        self._task.add_done_callback(log_failure)

    def report(self, kind: EventKind, **data: object) -> None:
        """Note that something happened, now."""
        self._count += 1
        self._waiting.append(
            SessionReport(
                session=self._session,
                epoch=self.epoch,
                key=f"agent:{self._stay}:{self._count}",
                kind=kind.value,
                at_ms=int(time.time() * 1000),
                data=dict(data),
            )
        )
        self._idle.clear()
        self._wake.set()

    async def aclose(self) -> None:
        """Post what waits, for a few seconds at most. May be called twice."""
        if self._task is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_WITHIN_S):
                await self._idle.wait()
        await end_tasks(self._task)
        self._task = None

    async def _post(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch = tuple(list(self._waiting)[:BATCH_MAX])
                try:
                    await self._link.post_reports(ReportBatch(batch))
                except PlatformRefusedError as error:
                    log().error("reports were refused", error=str(error), reports=len(batch))
                done = {report.key for report in batch}
                while self._waiting and self._waiting[0].key in done:
                    self._waiting.popleft()
            self._idle.set()
