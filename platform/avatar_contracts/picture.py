"""How a session may have its pictures put together: ranges that the platform checks.

What the options do is said where they are applied: `avatar_worker.render`, `blending.py` and
`backdrop.py`.
"""

from typing import Final

BLEND_MAX_PX: Final = 32.0
"""Of a portrait's mask, either way, in pixels of a picture 512 high."""
COLOUR: Final = r"^#[0-9a-fA-F]{6}$"
"""Red, green and blue, as on web pages."""
