"""What this worker can draw live, measured on the shipped character before it takes sessions."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import structlog

from avatar_contracts.audio import SAMPLE_RATE_HZ
from avatar_contracts.beat import Claim
from avatar_worker.config import WorkerSettings
from avatar_worker.drawing import FRAME_S
from avatar_worker.engines.base import Engine, FrameRequest
from avatar_worker.engines.test_card import TestCard

SHIPPED_CHARACTER: Final = Path(__file__).parent / "characters" / "mira"
SHARE: Final = 0.7
"""Of the time that may go into drawing; the rest is for encoding, ears and the unexpected."""
ONE_SESSION_SHARE: Final = 0.5
"""Of the time that drawing one session may take: also where agent, LiveKit and a browser are on the
same two cores, a conversation should not stutter. There it had 17 pictures a second while drawing
took 0.58 of the time (448 px), and 24 while it took 0.45 (384 px)."""
UNMEASURED_SLOTS: Final = 1
SMALLER_PX: Final = (448, 384, 320, 256)
"""Sides that are tried where full size takes too long."""
SLOTS_MAX: Final = 64
_WARMUP_FRAMES: Final = 3
_MEASURED_FRAMES: Final = 15
_MEASURED_S: Final = 2.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Capacity:
    """What this machine can draw live.

    Attributes:
        slots: sessions at once.
        side_max_px: longer side of a trained character's pictures; None: as large as asked for.
    """

    slots: int
    side_max_px: int | None = None

    def fitted(self, claim: Claim) -> Claim:
        """The claim with pictures of a size that can be drawn live; sides stay even."""
        longer = max(claim.width, claim.height)
        if self.side_max_px is None or longer <= self.side_max_px or claim.engine == TestCard.name:
            return claim
        width, height = (
            2 * round(side * self.side_max_px / longer / 2) for side in (claim.width, claim.height)
        )
        return replace(claim, width=width, height=height)


def measure_capacity(settings: WorkerSettings, shipped: Path = SHIPPED_CHARACTER) -> Capacity:
    """A number that is set is taken as it is, with pictures of the size asked for. Else: how many
    characters like the shipped one fit; where one is too much, how large it can be."""
    if settings.avatar_slots != "auto":
        return Capacity(settings.avatar_slots)
    if not shipped.is_dir():
        log.warning("no character to measure with; set AVATAR_SLOTS", slots=UNMEASURED_SLOTS)
        return Capacity(UNMEASURED_SLOTS)
    budget_s = ONE_SESSION_SHARE * FRAME_S
    full_s = took_s = _frame_seconds(settings, shipped, None)
    side_px = None
    for smaller_px in SMALLER_PX:
        if took_s <= budget_s:
            break
        side_px, took_s = smaller_px, _frame_seconds(settings, shipped, smaller_px)
    if side_px is not None:
        log.warning(
            "this processor is too slow for full size: pictures are drawn smaller",
            side_px=side_px,
            full_size_frame_ms=round(1000 * full_s, 1),
            budget_ms=round(1000 * budget_s, 1),
        )
    slots = slots_for(took_s) if side_px is None else 1
    log.info("capacity measured", frame_ms=round(1000 * took_s, 1), slots=slots)
    return Capacity(slots, side_px)


def _frame_seconds(settings: WorkerSettings, shipped: Path, side_px: int | None) -> float:
    from avatar_worker.character import load_bundle
    from avatar_worker.engines.synctalk import SyncTalkEngine
    from avatar_worker.render.painters import choose_device

    character = load_bundle(shipped, width=side_px, height=side_px)
    is_on_cpu = choose_device(settings.avatar_device).type == "cpu"
    engine = SyncTalkEngine(
        character, device=settings.avatar_device, threads=settings.render_threads
    )
    try:
        return measure(engine, settings.render_threads if is_on_cpu else None)
    finally:
        engine.close()


def slots_for(frame_s: float) -> int:
    """Sessions of 25 pictures a second that fit when one picture takes this long."""
    return max(1, min(SLOTS_MAX, int(SHARE * FRAME_S / frame_s)))


def measure(engine: Engine, threads: int | None) -> float:
    """Seconds a picture takes, the median of a few; of one where that is long enough.

    Beside a GPU, which draws the pictures of several sessions together, the processor's part
    counts as much: there a picture's share of a batch and the hearing of its 40 ms are added up.

    Args:
        engine: draws the pictures.
        threads: of the CPU that draw. Other processes start at the same time and take cores away,
            so what counts is these threads' processor time. None for a GPU: the time that passes.
    """
    face = engine.open({})
    together = engine.max_batch
    took: list[float] = []
    began_s = time.perf_counter()
    for slot in range(_WARMUP_FRAMES + _MEASURED_FRAMES):
        passed, used = time.perf_counter(), time.process_time()
        engine.draw([(face, FrameRequest(slot + number)) for number in range(together)])
        passed, used = time.perf_counter() - passed, time.process_time() - used
        took.append((passed if threads is None else min(passed, used / threads)) / together)
        if threads is None and slot < _WARMUP_FRAMES:
            began_s = time.perf_counter()  # kernels were compiled
        if time.perf_counter() - began_s > _MEASURED_S:
            break
    measured = took[_WARMUP_FRAMES:] or took
    draw_s = sorted(measured)[len(measured) // 2]
    return draw_s if threads is not None else draw_s + _hearing_seconds(engine)


def _hearing_seconds(engine: Engine) -> float:
    """Seconds that a frame's sound takes, of a second of noise."""
    noise = np.random.default_rng(0).normal(0.0, 0.1, SAMPLE_RATE_HZ).astype(np.float32)
    face = engine.open({})
    face.listen().push(noise)  # the first time of everything
    began_s = time.perf_counter()
    face.listen().push(noise)
    return (time.perf_counter() - began_s) * FRAME_S
