"""Gives every pixel of a person to face, other head, neck or torso.

Colour says what a pixel may be, place what is likely there: hair hangs beside the neck rather than
before it (a dark throat is shadow), the neck lies under the chin, clothes begin below.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from avatar_worker.prepare.regions.colours import MAX_COST, Colours, Material, to_lab
from avatar_worker.prepare.regions.person import fill_holes
from avatar_worker.prepare.regions.place import Place

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]

BACKGROUND, FACE, HEAD, NECK, TORSO = range(5)

SURE_HEAD: Final = 0.7
"""Above this height everything of a person is head: shoulders do not reach so far up."""

MARGIN: Final = 0.05
"""By which colours are looked at beyond where they decide, for the smoothing."""

SMOOTH_PX: Final = 5
FRINGE: Final = 0.45
"""Above this height hair may hang into the face's outline."""

FRINGE_COST: Final = 2.0
SPECK_PX: Final = 150


def label(
    picture: NDArray[np.uint8], person: Bools, place: Place, colours: Colours
) -> NDArray[np.uint8]:
    """`BACKGROUND` … `TORSO` for every pixel of an RGB picture. [H, W]"""
    side, down = np.abs(place.across), place.down
    asked = (person & (down > SURE_HEAD - MARGIN)) | (place.inside & (down < FRINGE + MARGIN))
    lab = to_lab(picture)[asked]
    skin, hair, clothes = (
        _cost(material, lab, asked) for material in (colours.skin, colours.hair, colours.clothes)
    )
    costs = np.stack(
        [
            np.minimum(
                hair + 20.0 * _over(down, 1.0) + 60.0 * _over(-side, -0.45) * (down > 0.9),
                skin + 40.0 * _over(down, 0.85),
            ),
            skin + 12.0 * _over(side, 0.45) + 25.0 * _over(-down, -0.85) + 8.0 * _over(down, 1.7),
            clothes + 25.0 * _over(-down, -1.05),
        ]
    )
    smooth = np.stack([cv2.blur(cost.astype(np.float32), (SMOOTH_PX, SMOOTH_PX)) for cost in costs])
    smooth[1:, down < SURE_HEAD] = np.inf
    labels = np.where(person, HEAD + smooth.argmin(axis=0), BACKGROUND).astype(np.uint8)
    fringe = _fringe(place, (down < FRINGE) & (cv2.blur(skin - hair, (3, 3)) > FRINGE_COST))
    labels[place.inside & ~fringe] = FACE
    labels[place.inside & fringe] = HEAD
    return _without_islands(labels, person | place.inside, smooth)


def _fringe(place: Place, like_hair: Bools) -> Bools:
    """Hair that hangs into the face: what looks like it and hangs together with hair outside."""
    outside = cv2.dilate((~place.inside).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    count, parts = cv2.connectedComponents((like_hair & place.inside).astype(np.uint8))
    touches = np.zeros(count, bool)
    touches[np.unique(parts[outside & (place.down < FRINGE)])] = True
    touches[0] = False
    return np.asarray(touches[parts] & ~place.features)


def _cost(material: Material | None, lab: Floats, asked: Bools) -> Floats:
    """Cost of a material where it is asked for, the highest elsewhere. [H, W]"""
    cost = np.full(asked.shape, MAX_COST, np.float32)
    if material is not None:
        cost[asked] = material.cost(lab)
    return cost


def _over(values: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    return np.asarray(np.maximum(values - limit, 0.0))


def _without_islands(labels: NDArray[np.uint8], person: Bools, costs: Floats) -> NDArray[np.uint8]:
    """Head is what hangs together with the face; specks join what is around them."""
    head = fill_holes((labels == FACE) | (labels == HEAD), SPECK_PX) & person
    count, parts = cv2.connectedComponents(head.astype(np.uint8))
    with_face = np.zeros(count, bool)
    with_face[np.unique(parts[labels == FACE])] = True
    with_face[0] = False
    head &= with_face[parts]
    body = NECK + costs[1:].argmin(axis=0).astype(np.uint8)
    result = np.where(person, body, BACKGROUND).astype(np.uint8)
    for which, other in ((NECK, TORSO), (TORSO, NECK)):
        count, parts, stats, _ = cv2.connectedComponentsWithStats(
            ((result == which) & ~head).astype(np.uint8)
        )
        small = stats[:, cv2.CC_STAT_AREA] < SPECK_PX
        small[0] = False
        result[small[parts]] = other
    result[head] = HEAD
    result[head & (labels == FACE)] = FACE
    return result
