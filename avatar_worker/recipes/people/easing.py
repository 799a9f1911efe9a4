"""One soft step, for everything that begins or ends."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def smoothstep(value: NDArray[np.float64] | float, low: float, high: float) -> NDArray[np.float64]:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((np.asarray(value, dtype=np.float64) - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t))
