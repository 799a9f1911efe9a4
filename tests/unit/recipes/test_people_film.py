"""A film has all its frames, and the sound of each with it."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from avatar_worker.audio.sound import read_sound
from avatar_worker.recipes.people import film as film_module
from avatar_worker.recipes.people.draw import draw_plan
from avatar_worker.recipes.people.film import FramesMissingError, sound_of, write_film
from avatar_worker.recipes.people.jonas import JONAS
from avatar_worker.recipes.people.plan import Frame, Plan, make_plan
from avatar_worker.recipes.people.script import SpokenTrack
from avatar_worker.recipes.speech.utterance import Mark
from tests.unit.recipes.people_cast import plan_of

pytestmark = pytest.mark.unit

SIZE = 64
FRAMES = 20
FLASH = 9
"""The frame that is white, and sounds."""


class FlashRenderer:
    """Black pictures, but for one that is white."""

    def draw(self, frame: Frame, picture: Path, mask: Path) -> None:
        """Writes both."""
        grey = np.full((SIZE, SIZE, 3), 255 * (frame.index == FLASH), dtype=np.uint8)
        cv2.imwrite(str(picture), grey)
        cv2.imwrite(str(mask), grey)


@pytest.fixture
def track() -> SpokenTrack:
    """Silence, but for the 40 ms of one frame: 1 kHz."""
    samples = np.zeros(FRAMES * 960, dtype=np.float32)
    t = np.arange(960) / 24_000
    samples[FLASH * 960 : (FLASH + 1) * 960] = 0.8 * np.sin(2 * np.pi * 1000 * t)
    return SpokenTrack(samples, (Mark("sil", 0.0, FRAMES / 25),), (0,), FRAMES)


@pytest.fixture
def plan(track: SpokenTrack) -> Plan:
    return make_plan(track, JONAS)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of 64 px."""
    monkeypatch.setattr(film_module, "SIZE_PX", SIZE)


def drawn(plan: Plan, work: Path, limit: int | None = None) -> Path:
    draw_plan(plan, FlashRenderer, work, limit=limit, say=lambda line: None)
    return work / "film.mp4"


def write(plan: Plan, track: SpokenTrack, path: Path, frames: int | None = None) -> list[str]:
    said: list[str] = []
    write_film(plan, track, path.parent, path, frames=frames, say=said.append)
    return said


def test_picture_and_sound_come_at_the_same_time(
    plan: Plan, track: SpokenTrack, tmp_path: Path
) -> None:
    path = drawn(plan, tmp_path)

    write(plan, track, path)

    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert (video.codec_context.name, video.average_rate) == ("h264", 25)
        assert container.streams.audio[0].codec_context.name == "aac"
        pictures = [(f.time, f.to_ndarray(format="gray").mean()) for f in container.decode(video=0)]
    assert len(pictures) == FRAMES
    assert [grey > 128 for _, grey in pictures] == [at == FLASH for at in range(FRAMES)]
    np.testing.assert_allclose([at for at, _ in pictures], np.arange(FRAMES) / 25, atol=1e-4)
    sound = read_sound(path)
    loud = np.flatnonzero(np.abs(sound.samples[0]) > 0.4) / sound.rate_hz
    # The tone lasts from 0.36 s to 0.40 s; a coder rings a little, a frame would be 40 ms.
    assert loud[0] == pytest.approx(FLASH / 25, abs=0.002)
    assert loud[-1] == pytest.approx((FLASH + 1) / 25, abs=0.002)


def test_a_film_with_holes_is_refused_with_their_number(
    plan: Plan, track: SpokenTrack, tmp_path: Path
) -> None:
    path = drawn(plan, tmp_path, limit=12)

    with pytest.raises(FramesMissingError, match="8 of 20 frames"):
        write(plan, track, path)
    assert not path.exists()


def test_the_first_frames_make_a_shorter_film(
    plan: Plan, track: SpokenTrack, tmp_path: Path
) -> None:
    path = drawn(plan, tmp_path, limit=12)

    write(plan, track, path, frames=12)

    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 12
    sound = read_sound(path)
    assert sound.samples.shape[-1] / sound.rate_hz == pytest.approx(12 / 25, abs=0.03)


def test_a_finished_film_is_kept_until_a_frame_is_drawn_anew(
    plan: Plan, track: SpokenTrack, tmp_path: Path
) -> None:
    path = drawn(plan, tmp_path)
    write(plan, track, path)
    before = path.read_bytes()

    assert write(plan, track, path) == [f"{path} is written already"]
    assert path.read_bytes() == before
    assert write(plan, track, path, frames=12) == [f"{path}: 12 frames with sound"]


def test_the_sound_is_silent_under_a_pose_loop(track: SpokenTrack) -> None:
    sound = sound_of(plan_of(track, 5), track)

    assert len(sound) == (FRAMES + 5) * 960
    assert np.flatnonzero(sound)[0] // 960 == FLASH + 5
