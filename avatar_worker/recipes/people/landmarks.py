"""The 68 usual face landmarks as vertices of the mesh."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from avatar_worker.recipes.people.camera import Pose, project_world
from avatar_worker.recipes.people.character import Character
from avatar_worker.recipes.people.mesh import Floats

VERTICES = np.array(
    [
        *(5187, 5326, 5177, 5208, 737, 5297, 5294, 5292, 5296),  # jaw, picture left to chin
        *(11898, 11900, 11902, 7457, 11819, 11789, 11930, 11799),
        *(262, 224, 222, 223, 208, 6983, 6997, 6996, 6998, 7031),  # brows
        *(133, 131, 201, 297, 286, 5138, 343, 11752, 7055),  # nose
        *(26, 1081, 1099, 1180, 1096, 1094, 7872, 7791, 7773, 6810, 7786, 7788),  # eyes
        *(425, 409, 450, 455, 7210, 7169, 10403, 7235, 7241, 492, 486, 480),  # outer lips
        *(421, 514, 474, 7261, 7181, 7279, 523, 534),  # inner lips
    ]
)
CHIN, NOSE_TIP = 8, 30


def landmarks(character: Character, units: Mapping[str, float], pose: Pose) -> Floats:
    """[68, 2] pixels (column, row) in this state."""
    return project_world(character.vertices(units, pose)[VERTICES])
