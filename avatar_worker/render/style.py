"""How the pictures of a character or a session are put together, from its options."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from avatar_worker.render.backdrop import BackdropScenes, Colour, wanted_colour
from avatar_worker.render.blending import Blend, BlendedScenes
from avatar_worker.render.scene import SceneSource


class Style(NamedTuple):
    """Equal styles give equal pictures.

    Attributes:
        blend: of a portrait into its frame.
        background: behind head and torso; None for their own.
    """

    blend: Blend = Blend()
    background: Colour | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any], *, portrait: bool) -> Self:
        """From options of any kind; those of no style are left alone.

        Raises:
            UnsupportedCharacterError: an option cannot be, or not with such a character.
        """
        return cls(Blend.of(options, portrait=portrait), wanted_colour(options, portrait=portrait))

    def applied_to(self, scenes: SceneSource, *, masked: bool) -> SceneSource:
        """The scenes in this style; they themselves where it changes nothing.

        Args:
            scenes: of the character.
            masked: see `BlendedScenes`.

        Raises:
            UnsupportedCharacterError: the scenes' torso cannot be told from its background.
        """
        if self.background is not None:
            return BackdropScenes(scenes, self.background)
        if self.blend != Blend():
            return BlendedScenes(scenes, self.blend, masked=masked)
        return scenes
