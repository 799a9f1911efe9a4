"""What a worker takes on: as many sessions, and as large pictures, as its processor draws live."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from avatar_contracts.audio import FRAME_SAMPLES
from avatar_contracts.beat import Claim
from avatar_worker import slots
from avatar_worker.config import WorkerSettings
from avatar_worker.engines.base import Face, FrameRequest, Rgb, Samples
from avatar_worker.slots import Capacity, measure_capacity, slots_for
from tests.fakes.renderer import FakeEngine, FakeFace

pytestmark = pytest.mark.unit


def settings(**more: object) -> WorkerSettings:
    return WorkerSettings(_env_file=None, worker_token="a-worker-token", **more)


def claim(width: int, height: int, engine: str = "synctalk") -> Claim:
    return Claim(
        session="s",
        epoch=1,
        livekit_url="ws://127.0.0.1:7880",
        room="r",
        token="t",
        avatar_identity="avatar",
        agent_identity="agent",
        character="c",
        bundle_sha256="0" * 64,
        engine=engine,
        width=width,
        height=height,
    )


def processor(monkeypatch: pytest.MonkeyPatch, full_size_ms: float) -> None:
    """A picture takes time by its area, as a head's does."""

    def frame_seconds(_settings: WorkerSettings, _shipped: Path, side_px: int | None) -> float:
        return full_size_ms / 1000 * ((side_px or 512) / 512) ** 2

    monkeypatch.setattr(slots, "_frame_seconds", frame_seconds)


@pytest.mark.parametrize(("frame_ms", "expected"), [(45.0, 1), (20.0, 1), (8.0, 3), (0.4, 64)])
def test_slots_follow_from_the_time_of_a_picture(frame_ms: float, expected: int) -> None:
    assert slots_for(frame_ms / 1000) == expected  # 0.7 × 40 ms / 8 ms = 3.5


@pytest.mark.parametrize(
    ("full_size_ms", "capacity"),
    [
        (8.0, Capacity(3)),
        (13.0, Capacity(2)),
        (19.0, Capacity(1)),
        (26.0, Capacity(1, side_max_px=448)),
        (36.0, Capacity(1, side_max_px=320)),
        (60.0, Capacity(1, side_max_px=256)),
        (900.0, Capacity(1, side_max_px=256)),
    ],
)
def test_a_processor_too_slow_for_full_size_draws_smaller(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, full_size_ms: float, capacity: Capacity
) -> None:
    processor(monkeypatch, full_size_ms)
    with capture_logs() as logs:
        assert measure_capacity(settings(), tmp_path) == capacity
    said = [line for line in logs if "too slow" in line["event"]]
    assert [line["side_px"] for line in said] == [capacity.side_max_px][: len(said)]
    assert bool(said) == (capacity.side_max_px is not None)


def test_a_number_that_is_set_is_taken_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    processor(monkeypatch, 900.0)
    assert measure_capacity(settings(avatar_slots=2), tmp_path) == Capacity(2)


def test_without_a_shipped_character_there_is_one_slot(tmp_path: Path) -> None:
    assert measure_capacity(settings(), tmp_path / "absent") == Capacity(1)


def test_pictures_are_fitted_and_keep_their_shape() -> None:
    small = Capacity(1, side_max_px=384)
    assert (small.fitted(claim(512, 512)).width, small.fitted(claim(512, 512)).height) == (384, 384)
    assert (small.fitted(claim(360, 640)).width, small.fitted(claim(360, 640)).height) == (216, 384)
    assert small.fitted(claim(256, 256)) == claim(256, 256)
    assert small.fitted(claim(512, 512, "test-card")) == claim(512, 512, "test-card")
    assert Capacity(1).fitted(claim(512, 512)) == claim(512, 512)


class Passing:
    """A clock that only moves when somebody works."""

    now = 1000.0

    def perf_counter(self) -> float:
        return self.now

    def process_time(self) -> float:
        return self.now


class Card(FakeEngine):
    """A GPU: minutes for the first batch, 8 ms for every later one, 1 ms to hear a frame."""

    def __init__(self, clock: Passing) -> None:
        super().__init__()
        self._clock = clock

    def draw(self, wanted: Sequence[tuple[Face, FrameRequest]]) -> list[Rgb]:
        self._clock.now += 0.008 if self.batches else 60.0
        return super().draw(wanted)

    def open(self, options: dict[str, object]) -> FakeFace:
        face = super().open(options)
        hearing = face.listen()
        push = hearing.push

        def heard(samples: Samples) -> None:
            self._clock.now += 0.001 * len(samples) / FRAME_SAMPLES
            push(samples)

        hearing.push = heard  # type: ignore[method-assign]
        face.listen = lambda: hearing  # type: ignore[method-assign]
        return face


def test_a_gpu_is_measured_after_its_kernels_are_compiled_and_hearing_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Passing()
    monkeypatch.setattr(slots, "time", clock)
    engine = Card(clock)
    # 8 ms for 4 pictures together, and 1 ms to hear each
    assert slots.measure(engine, None) == pytest.approx(0.003)
    assert set(engine.batches) == {4}
