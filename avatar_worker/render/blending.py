"""How far the drawn head of a portrait reaches into the original frame, and how soft its edge is.

The mask of a scene is soft already, as the footage was prepared; without options it is used as it
is. Options, of a character or a session:

    blend_width     how much wider the drawn part is than the footage's mask; below 0 narrower
    blend_feather   over how much on either side its edge is softened

Both in pixels of a picture 512 high, from −32 and 0 to 32; other sizes scale them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Self

import cv2
import numpy as np
from jaxtyping import UInt8

from avatar_worker.render.errors import UnsupportedCharacterError
from avatar_worker.render.scene import MadeScenes, Scene, SceneSource

BLEND_MAX_PX: Final = 32.0
"""Beyond this a mask of a face covers hair and shoulders, or nothing."""
REFERENCE_PX: Final = 512
BLENDED_CACHE_BYTES: Final = 256 * 1024**2
"""Of scenes with one other mask, their pictures counted although most are the footage's own."""


@dataclass(frozen=True, slots=True)
class Blend:
    """See above."""

    width: float = 0.0
    feather: float = 0.0

    @classmethod
    def of(cls, options: Mapping[str, Any], *, portrait: bool) -> Self:
        """From options of any kind; others are left alone, and numbers brought into range.

        Raises:
            UnsupportedCharacterError: not a number, or there is no portrait to blend.
        """
        blend = cls(
            _number(options, "blend_width", -BLEND_MAX_PX), _number(options, "blend_feather")
        )
        if blend != cls() and not portrait:
            name = "blend_width" if blend.width else "blend_feather"
            raise UnsupportedCharacterError(
                f"{name} is for portraits; this character is drawn without an original frame"
            )
        return blend


def blend_mask(mask: UInt8[np.ndarray, "H W"], blend: Blend) -> UInt8[np.ndarray, "H W"]:
    """The mask grown or shrunk by a disc, then blurred by half the feather."""
    scale = len(mask) / REFERENCE_PX
    if radius := round(abs(blend.width) * scale):
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        mask = np.asarray((cv2.dilate if blend.width > 0 else cv2.erode)(mask, disc))
    if blend.feather:
        sigma_px = blend.feather * scale / 2
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE))
    return mask


class BlendedScenes(MadeScenes):
    """Portrait scenes with their masks changed; each is made when it is first asked for.

    Args:
        scenes: with originals and masks.
        blend: what is wanted.
        masked: backgrounds are black where the footage's own mask does not show them; there the
            original stands in, so that nothing black can shine through a wider head.
        cache_bytes: memory for scenes that were used lately.
    """

    def __init__(
        self,
        scenes: SceneSource,
        blend: Blend,
        *,
        masked: bool,
        cache_bytes: int = BLENDED_CACHE_BYTES,
    ) -> None:
        super().__init__(scenes, partial(_blended, scenes, blend, masked=masked), cache_bytes)


def _blended(scenes: SceneSource, blend: Blend, index: int, *, masked: bool) -> Scene:
    scene = scenes.scene(index)
    if scene.mask is None or scene.original is None:
        return scene
    mask = blend_mask(scene.mask, blend)
    if not masked:
        return replace(scene, mask=mask)
    shown = scene.mask[:, :, None] > 0
    background = np.where(shown, scene.background_levels, scene.original)
    return replace(scene, mask=mask, background=background)


def _number(options: Mapping[str, Any], name: str, least: float = 0.0) -> float:
    value = options.get(name, 0.0)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or math.isnan(value):
        raise UnsupportedCharacterError(
            f"{name} is {value!r}; expected a number from {least:g} to {BLEND_MAX_PX:g}"
        )
    return float(min(max(value, least), BLEND_MAX_PX))
