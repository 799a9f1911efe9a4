"""The measure of `prepare` finds nothing wrong with a folder that holds the truth itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from avatar_worker.prepare.crop import Crop
from avatar_worker.prepare.journal import Journal
from avatar_worker.recipes.people.camera import Pose
from avatar_worker.recipes.people.data_folder import write_folder
from avatar_worker.recipes.people.draw import draw_plan
from avatar_worker.recipes.people.jonas import JONAS
from avatar_worker.recipes.people.mesh import VERTICES
from avatar_worker.recipes.people.plan import make_plan
from tests.bench.prepare_truth import compare, require_whole_pictures, truth_of_plan
from tests.unit.recipes.people_cast import FakeRenderer, class_picture, short_track

pytestmark = pytest.mark.unit

FRAMES = 60


class FlatCharacter:
    """All vertices in one point of the head."""

    def vertices(self, units: Mapping[str, float], pose: Pose) -> np.ndarray:
        """[N, 3] dm."""
        return np.tile([0.0, 6.45, 0.42], (VERTICES, 1))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn film, and a folder as a perfect `prepare` would leave it."""
    work = tmp_path_factory.mktemp("jonas")
    track = short_track(FRAMES)
    plan = make_plan(track, JONAS)
    plan.write(work / "plan.json")
    draw_plan(plan, FakeRenderer, work, say=lambda line: None)
    (work / "plates").mkdir()
    grey = np.full((512, 512, 4), 90, dtype=np.uint8)
    cv2.imwrite(str(work / "plates/background.png"), grey[..., :3])
    cv2.imwrite(str(work / "plates/torso.png"), grey)
    cv2.imwrite(str(work / "plates/mask.png"), class_picture()[..., ::-1])
    write_folder(plan, track, FlatCharacter(), work, work / "data", say=lambda line: None)  # type: ignore[arg-type]
    return work


def test_the_truth_is_compared_with_itself_without_a_difference(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compare(work / "data", truth_of_plan(work), None)

    said = capsys.readouterr().out
    assert "pitch 0.00°, yaw 0.00°, roll 0.00°" in said
    assert "1333 px found, 1333 px true" in said
    assert "0.00 px root mean square" in said
    assert "person: overlap 1.000 (worst frame 1.000)" in said
    assert "head:   overlap 1.000" in said
    for name in ("eyeBlinkLeft", "browInnerUp", "jawOpen"):
        assert f"{name:16}  1.00" in said


def test_a_shorter_film_is_compared_with_the_plans_first_frames(work: Path) -> None:
    truth = truth_of_plan(work).first(25)

    assert len(truth.heads) == len(truth.units) == 25


def test_a_folder_of_cut_pictures_is_refused(work: Path) -> None:
    data = work / "data"
    Journal(data, "", Crop(0, 0, 512), None).store()
    require_whole_pictures(data)

    Journal(data, "", Crop(20, 0, 480), None).store()

    with pytest.raises(SystemExit, match="whole pictures"):
        require_whole_pictures(data)
