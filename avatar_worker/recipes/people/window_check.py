"""Whether all that moves lies in the window that is drawn anew for each frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from avatar_worker.recipes.people.camera import Pose, project_world
from avatar_worker.recipes.people.mesh import BODY_VERTICES, Floats
from avatar_worker.recipes.people.plan import Frame
from avatar_worker.recipes.people.units import FRIENDLY
from avatar_worker.recipes.people.window import Window

MOVES_PX = 1.0
"""What moves less against the plate is not seen to be cut off."""

HAIR_PX = 12
"""Hair beyond the skin it grows from, at most."""


class Mesh(Protocol):
    """What is posed: a `Character`, or a test's fake."""

    def vertices(self, units: Mapping[str, float], pose: Pose) -> Floats:
        """[N, 3] dm in this state."""


def overhang_px(mesh: Mesh, frames: Sequence[Frame], window: Window) -> float:
    """How far moving skin and the hair on it reach beyond the unfaded part of the window, in
    pixels; less than 0 is room."""
    still = project_world(mesh.vertices(FRIENDLY, Pose())[:BODY_VERTICES])
    worst = -np.inf
    for frame in frames:
        seen = project_world(mesh.vertices(frame.units, frame.pose)[:BODY_VERTICES])
        moved = np.linalg.norm(seen - still, axis=1) > MOVES_PX
        if moved.any():
            # Where a vertex was counts too: there the plate shows it.
            places = np.concatenate([seen[moved], still[moved]])
            low, high = places.min(axis=0), places.max(axis=0)
            edge = window.feather_px
            beyond = (
                window.left + edge - (low[0] - HAIR_PX),
                window.top + edge - (low[1] - HAIR_PX),
                high[0] + HAIR_PX - (window.right - edge),
                high[1] - (window.bottom - edge),
            )
            worst = max(worst, *beyond)
    return float(worst)
