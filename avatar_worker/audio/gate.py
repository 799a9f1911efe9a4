"""Room noise is not speech: how far the mouth follows the sound, picture by picture.

The encoder has learnt from speech in quiet rooms; at noise alone the lips would quiver. Where
nothing around a picture is louder than a room, its mouth stays at rest. The gate opens before the
sound that opens it and closes well after, so that stops, weak endings and short pauses within
speech are left as they are. It needs less of the future than the encoder does.
"""

from typing import Final

import numpy as np
from jaxtyping import Float

CLOSED_DB: Final = -48.0
"""Root mean square of 40 ms, of full scale. A quiet room before a microphone has −50 or less."""
OPEN_DB: Final = -43.0
"""The trailing syllables of a recording at −35 are about there; published speech has −20."""
AHEAD: Final = (1.0, 1.0, 0.75, 0.5, 0.25)
"""How far a loud frame opens the gate of the first, second, … picture before it. Five frames end
240 ms after a picture begins; the encoder waits for 252.5."""
BEHIND: Final = (*[1.0] * 10, 0.8, 0.6, 0.4, 0.2)
"""Likewise of the pictures after it: 400 ms are a pause in speech, not its end."""


class NoiseGate:
    """The gate of one segment; it does not depend on how the sound was cut.

    Args:
        frame_samples: of a picture, at the rate of the sound.
    """

    def __init__(self, frame_samples: int) -> None:
        self._frame_samples = frame_samples
        self._rest = np.zeros(0, np.float32)
        self._loud: list[float] = []

    def push(self, samples: Float[np.ndarray, "n"]) -> None:
        """The next samples, any number of them."""
        heard = np.concatenate((self._rest, samples))
        whole = len(heard) // self._frame_samples * self._frame_samples
        for frame in heard[:whole].reshape(-1, self._frame_samples):
            self._loud.append(_loudness(frame))
        self._rest = heard[whole:]

    def finish(self) -> None:
        """No more will come."""
        if self._rest.size:
            self._loud.append(_loudness(self._rest))

    def opening(self, frame: int) -> float:
        """0: at rest, 1: as the sound says. Sound up to five frames later must be there."""
        shares = [self._at(frame)]
        shares += [share * self._at(frame + 1 + i) for i, share in enumerate(AHEAD)]
        shares += [share * self._at(frame - 1 - i) for i, share in enumerate(BEHIND)]
        return max(shares)

    def _at(self, frame: int) -> float:
        return self._loud[frame] if 0 <= frame < len(self._loud) else 0.0


def _loudness(frame: Float[np.ndarray, "n"]) -> float:
    """0 for a room, 1 for speech."""
    power = float(np.mean(np.square(frame, dtype=np.float64)))
    level_db = 10.0 * np.log10(power + 1e-12)
    return float(np.clip((level_db - CLOSED_DB) / (OPEN_DB - CLOSED_DB), 0.0, 1.0))
