"""How rates and weights change over a run, and how many rays a step takes.

Everything follows from how far the run is, 0 … 1; figures are measured ones for two cores.
"""

from dataclasses import dataclass
from typing import Final

FRAMES_PER_STEP: Final = 4
"""One frame a step makes the audio-conditioned weights jump: face 28.0 → 29.8 dB with four."""

TABLE_RATE: Final = 1e-2
NETWORK_RATE: Final = 1.5e-3
VECTOR_RATE: Final = 1e-2
"""Of the frames' own audio vectors, with borrowed ears."""

VECTORS_FROM_STEP: Final = 2000
"""Before that a head knows too little to correct what is heard."""

RATE_DECAY: Final = 0.03
"""Of all rates, exponentially over the run."""

SECOND_MOMENT: Final = 0.99
TABLE_DECAY: Final = 0.01
ENTROPY: Final = 1e-3
DISTORTION: Final = 0.1
DISTORTION_STEPS: Final = 1000
AMBIENT: Final = 1e-4
AMBIENT_STRIDE: Final = 16
"""Every how many trained samples the ambient terms look at."""

AUDIO_DROPOUT: Final = 0.2
"""Share of the audio features that a step hides: minutes of speech are soon known by heart."""

LIPS_FROM: Final = 0.6
"""Share of the run after which every second step looks at the lips, as in the original."""

LIPS_WEIGHT: Final = 0.03
LIPS_SIDE_PX: Final = 64
LIPS_FRAMES: Final = 2

WARM_UP_STEPS: Final = 2000
WARM_UP_CAP: Final = 20
CAP: Final = 24
"""Samples a training ray may have: few at first, which pushes density to the front."""

OCCUPANCY_STEPS: Final = 16
REFRESH_STEPS: Final = 64
FIRST_UPDATE: Final = 64
FIRST_REFRESH: Final = 320

SAMPLES_PER_STEP: Final = 32_768
MIN_RAYS: Final = 512
MAX_RAYS: Final = 2048
RAY_GRAIN: Final = 64


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What holds for one step.

    Attributes:
        table_rate: learning rate of the tables.
        network_rate: learning rate of the small networks.
        decay: what is left of the first rates.
        distortion: weight of the spread of weights along a ray.
        ambient: weight of the attention norms.
        cap: samples a ray may have.
        is_lip_step: look at patches of the lips instead of scattered rays.
    """

    table_rate: float
    network_rate: float
    decay: float
    distortion: float
    ambient: float
    cap: int
    is_lip_step: bool


def plan(step: int, progress: float) -> StepPlan:
    """The plan of step number `step` (from 0) of a run that is at `progress`."""
    decay = RATE_DECAY**progress
    distortion = DISTORTION if progress < 2 / 3 else DISTORTION / 2
    return StepPlan(
        table_rate=TABLE_RATE * decay,
        network_rate=NETWORK_RATE * decay,
        decay=decay,
        distortion=distortion * min(1.0, step / DISTORTION_STEPS),
        ambient=AMBIENT * progress,
        cap=WARM_UP_CAP if step < WARM_UP_STEPS else CAP,
        is_lip_step=progress >= LIPS_FROM and step % 2 == 1,
    )


def rays_per_frame(now: int, samples_per_ray: float) -> int:
    """Rays of each frame, so that a step keeps about the same cost as the head turns opaque."""
    wanted = SAMPLES_PER_STEP / FRAMES_PER_STEP / max(samples_per_ray, 1.0)
    wanted = min(max(wanted, now / 2), now * 1.25)
    return min(max(round(wanted / RAY_GRAIN) * RAY_GRAIN, MIN_RAYS), MAX_RAYS)
