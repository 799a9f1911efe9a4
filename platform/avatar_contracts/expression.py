"""How a session may hold and move its character's face: names and ranges, the same on both sides.

The platform checks a request against them, the avatar worker applies them
(`avatar_worker.engines.expression` says what each one does).
"""

from enum import StrEnum
from typing import Final

BLINK_RATE_MAX: Final = 40.0
"""Blinks a minute."""
GAIN_MAX: Final = 3.0
"""Of brows and lids; 1 is as filmed."""


class Preset(StrEnum):
    """Where brows and lids rest."""

    NEUTRAL = "neutral"
    ATTENTIVE = "attentive"
    SERIOUS = "serious"
    CONCERNED = "concerned"
    RELAXED = "relaxed"
