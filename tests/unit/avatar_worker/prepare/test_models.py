"""The networks that come in packages, and what is said when they are not there."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from avatar_worker.prepare.errors import ModelsMissingError
from avatar_worker.prepare.models.detector import FaceDetector
from avatar_worker.prepare.models.mesh import N_POINTS, FaceMesh
from avatar_worker.prepare.models.network import INSTALL, Network
from avatar_worker.prepare.models.person import PersonMask
from tests.unit.avatar_worker.prepare.footage import mira

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize("package", ["mediapipe", "ai-edge-litert"])
def test_absent_packages_are_named_with_the_command_that_brings_them(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    if package == "mediapipe":
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    else:
        monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ModelsMissingError, match=package) as refusal:
        Network("mesh")
    assert INSTALL in str(refusal.value)


def test_the_command_exists_and_installs_both_packages_by_their_hashes() -> None:
    rules = (ROOT / "Makefile").read_text()
    command, target = INSTALL.split()
    assert command == "make"
    rule = rules[rules.index(f"\n{target}:") :].split("\n\n")[0]
    for name, package in (("prepare", "ai-edge-litert"), ("prepare-weights", "mediapipe")):
        (line,) = (line for line in rule.splitlines() if f"requirements/{name}.txt" in line)
        assert "--no-deps --require-hashes" in line
        pinned = (ROOT / f"requirements/{name}.txt").read_text()
        assert pinned.startswith(f"{package}==")
        assert pinned.count("--hash=sha256:") > 3
        assert "http" not in pinned


def test_nothing_of_mediapipe_is_imported() -> None:
    Network("detector")
    assert "mediapipe" not in sys.modules


def test_one_face_is_found_once_in_any_picture_format() -> None:
    detector = FaceDetector()
    beside = np.full((512, 400, 3), 150, np.uint8)
    for picture in (mira(0), np.concatenate([mira(0), beside], axis=1),
                    np.concatenate([mira(0), beside[:, :512].repeat(2, 1)[:, :512]])):  # fmt: skip
        (face,) = detector(picture)
        left, top, right, bottom = face.box
        # The brows are at row 180, the chin at 380, the cheeks at 165 and 358.
        assert 130 < left < 190
        assert 140 < top < 200
        assert 330 < right < 390
        assert 360 < bottom < 410


def test_the_mesh_does_not_depend_on_where_the_face_was_before() -> None:
    fresh, following = FaceMesh(FaceDetector()), FaceMesh(FaceDetector())
    following(mira(0))
    followed, found = following(mira(3)), fresh(mira(3))
    assert followed is not None
    assert found is not None
    assert followed.shape == (N_POINTS, 3)
    assert np.abs(followed - found)[:, :2].max() < 3.0


def test_a_mirrored_face_has_the_mirrored_mesh() -> None:
    mesh = FaceMesh(FaceDetector())
    straight = mesh(mira(0))
    mesh.forget()
    mirrored = mesh(np.ascontiguousarray(mira(0)[:, ::-1]))
    assert straight is not None
    assert mirrored is not None
    # Eye corners and lids change sides: 33 ↔ 263, 133 ↔ 362, 159 ↔ 386, 145 ↔ 374.
    for right, left in ((33, 263), (133, 362), (159, 386), (145, 374)):
        expected = (511 - straight[left, 0], straight[left, 1])
        assert mirrored[right, :2] == pytest.approx(expected, abs=3.0)


def test_a_person_is_told_from_the_wall() -> None:
    share = PersonMask()(mira(0))
    assert share.shape == (512, 512)
    assert share[250, 256] > 0.9  # the nose
    assert share[480, 256] > 0.9  # the chest
    assert share[100, 60] < 0.1
    assert share[100, 460] < 0.1
