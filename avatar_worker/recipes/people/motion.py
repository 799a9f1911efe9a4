"""Head sway, blinks and brows: smooth, seeded, independent of what is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avatar_worker.recipes.people.camera import Pose
from avatar_worker.recipes.people.easing import smoothstep

Floats = NDArray[np.float64]

BLINK_CLOSE_S, BLINK_HOLD_S, BLINK_OPEN_S = 0.09, 0.04, 0.15
"""Lids fall faster than they rise; seven frames in all."""


@dataclass(frozen=True)
class Range:
    """The largest excursion of each channel: degrees, and dm for the shifts."""

    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    shift_dm: float


IDLE_RANGE = Range(yaw_deg=4.2, pitch_deg=1.8, roll_deg=1.3, shift_dm=0.02)


def wander(times: Floats, rng: np.random.Generator, slow_hz: float, fast_hz: float) -> Floats:
    """[N] a smooth random curve within ±1 that uses its whole range."""
    hz = rng.uniform(slow_hz, fast_hz, 5)
    phase = rng.uniform(0, 2 * np.pi, 5)
    size = rng.uniform(0.5, 1.0, 5) * slow_hz / hz  # slower swings are larger
    curve = (size * np.sin(2 * np.pi * hz * times[:, None] + phase)).sum(axis=1)
    low, high = curve.min(), curve.max()
    return np.asarray((2 * curve - high - low) / max(high - low, 1e-9))


def rest_at_ends(times_s: Floats, duration_s: float, ramp_s: float = 1.0) -> Floats:
    """[N] a clock that starts and ends standing still.

    Motion that runs on it can be played forth and back without a visible turn.
    """
    fine = np.linspace(0.0, duration_s, 4001)
    speed = smoothstep(fine, 0.0, ramp_s) * smoothstep(duration_s - fine, 0.0, ramp_s)
    steps = np.diff(fine) * (speed[1:] + speed[:-1]) / 2
    return np.asarray(np.interp(times_s, fine, np.r_[0.0, np.cumsum(steps)]))


def sway(clock: Floats, rng: np.random.Generator, limits: Range, fast_hz: float) -> list[Pose]:
    """Head poses within `limits`."""
    channels = [wander(clock, rng, 0.12, fast_hz) for _ in range(6)]
    yaw, pitch, roll = channels[:3]
    shifts = limits.shift_dm * np.stack(channels[3:], axis=1)
    return [
        Pose(
            pitch_deg=float(limits.pitch_deg * pitch[at]),
            yaw_deg=float(limits.yaw_deg * yaw[at]),
            roll_deg=float(limits.roll_deg * roll[at]),
            shift_dm=(float(shifts[at, 0]), float(shifts[at, 1]), float(shifts[at, 2])),
        )
        for at in range(len(clock))
    ]


@dataclass(frozen=True)
class Blink:
    """One blink: when the lids begin to fall, how far, and how long they stay down."""

    start_s: float
    depth: float = 1.0
    hold_s: float = BLINK_HOLD_S

    @property
    def end_s(self) -> float:
        """When the lids are open again."""
        return self.start_s + BLINK_CLOSE_S + self.hold_s + BLINK_OPEN_S


def lids(times_s: Floats, blinks: Sequence[Blink]) -> Floats:
    """[N, 2] weights of the left and the right lid; the right one is 8 ms late."""
    sides = []
    for delay_s in (0.0, 0.008):
        closed = np.zeros(len(times_s))
        for blink in blinks:
            since = times_s - blink.start_s - delay_s
            fall = smoothstep(since, 0.0, BLINK_CLOSE_S)
            rise = smoothstep(since - BLINK_CLOSE_S - blink.hold_s, 0.0, BLINK_OPEN_S)
            closed = np.maximum(closed, blink.depth * fall * (1 - rise))
        sides.append(closed)
    return np.stack(sides, axis=1)


def spread_blinks(
    duration_s: float, rng: np.random.Generator, shortest_s: float, longest_s: float
) -> list[Blink]:
    """Blinks at random distances; every third one is shallow and held, so that the half-closed
    lid, which a natural blink passes in a frame or two, is seen often enough to be learnt."""
    blinks: list[Blink] = []
    at = float(rng.uniform(0.3, shortest_s))
    while at < duration_s - 0.4:
        if len(blinks) % 3 == 2:
            depth, hold = float(rng.uniform(0.3, 0.85)), float(rng.uniform(0.10, 0.24))
            blinks.append(Blink(at, depth, hold))
        else:
            blinks.append(Blink(at))
        at = blinks[-1].end_s + float(rng.uniform(shortest_s, longest_s))
    return blinks


@dataclass(frozen=True)
class BrowRange:
    """How far each brow unit goes."""

    inner_up: float
    outer_up: float
    down: float


IDLE_BROWS = BrowRange(inner_up=0.12, outer_up=0.10, down=0.05)
SPEAKING_BROWS = BrowRange(inner_up=0.55, outer_up=0.60, down=0.40)


def brows(clock: Floats, rng: np.random.Generator, limits: BrowRange) -> Floats:
    """[N, 5] columns as in `units.NAMES`: down left, down right, inner up, outer up left, right.

    Inner and outer move partly together, the sides almost; brows go up or down, never both.
    """
    lift = wander(clock, rng, 0.15, 0.7)
    own = wander(clock, rng, 0.15, 0.6)
    tilt = 1 + 0.12 * wander(clock, rng, 0.1, 0.4)
    up, down = np.clip(lift, 0, 1), np.clip(-lift - 0.15, 0, 1)
    inner = limits.inner_up * np.clip(0.65 * up + 0.35 * np.clip(own, 0, 1), 0, 1)
    outer = limits.outer_up * np.clip(up * (0.75 + 0.25 * own), 0, 1)
    frown = limits.down * down
    return np.stack([frown * tilt, frown / tilt, inner, outer * tilt, outer / tilt], axis=1)
