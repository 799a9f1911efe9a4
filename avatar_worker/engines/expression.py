"""Brows and lids of a live session: the character's own track, more or less of it.

Options, in `[options]` of `character.toml` or of one session, which comes first. None of them
changes anything unless it is given:

    blink_rate   blinks a minute, 0 to 40, instead of the track's own: taken from the track and
                 spread over time. A track without a blink has none to give.
    brow_gain    how far the brows move from their middle, 0 to 3; 1 is as filmed
    eye_gain     likewise how far the lids move
    preset       neutral, attentive, serious, concerned or relaxed: where brows and lids rest

Whatever is asked for, every component stays within the range that it has in the track: beyond
that the head has seen nothing and would draw anything.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from avatar_contracts.audio import VIDEO_FPS
from avatar_contracts.expression import BLINK_RATE_MAX, GAIN_MAX, Preset
from avatar_worker.engines.base import OptionError
from avatar_worker.engines.idle_walk import WalkPosition

BLINK_RATE_MIN: Final = 0.1
"""Below is never."""
BLINK_DEPTH_MIN: Final = 0.3
"""Lids that never fall by this much do not blink."""
BLINK_EDGE: Final = 0.1
"""A blink begins and ends at this share of the way down."""
BLINK_JITTER: Final = 0.3
"""Of the interval, either way: nobody blinks to a clock."""
BLINK_LONGEST_FRAMES: Final = 25
"""Eyes that stay closed for longer are no blink."""
_GOLDEN: Final = (math.sqrt(5.0) - 1.0) / 2.0

BROW_DOWN, BROW_INNER_UP, BROW_OUTER_UP, LID = range(4)
KINDS: Final[dict[int, tuple[int, ...]]] = {
    7: (BROW_DOWN, BROW_DOWN, BROW_INNER_UP, BROW_OUTER_UP, BROW_OUTER_UP, LID, LID),
    4: (BROW_DOWN, BROW_INNER_UP, BROW_OUTER_UP, LID),
    2: (LID, LID),
    1: (LID,),
}
"""What the components of an expression vector are, by its length: upper, single, eye, AU45."""
PRESETS: Final[dict[Preset, dict[int, float]]] = {
    Preset.NEUTRAL: {},
    Preset.ATTENTIVE: {BROW_DOWN: -0.8, BROW_INNER_UP: 0.6, BROW_OUTER_UP: 0.8},
    Preset.SERIOUS: {BROW_DOWN: 0.6, BROW_INNER_UP: -0.8, BROW_OUTER_UP: -0.8},
    Preset.CONCERNED: {BROW_DOWN: 0.3, BROW_INNER_UP: 0.9, BROW_OUTER_UP: -0.6},
    Preset.RELAXED: {BROW_DOWN: -0.6, BROW_INNER_UP: -0.4, LID: 0.15},
}
"""By kind: how much of the way from where it is to the end of the range, 1 up and −1 down."""


@dataclass(frozen=True, slots=True)
class ExpressionOptions:
    """See above; None for what was not asked for."""

    blink_rate: float | None = None
    brow_gain: float = 1.0
    eye_gain: float = 1.0
    preset: Preset = Preset.NEUTRAL

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """From options of any kind; others are left alone, and numbers brought into range.

        Raises:
            OptionError: not a number, or an unknown preset.
        """
        preset = options.get("preset", Preset.NEUTRAL)
        if preset not in list(Preset):
            raise OptionError(f"preset is {preset!r}; expected one of {', '.join(Preset)}")
        brow_gain = _number(options, "brow_gain", GAIN_MAX)
        eye_gain = _number(options, "eye_gain", GAIN_MAX)
        return cls(
            blink_rate=_number(options, "blink_rate", BLINK_RATE_MAX),
            brow_gain=1.0 if brow_gain is None else brow_gain,
            eye_gain=1.0 if eye_gain is None else eye_gain,
            preset=Preset(preset),
        )


class Expression:
    """The expression vector of every picture of a session; no state.

    Args:
        eyes: the character's track. [n, n_eye]
        options: how it is to be changed.
    """

    def __init__(self, eyes: NDArray[np.float32], options: ExpressionOptions) -> None:
        self._options = options
        self._kinds = np.array(KINDS.get(eyes.shape[1], ()), np.intp)
        self._lids = self._kinds == LID
        self._blinks: list[NDArray[np.float32]] = []
        self._eyes: NDArray[np.float32] | None = None
        if options == ExpressionOptions() or self._kinds.size == 0:
            return
        self._eyes = eyes
        self._lowest, self._highest = eyes.min(axis=0), eyes.max(axis=0)
        self._middle = np.median(eyes, axis=0)
        if options.blink_rate is not None:
            self._eyes, self._blinks = _without_blinks(eyes, self._lids)

    def __call__(self, slot: int, at: WalkPosition) -> NDArray[np.float32] | None:
        """The vector of this slot; None where the scene's own is to be taken."""
        if self._eyes is None:
            return None
        eye: NDArray[np.float32] = self._eyes[at.index].copy()
        if at.share:
            eye += np.float32(at.share) * (self._eyes[at.index + 1] - eye)
        if (lids := self._blink(slot)) is not None:
            eye[self._lids] = np.maximum(eye[self._lids], lids)
        gain = np.where(self._lids, self._options.eye_gain, self._options.brow_gain)
        eye = (self._middle + gain * (eye - self._middle)).clip(self._lowest, self._highest)
        for kind, share in PRESETS[self._options.preset].items():
            end = self._highest if share > 0 else self._lowest
            eye += (self._kinds == kind) * abs(share) * (end - eye)
        return np.asarray(eye, np.float32)

    def _blink(self, slot: int) -> NDArray[np.float32] | None:
        """How far the lids are down in this slot, None between blinks."""
        rate = self._options.blink_rate
        if not self._blinks or rate is None or rate < BLINK_RATE_MIN:
            return None
        interval = 60.0 * VIDEO_FPS / rate
        nearest = int(slot / interval)
        for number in (nearest - 1, nearest):
            blink = self._blinks[number % len(self._blinks)]
            jitter = BLINK_JITTER * (2.0 * (number * _GOLDEN % 1.0) - 1.0)
            since = slot - round((number + 0.5 + jitter) * interval)
            if number >= 0 and 0 <= since < len(blink):
                return np.asarray(blink[since])
        return None


def _without_blinks(
    eyes: NDArray[np.float32], lids: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
    """The track with its eyes kept open, and its blinks: of each, the lids frame by frame."""
    closed = eyes[:, lids].mean(axis=1)
    openness = float(np.median(closed))
    depth = float(closed.max()) - openness
    open_eyes = eyes.copy()
    blinks: list[NDArray[np.float32]] = []
    if depth < BLINK_DEPTH_MIN:
        return open_eyes, blinks
    is_down = closed > openness + BLINK_EDGE * depth
    edges = np.flatnonzero(np.diff(np.concatenate(([False], is_down, [False])).astype(np.int8)))
    for begin, end in edges.reshape(-1, 2):
        is_whole = begin > 0 and end < len(eyes)
        is_blink = closed[begin:end].max() > openness + depth / 2
        if is_whole and is_blink and end - begin <= BLINK_LONGEST_FRAMES:
            blinks.append(eyes[begin:end, lids])
        near = [eyes[frame] for frame in (begin - 1, end) if 0 <= frame < len(eyes)]
        if near:
            share = (np.arange(end - begin)[:, None] + 1) / (end - begin + 1)
            opened = near[0] + share * (near[-1] - near[0])
            open_eyes[begin:end, lids] = opened[:, lids]
    return open_eyes, blinks


def _number(options: Mapping[str, Any], name: str, largest: float) -> float | None:
    value = options.get(name)
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or (isinstance(value, float) and math.isnan(value)):
        raise OptionError(f"{name} is {value!r}; expected a number from 0 to {largest:g}")
    return float(min(max(value, 0.0), largest))
