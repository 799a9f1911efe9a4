"""Sound and pictures of the folder, and how files come into being."""

import errno
import wave
from pathlib import Path

import numpy as np
import pytest

from avatar_worker.prepare.crop import SIZE_PX, Crop, choose_crop
from avatar_worker.prepare.errors import FolderError
from avatar_worker.prepare.files import sweep, write_array, write_picture
from avatar_worker.prepare.job import Job, read_array, read_picture
from avatar_worker.prepare.journal import Journal, read_journal
from avatar_worker.prepare.steps.frames import write_frames
from avatar_worker.prepare.steps.sound import write_sound
from avatar_worker.prepare.video import open_video
from avatar_worker.whole_files import write_whole
from tests.unit.avatar_worker.prepare.footage import film, mira, speech, still

pytestmark = pytest.mark.unit

WHOLE = Crop(0, 0, 512)


def ignore(done: int, total: int) -> None:
    assert 0 <= done <= total


def job_of(video: Path, folder: Path, crop: Crop = WHOLE) -> Job:
    return Job(open_video(video), folder, crop, None)


def face_at(left: float, top: float, width: float, height: float) -> np.ndarray:
    """A mesh that fills a rectangle."""
    corners = np.array([[left, top, 0], [left + width, top + height, 0]])
    return np.concatenate([corners, np.tile(corners[:1], (466, 1))])


def test_the_sound_is_16_khz_mono_and_as_long_as_the_pictures(tmp_path: Path) -> None:
    video = film(tmp_path / "v.mp4", [still()] * 50, sound=speech(1.2))
    write_sound(job_of(video, tmp_path), ignore)
    with wave.open(str(tmp_path / "aud.wav")) as file:
        form = (file.getnchannels(), file.getsampwidth(), file.getframerate(), file.getnframes())
        samples = np.frombuffer(file.readframes(32_000), "<i2")
    assert form == (1, 2, 16_000, 32_000)  # 50 frames of 640 samples
    assert np.abs(samples[:16_000]).max() > 1000
    assert np.abs(samples[22_000:]).max() == 0


def test_pictures_are_numbered_from_0_and_cut_to_the_square(tmp_path: Path) -> None:
    wide = [np.concatenate([mira(n), mira(n)[:, :200]], axis=1) for n in range(3)]
    job = job_of(film(tmp_path / "v.mp4", wide), tmp_path, Crop(100, 0, 500))
    write_frames(job, ignore)
    assert sorted(p.name for p in (tmp_path / "ori_imgs").iterdir()) == ["0.jpg", "1.jpg", "2.jpg"]
    picture = job.read_original(1)
    assert picture.shape == (512, 512, 3)
    expected = Crop(100, 0, 500).cut(wide[1])
    assert np.abs(picture.astype(int) - expected).mean() < 4


def test_pictures_that_are_there_are_not_written_again(tmp_path: Path) -> None:
    job = job_of(film(tmp_path / "v.mp4", [mira(n) for n in range(3)]), tmp_path)
    (tmp_path / "ori_imgs").mkdir()
    (tmp_path / "ori_imgs/1.jpg").write_bytes(b"kept")
    write_frames(job, ignore)
    assert (tmp_path / "ori_imgs/1.jpg").read_bytes() == b"kept"
    assert job.read_original(2).shape == (512, 512, 3)


def test_a_square_video_with_a_usual_face_is_kept_whole() -> None:
    assert choose_crop([face_at(165, 146, 193, 234)], 512, 512) == Crop(0, 0, 512)


def test_a_person_at_the_side_of_a_wide_video_is_cut_out_with_room_for_hair() -> None:
    crop = choose_crop([face_at(1300, 300, 200, 240)], 1920, 1080)
    # 2.3 faces of 240 px are 552; the face's middle (1400, 420) lies at 47 % of the height.
    assert crop == Crop(1400 - 276, round(420 - 552 * 0.47), 552)


def test_a_face_that_wanders_stays_inside_the_square() -> None:
    places = [face_at(600 + 100 * k, 300, 200, 240) for k in range(5)]
    crop = choose_crop(places, 1920, 1080)
    assert crop.left <= 600
    assert crop.left + crop.side >= 1200
    assert crop.top >= 0
    assert crop.top + crop.side <= 1080


def test_the_square_never_leaves_the_picture() -> None:
    for left in (0, 440):
        crop = choose_crop([face_at(left, 0, 200, 240)], 640, 800)
        assert crop.left >= 0
        assert crop.left + crop.side <= 640
        assert crop.top >= 0
        assert crop.top + crop.side <= 800
    assert Crop(3, 5, 300).cut(still(width=400, height=400)).shape == (SIZE_PX, SIZE_PX, 3)


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.bin"
    write_whole(path, b"old")

    def full(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left") as error:
        write_whole(path, b"new")
    assert error.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_run_left_unfinished_is_swept_away(tmp_path: Path) -> None:
    (tmp_path / "prepare/mesh").mkdir(parents=True)
    (tmp_path / "ori_imgs").mkdir()
    rests = [tmp_path / ".bc.jpg.part", tmp_path / "ori_imgs/.7.jpg.part",
             tmp_path / "prepare/mesh/.0.npy.part"]  # fmt: skip
    for rest in rests:
        rest.write_bytes(b"half")
    write_whole(tmp_path / "ori_imgs/6.jpg", b"whole")
    sweep(tmp_path)
    assert not any(rest.exists() for rest in rests)
    assert (tmp_path / "ori_imgs/6.jpg").read_bytes() == b"whole"


def test_pictures_and_numbers_come_back_as_they_were(tmp_path: Path) -> None:
    picture = mira(0)
    write_picture(tmp_path / "a.png", picture)
    assert np.array_equal(read_picture(tmp_path / "a.png"), picture)
    numbers = np.arange(6.0).reshape(2, 3)
    write_array(tmp_path / "a.npy", numbers)
    assert np.array_equal(read_array(tmp_path / "a.npy"), numbers)
    (tmp_path / "a.npy").write_bytes(b"half of it")
    with pytest.raises(FolderError, match="--restart"):
        read_array(tmp_path / "a.npy")


def test_the_journal_remembers_what_is_done(tmp_path: Path) -> None:
    assert read_journal(tmp_path) is None
    journal = Journal(tmp_path, "digest", Crop(1, 2, 3), None)
    journal.store()
    journal.with_done("sound").with_done("frames")
    assert read_journal(tmp_path) == Journal(
        tmp_path, "digest", Crop(1, 2, 3), None, ("sound", "frames")
    )


@pytest.mark.parametrize("content", ["", "{}", '{"format": 99}', "[1]", '{"format": 1}'])
def test_a_damaged_journal_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "prepare").mkdir()
    (tmp_path / "prepare/journal.json").write_text(content)
    with pytest.raises(FolderError, match="damaged"):
        read_journal(tmp_path)


def test_a_data_folder_of_other_making_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "ori_imgs").mkdir()
    with pytest.raises(FolderError, match="not begun by this command"):
        read_journal(tmp_path)
