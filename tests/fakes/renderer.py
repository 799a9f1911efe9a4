"""A renderer without pictures: frames become certain some time after their sound, and cost time."""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np

from avatar_contracts.audio import FRAME_SAMPLES
from avatar_worker.drawing import Drawing, Picture
from avatar_worker.engines.base import Face, FrameRequest, Rgb, Samples


class FakeHearing:
    """Certain after `look_ahead` more samples, like an audio encoder."""

    def __init__(self, look_ahead: int) -> None:
        self._look_ahead = look_ahead
        self._heard = 0
        self._is_finished = False

    @property
    def frames(self) -> int:
        if self._is_finished:
            return -(-self._heard // FRAME_SAMPLES)
        return max(0, self._heard - self._look_ahead) // FRAME_SAMPLES

    def push(self, samples: Samples) -> None:
        assert not self._is_finished
        self._heard += len(samples)

    def finish(self) -> None:
        self._is_finished = True


class FakeFace:
    def __init__(self, look_ahead: int) -> None:
        self._look_ahead = look_ahead
        self.hearings: list[FakeHearing] = []

    def listen(self) -> FakeHearing:
        self.hearings.append(FakeHearing(self._look_ahead))
        return self.hearings[-1]


class FakeEngine:
    """Draws one grey pixel block; `fails` makes it break."""

    name = "fake"
    max_batch = 4

    def __init__(self, look_ahead: int = 0) -> None:
        self.look_ahead = look_ahead
        self.batches: list[int] = []
        self.fails: set[Face] = set()
        self.size_bytes = 0

    def open(self, options: dict[str, Any]) -> FakeFace:
        return FakeFace(self.look_ahead)

    def draw(self, wanted: Sequence[tuple[Face, FrameRequest]]) -> list[Rgb]:
        self.batches.append(len(wanted))
        if any(face in self.fails for face, _ in wanted):
            raise ValueError("not a picture")
        return [np.full((4, 4, 3), 128, np.uint8) for _ in wanted]

    def close(self) -> None:
        return


_NOTHING = np.zeros((6, 4), np.uint8)


async def render(drawing: Drawing, news: asyncio.Event, cost_s: float) -> None:
    """The render thread, played by a task: the same offers, work that takes simulated time."""
    loop = asyncio.get_running_loop()
    while True:
        news.clear()
        now = loop.time()
        offer = drawing.offer(now)
        if offer is None or offer.at > now:
            wait_s = 0.25 if offer is None else offer.at - now
            handle = loop.call_later(wait_s, news.set)
            await news.wait()
            handle.cancel()
        elif offer.listen_to is not None:
            drawing.listen(offer.listen_to)
        else:
            assert offer.request is not None
            await asyncio.sleep(cost_s)
            drawing.accept(offer, Picture(offer.request, _NOTHING), cost_s)
