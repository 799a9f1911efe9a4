"""Brows, lids and jaw from the mesh."""

from functools import cache

import numpy as np
import pytest

from avatar_worker.prepare.expression import COLUMNS, SIDES, coefficients, smoothed
from avatar_worker.prepare.mesh_parts import STEADY
from avatar_worker.prepare.models.detector import FaceDetector
from avatar_worker.prepare.models.mesh import FaceMesh
from avatar_worker.prepare.pose.surface import BROW_ENDS
from avatar_worker.recipes.people.units import NAMES
from avatar_worker.render.data_folder import EYE_COLUMNS
from tests.unit.avatar_worker.prepare.footage import mira

pytestmark = pytest.mark.unit

N = 40
EVENT = slice(18, 23)
STEADY_POINTS = np.array(STEADY)
AT_REST = np.zeros((N, 4))


@cache
def face() -> np.ndarray:
    mesh = FaceMesh(FaceDetector())(mira(0))
    assert mesh is not None
    return mesh


def clip() -> np.ndarray:
    """The same face for 40 frames. [40, 468, 3]"""
    return np.tile(face(), (N, 1, 1))


def column(rows: np.ndarray, name: str) -> np.ndarray:
    return rows[:, COLUMNS[name]]


def test_columns_are_arkits_and_hold_what_the_trainer_reads() -> None:
    assert all(NAMES[number] == name for name, number in COLUMNS.items())
    assert set(EYE_COLUMNS["upper"]) <= set(COLUMNS.values())


def test_a_still_face_has_no_expression() -> None:
    rows = coefficients(clip(), AT_REST, STEADY_POINTS)
    assert rows.shape == (N, 52)
    assert rows.max() < 0.05


@pytest.mark.parametrize("side", ["Left", "Right"])
def test_a_wink_is_seen_on_its_own_side(side: str) -> None:
    meshes, at = clip(), SIDES[side]
    for above, below in zip(at.above, at.below, strict=True):
        meshes[EVENT, above, 1] = meshes[EVENT, below, 1] - 1.0
    rows = coefficients(meshes, AT_REST, STEADY_POINTS)
    other = "Right" if side == "Left" else "Left"
    assert column(rows, f"eyeBlink{side}")[20] > 0.95
    assert column(rows, f"eyeBlink{side}")[:15].max() < 0.05
    assert column(rows, f"eyeBlink{other}").max() < 0.05


def test_somebody_who_never_blinks_gets_no_blinks() -> None:
    meshes = clip() + np.random.default_rng(0).normal(0, 0.3, (N, 468, 3))
    rows = coefficients(meshes, AT_REST, STEADY_POINTS)
    assert column(rows, "eyeBlinkLeft").max() < 0.35


def test_brows_that_rise_and_fall_are_told_apart() -> None:
    moved = AT_REST.copy()
    moved[EVENT] = 0.004
    up, down = (coefficients(clip(), brows, STEADY_POINTS) for brows in (moved, -moved))
    for name in ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"):
        assert column(up, name)[20] > 0.5
        assert column(down, name).max() < 0.1
    for name in ("browDownLeft", "browDownRight"):
        assert column(down, name)[20] > 0.5
        assert column(up, name).max() < 0.1


def test_one_brow_may_rise_alone() -> None:
    moved = AT_REST.copy()
    moved[EVENT, BROW_ENDS.index("left outer")] = 0.004
    rows = coefficients(clip(), moved, STEADY_POINTS)
    assert column(rows, "browOuterUpLeft")[20] > 0.5
    assert column(rows, "browOuterUpRight").max() < 0.1


def test_an_open_mouth_opens_the_jaw() -> None:
    meshes = clip()
    meshes[EVENT, 14, 1] += 30
    assert column(coefficients(meshes, AT_REST, STEADY_POINTS), "jawOpen")[20] > 0.4


def test_a_turned_head_does_not_raise_its_brows() -> None:
    angle = np.radians(12) * np.sin(np.arange(N) / 4)
    middle = face().mean(axis=0)
    meshes = np.stack(
        [
            (face() - middle)
            @ np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
            + middle
            for a in angle
        ]
    )
    rows = coefficients(meshes, AT_REST, STEADY_POINTS)
    for name in ("browInnerUp", "browDownLeft", "browOuterUpRight"):
        assert column(rows, name).max() < 0.1


def test_frames_without_a_face_repeat_their_neighbours() -> None:
    meshes = clip()
    meshes[EVENT, 14, 1] += 30
    meshes[20] = np.nan
    rows = coefficients(meshes, AT_REST[1:], STEADY_POINTS)  # brows are of frames with a face
    assert np.isfinite(rows).all()
    assert column(rows, "jawOpen")[20] > 0.4


def test_smoothing_keeps_a_parabola() -> None:
    curve = (np.arange(20.0) ** 2)[:, None]
    assert np.allclose(smoothed(curve)[2:-2], curve[2:-2])
