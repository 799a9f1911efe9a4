"""A playout on fake tracks with a fake renderer, in virtual time."""

import asyncio
from dataclasses import dataclass, field

import numpy as np

from avatar_contracts.audio import FRAME_SAMPLES
from avatar_contracts.messages import (
    PlayoutFinished,
    PlayoutMessage,
    PlayoutStarted,
)
from avatar_worker.drawing import Drawing
from avatar_worker.playout import Playout
from tests.fakes.renderer import FakeEngine, FakeHearing, render
from tests.fakes.tracks import FakeTracks

LOOK_AHEAD = 6060  # 252.5 ms, the encoder's


@dataclass
class Stage:
    """Everything between the inbox and LiveKit."""

    cost_s: float = 0.008
    look_ahead: int = LOOK_AHEAD
    tracks: FakeTracks = field(default_factory=FakeTracks)
    told: list[tuple[float, PlayoutMessage]] = field(default_factory=list)
    spoken: dict[int, list[int]] = field(default_factory=dict)
    hearings: dict[int, FakeHearing] = field(default_factory=dict)
    _next_value: int = 1

    async def __aenter__(self) -> "Stage":
        self.loop = asyncio.get_running_loop()
        self.playout = Playout(self.tracks, lambda m: self.told.append((self.loop.time(), m)))
        engine = FakeEngine(self.look_ahead)
        face = engine.open({})
        news = asyncio.Event()
        first = asyncio.Event()

        def ready() -> None:
            first.set()
            self.playout.picture_ready()

        self.drawing = Drawing(
            engine,
            face,
            time_of_slot=self.playout.pictures.time_of_slot,
            on_ready=ready,
            wake=news.set,
        )
        self.face = face
        self.playout.attach(self.drawing)
        self.tracks.start()
        self._tasks = [asyncio.create_task(render(self.drawing, news, self.cost_s))]
        await first.wait()
        self._tasks.append(asyncio.create_task(self.playout.run()))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            assert not task.done() or task.cancelled(), task.exception()
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def say(self, segment: int, samples: int) -> None:
        """A chunk whose samples are numbered, so that each can be found again."""
        values = np.arange(self._next_value, self._next_value + samples, dtype=np.int64)
        self._next_value += samples
        assert self._next_value < 2**15 * 40
        coded = (values % 32_767 + 1).astype("<i2")
        self.spoken.setdefault(segment, []).extend(coded.tolist())
        before = len(self.face.hearings)
        self.playout.chunk(segment, coded.tobytes())
        if len(self.face.hearings) > before:
            self.hearings[segment] = self.face.hearings[-1]

    def finished(self) -> dict[int, tuple[float, bool]]:
        """Position and whether interrupted, by segment. Fails when one was told twice."""
        found: dict[int, tuple[float, bool]] = {}
        for _, message in self.told:
            if isinstance(message, PlayoutFinished):
                assert message.segment not in found, "finished twice"
                found[message.segment] = (message.position_s, message.interrupted)
        return found

    def started(self) -> list[int]:
        return [m.segment for _, m in self.told if isinstance(m, PlayoutStarted)]

    def heard(self) -> list[int]:
        """All speech samples that left."""
        sound = self.tracks.sound()
        return [int(v) for v in sound[sound != 0]]

    def offsets_ms(self, segment: int, began_with: int = 0) -> list[float]:
        """Picture − sound for every picture shown with the segment's sound.

        `began_with`: which of all speech samples that left was the segment's first.
        """
        times = self.tracks.speech_times()
        hearing = self.hearings[segment]
        indices = [
            (shown, began_with + request.frame * FRAME_SAMPLES)
            for shown, request in self.tracks.shown
            if request.is_sounding and request.hearing is hearing
        ]
        return [1000 * (shown - times[i]) for shown, i in indices if i < len(times)]
