"""The colours of one person's skin, hair and clothes, learned from where these surely are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from avatar_worker.prepare.regions.place import Place

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]

TONES: Final = 4
"""Light, shadow and two more of each material."""

MAX_PIXELS: Final = 4000
"""Learned from in each picture and material."""

MIN_DEVIATION: Final = np.array([8.0, 3.0, 3.0])
"""Of lightness and the two colour axes (CIE Lab): light changes more than hue."""

MAX_HUE_DISTANCE: Final = 10.0
MAX_COST: Final = 30.0
DISTINCT_COST: Final = 6.0
"""A seed that another material explains at less than this cost is a mistake, and left out."""

MIN_DISTINCT: Final = 0.2
"""Share of the seeds that must be left for a material to exist: a bald head has no hair."""


@dataclass(frozen=True, slots=True)
class Material:
    """Tones as normal distributions in Lab. [t, 3] each."""

    means: Floats
    deviations: Floats

    def cost(self, lab: Floats) -> Floats:
        """How badly the nearest tone explains colours, 0 … `MAX_COST`. [n, 3] → [n]"""
        best = np.full(len(lab), MAX_COST, np.float32)
        lightness, green_red, blue_yellow = np.ascontiguousarray(lab.T)
        for mean, deviation in zip(self.means, self.deviations, strict=True):
            away = ((lightness - mean[0]) / deviation[0]) ** 2
            away += ((green_red - mean[1]) / deviation[1]) ** 2
            away += ((blue_yellow - mean[2]) / deviation[2]) ** 2
            np.minimum(best, away / 2, out=best)
        return best


@dataclass(frozen=True, slots=True)
class Colours:
    """What a person is made of; hair may be missing."""

    skin: Material
    hair: Material | None
    clothes: Material | None


@dataclass(frozen=True, slots=True)
class Seeds:
    """Colours of pixels that surely belong to something, of one picture. [n, 3] each"""

    skin: Floats
    throat: Floats
    hair: Floats
    clothes: Floats


def to_lab(picture: NDArray[np.uint8]) -> Floats:
    """RGB → CIE Lab as floats. [H, W, 3]"""
    soft = cv2.GaussianBlur(picture, (0, 0), 1.0).astype(np.float32) / 255.0
    return np.asarray(cv2.cvtColor(soft, cv2.COLOR_RGB2Lab), np.float32)


def seeds_of(lab: Floats, person: Bools, place: Place) -> Seeds:
    """Where skin, hair and clothes surely are in one picture."""
    core = cv2.erode(person.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    side = np.abs(place.across)
    skin = place.inside & ~place.features & (side < 0.4) & (place.down > 0.2) & (place.down < 0.97)
    throat = core & (side < 0.15) & (place.down > 1.1) & (place.down < 1.2)
    hair = core & ~place.inside & (place.down < -0.08) & (side < 0.6)
    bottom = np.arange(len(person))[:, None] > 0.78 * len(person)
    clothes = core & ((place.down > 1.7) | (bottom & (place.down > 1.15)))
    return Seeds(*(_some(lab[where]) for where in (skin, throat, hair, clothes)))


def learn(seeds: Sequence[Seeds]) -> Colours | None:
    """What a person is made of, from the seeds of some pictures; None when no skin is seen."""
    skin = np.concatenate([s.skin for s in seeds])
    throat = np.concatenate([s.throat for s in seeds])
    hair = np.concatenate([s.hair for s in seeds])
    clothes = np.concatenate([s.clothes for s in seeds])
    if len(skin) < 100:
        return None
    # The throat is darker than the face, of the same hue; a collar has another.
    away = np.hypot(*(throat[:, 1:] - skin[:, 1:].mean(axis=0)).T)
    face = _material(np.concatenate([skin, throat[away < MAX_HUE_DISTANCE]]))
    return Colours(face, _distinct(hair, face), _distinct(clothes, face))


def _distinct(seeds: Floats, skin: Material) -> Material | None:
    """A material from the seeds that are not skin."""
    other = seeds[skin.cost(seeds) > DISTINCT_COST] if len(seeds) else seeds
    if len(other) < 100 or len(other) < MIN_DISTINCT * len(seeds):
        return None
    return _material(other)


def _material(pixels: Floats) -> Material:
    cv2.setRNGSeed(0)  # the same footage gives the same folder
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 0.1)
    labels = np.zeros((len(pixels), 1), np.int32)
    _, found, means = cv2.kmeans(np.ascontiguousarray(pixels), TONES, labels, criteria, 1,
                                 cv2.KMEANS_PP_CENTERS)  # fmt: skip
    tones = [pixels[np.asarray(found)[:, 0] == tone] for tone in range(TONES)]
    deviations = [
        np.maximum(tone.std(axis=0), MIN_DEVIATION) if len(tone) else MIN_DEVIATION
        for tone in tones
    ]
    return Material(np.asarray(means, np.float32), np.array(deviations, np.float32))


def _some(pixels: Floats) -> Floats:
    return pixels[:: max(1, len(pixels) // MAX_PIXELS)]
