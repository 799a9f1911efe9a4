"""Head and torso before something else than the room they were filmed in, or before nothing.

Not for portraits: their original frames have the room in them.

    head [H, W, 4] ──┐
                     ├─► over each other ─► colour / opacity ─► RGBA, transparent behind
    torso [H, W, 4] ─┤
                     └─► over a still picture ─► background of a scene, head drawn on it as ever

Both layers are float32, colour multiplied by opacity.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from avatar_worker.render.errors import UnsupportedCharacterError
from avatar_worker.render.scene import MadeScenes, Scene, SceneSource

BACKDROP_CACHE_BYTES: Final = 256 * 1024**2
Colour = tuple[int, int, int]

_COLOUR: Final = re.compile(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")
_NAMED: Final[dict[str, Colour]] = {"white": (255, 255, 255), "black": (0, 0, 0)}


@runtime_checkable
class LayeredScenes(Protocol):
    """Scenes whose torso can be had without what is behind it."""

    def torso(self, index: int) -> Float[np.ndarray, "H W 4"]:
        """Of scene `index`: colour · opacity, opacity.

        Raises:
            UnsupportedCharacterError: these scenes cannot tell the two apart.
        """


def colour_of(text: str) -> Colour | None:
    """`#rrggbb`, `white` or `black`; None for anything else."""
    if found := _COLOUR.fullmatch(text):
        red, green, blue = (int(part, 16) for part in found.groups())
        return red, green, blue
    return _NAMED.get(text)


def wanted_colour(options: Mapping[str, Any], *, portrait: bool) -> Colour | None:
    """Option `background` of a character or a session: `#rrggbb`; None where there is none.

    Raises:
        UnsupportedCharacterError: no colour, or there is a portrait.
    """
    text = options.get("background")
    if text is None:
        return None
    colour = colour_of(text) if isinstance(text, str) else None
    if colour is None:
        raise UnsupportedCharacterError(f"background is {text!r}; expected a colour: #rrggbb")
    if portrait:
        raise no_portrait("background")
    return colour


def no_portrait(what: str) -> UnsupportedCharacterError:
    """The refusal of what a portrait cannot have."""
    return UnsupportedCharacterError(
        f"{what} is not for portraits: the original frame has its own background in it"
    )


def torso_of(scenes: SceneSource | None, index: int) -> Float[np.ndarray, "H W 4"]:
    """The torso's layer of a scene.

    Raises:
        UnsupportedCharacterError: there is none.
    """
    if not isinstance(scenes, LayeredScenes):
        raise UnsupportedCharacterError("these scenes do not tell the torso from its background")
    return scenes.torso(index)


def premultiplied(picture: UInt8[np.ndarray, "H W 4"]) -> Float[np.ndarray, "H W 4"]:
    """The layer of an RGBA picture."""
    layer = picture.astype(np.float32) / np.float32(255.0)
    layer[:, :, :3] *= layer[:, :, 3:]
    return layer


def before(
    torso: Float[np.ndarray, "H W 4"], still: UInt8[np.ndarray, "H W 3"]
) -> UInt8[np.ndarray, "H W 3"]:
    """The torso over a still picture."""
    levels = 255.0 * torso[:, :, :3] + still * (1.0 - torso[:, :, 3:])
    return np.asarray(np.rint(levels.clip(0.0, 255.0)), np.uint8)


def cut_out(
    head: Float[np.ndarray, "H W 4"], torso: Float[np.ndarray, "H W 4"]
) -> UInt8[np.ndarray, "H W 4"]:
    """Head over torso as an RGBA picture; colours are not multiplied by opacity, and truncated
    like those of every other picture."""
    whole = (head + (1.0 - head[:, :, 3:]) * torso).clip(0.0, 1.0)
    opacity = whole[:, :, 3:]
    colour = np.divide(
        whole[:, :, :3], opacity, out=np.zeros_like(whole[:, :, :3]), where=opacity > 0.5 / 255.0
    )
    picture = np.concatenate((255.0 * colour.clip(0.0, 1.0), np.rint(255.0 * opacity)), axis=2)
    return picture.astype(np.uint8)


class BackdropScenes(MadeScenes):
    """Scenes before a still picture instead of their own; each is made when first asked for.

    Args:
        scenes: whose torso is known by itself (`LayeredScenes`); no portraits.
        still: a colour, or a picture of the scenes' size.
        cache_bytes: memory for scenes that were used lately.
    """

    def __init__(
        self,
        scenes: SceneSource,
        still: Colour | UInt8[np.ndarray, "H W 3"],
        *,
        cache_bytes: int = BACKDROP_CACHE_BYTES,
    ) -> None:
        torso_of(scenes, 0)  # refused now rather than in the middle of a session
        make = partial(_with_backdrop, scenes, np.asarray(still, np.uint8))
        super().__init__(scenes, make, cache_bytes)


def _with_backdrop(scenes: SceneSource, still: UInt8[np.ndarray, "..."], index: int) -> Scene:
    return replace(scenes.scene(index), background=before(torso_of(scenes, index), still))
