"""The render loop of the process: one thread draws for all sessions, earliest deadline first.

One thread, because one picture already uses all the cores (or the GPU) it may; what is due at the
same moment for several sessions of one character goes to the engine in one call. What one core does
alone, to listen and to convert, is done by helpers beside it.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import cv2
import numpy as np
import structlog
from numpy.typing import NDArray

from avatar_worker.drawing import Drawing, Offer, Picture
from avatar_worker.engines.base import EngineError, Rgb
from avatar_worker.observability import DRAW_SECONDS, LISTEN_SECONDS

IDLE_WAIT_S: Final = 0.25
"""How often an idle loop turns. Its turns are the proof of life that renews the worker's lease."""

log = structlog.get_logger()


class Scheduler:
    """`progress` grows with every turn of the loop; a render call that hangs stops it.

    Args:
        clock: seconds, as the sessions' slots are timed.
        helpers: threads that listen and convert beside the drawing; 0 where there is one core.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, helpers: int = 0) -> None:
        self.progress = 0
        self._helpers = ThreadPoolExecutor(helpers, "render-help") if helpers else None
        self._listening: set[Drawing] = set()  # to a helper's hands, one step at a time
        self._clock = clock
        self._drawings: list[Drawing] = []
        self._owed: dict[Drawing, float] = {}  # the deadline of each session that waits
        self._changed = threading.Condition()
        self._has_news = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="render", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """May be called twice. Waits for the picture being drawn, not longer than 2 s."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(2.0)
        if self._helpers is not None:
            self._helpers.shutdown(wait=False, cancel_futures=True)

    def add(self, drawing: Drawing) -> None:
        with self._changed:
            self._drawings = [*self._drawings, drawing]
        self.wake()

    def remove(self, drawing: Drawing) -> None:
        with self._changed:
            self._drawings = [d for d in self._drawings if d is not drawing]

    def wake(self) -> None:
        """Somebody may have work. Cheap, from any thread."""
        with self._changed:
            self._has_news = True
            self._changed.notify()

    def step(self) -> float:
        """Do the most urgent thing; how long nothing needs to be done otherwise (0: go on)."""
        now = self._clock()
        offers = [offer for d in self._drawings if (offer := self._offer(d, now)) is not None]
        due = self._by_urgency([offer for offer in offers if offer.at <= now])
        if not due:
            return min([IDLE_WAIT_S, *(offer.at - now for offer in offers)])
        first = due[0]
        if first.listen_to is not None and self._helpers is not None:
            self._listening.add(first.drawing)
            self._helpers.submit(self._listen_beside, first)
        elif first.listen_to is not None:
            self._listen(first)
        else:
            batch = self._batch(due)
            for offer in batch:
                del self._owed[offer.drawing]
            self._draw(batch)
        return 0.0

    def _run(self) -> None:
        while True:
            self.progress += 1
            with self._changed:
                if self._stopping:
                    return
                self._has_news = False
            wait_s = self.step()
            with self._changed:
                if wait_s > 0 and not self._has_news and not self._stopping:
                    self._changed.wait(wait_s)

    def _offer(self, drawing: Drawing, now: float) -> Offer | None:
        try:
            return drawing.offer(now, may_listen=drawing not in self._listening)
        except Exception as error:  # whoever cannot even say what it wants must not stop the loop
            log.exception("asking failed")
            drawing.fail(error)
            return None

    def _by_urgency(self, due: list[Offer]) -> list[Offer]:
        """Earliest deadline first. A session's deadline stands from its first offer until a picture
        of it is drawn: neither a slot that is skipped nor speech that waits sends it back behind
        the others, so that all get as many pictures when there is no time for all."""
        owed = self._owed
        self._owed = {o.drawing: min(o.deadline, owed.get(o.drawing, o.deadline)) for o in due}
        return sorted(due, key=lambda o: self._owed[o.drawing])

    def _batch(self, due: list[Offer]) -> list[Offer]:
        engine = due[0].drawing.engine
        same = [o for o in due if o.drawing.engine is engine and o.request is not None]
        return same[: max(1, engine.max_batch)]

    def _listen(self, offer: Offer) -> None:
        assert offer.listen_to is not None
        began = self._clock()
        try:
            offer.drawing.listen(offer.listen_to)
        except Exception as error:
            log.exception("listening failed")
            offer.drawing.fail(error)
        LISTEN_SECONDS.observe(self._clock() - began)

    def _listen_beside(self, offer: Offer) -> None:
        self._listen(offer)
        self._listening.discard(offer.drawing)
        self.wake()

    def _draw(self, batch: list[Offer]) -> None:
        began = self._clock()
        try:
            self._deliver(batch, began)
        except Exception as error:
            if len(batch) == 1:
                log.exception("drawing failed")
                batch[0].drawing.fail(error)
                return
            for offer in batch:  # one bad session must not take the others with it
                self._draw([offer])

    def _deliver(self, batch: list[Offer], began: float) -> None:
        wanted = [(o.drawing.face, o.request) for o in batch if o.request is not None]
        pictures = batch[0].drawing.engine.draw(wanted)
        if len(pictures) != len(batch):
            raise EngineError(f"{len(batch)} pictures were wanted, {len(pictures)} drawn")
        convert = map if self._helpers is None or len(batch) == 1 else self._helpers.map
        yuv = list(convert(_to_i420, pictures))
        took_s = self._clock() - began
        DRAW_SECONDS.observe(took_s / len(batch))
        for offer, i420 in zip(batch, yuv, strict=True):
            assert offer.request is not None
            offer.drawing.accept(offer, Picture(offer.request, i420), took_s)


def _to_i420(rgb: Rgb) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420), np.uint8)
