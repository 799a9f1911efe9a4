"""Pictures on their way to a file."""

import resource

import av
import numpy as np
import pytest

from avatar_worker.video_file import NpzWriter, PictureWriter, VideoWriter

pytestmark = pytest.mark.unit

SIZE = (128, 128)
NOISE = np.random.default_rng(0).integers(0, 256, (30, 128, 128, 4), np.uint8)
SUFFIXES = (".npz", ".mp4", ".webm", ".mov")


def writer_for(path, n_frames: int = 4) -> PictureWriter:
    if path.suffix == ".npz":
        return NpzWriter(path, n_frames, SIZE)
    return VideoWriter(path, SIZE, (np.zeros(16_000, np.float32), 16_000))


def add(writer: PictureWriter, path, noise) -> None:
    n_channels = 4 if path.suffix in (".webm", ".mov") else 3
    for index, picture in enumerate(noise):
        writer.add(index, picture[:, :, :n_channels])


def write(path, noise) -> None:
    with writer_for(path, len(noise)) as writer:
        add(writer, path, noise)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_told_with_the_name_asked_for_and_nothing_stays(suffix, tmp_path):
    """The hidden part stayed, and was what the message named."""
    out = tmp_path / f"x{suffix}"
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, most))  # 30 of noise are more
    try:
        with pytest.raises(OSError, match="File too large") as refused:
            write(out, NOISE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert refused.value.filename == str(out)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".npz", ".mp4"])
def test_two_runs_may_write_to_one_name(suffix, tmp_path):
    """Both wrote to one hidden file, and what came of it could not be played."""
    out = tmp_path / f"x{suffix}"
    with writer_for(out) as first, writer_for(out) as second:
        add(first, out, NOISE[:4])
        add(second, out, NOISE[4:8])
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    (tmp_path / "other").touch()
    assert out.stat().st_mode == (tmp_path / "other").stat().st_mode
    if suffix == ".npz":
        with np.load(out) as drawn:
            assert np.array_equal(drawn["frames"], NOISE[:4, :, :, :3])  # the last to end
    else:
        with av.open(str(out)) as video:
            assert len(list(video.decode(video=0))) == 4


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_name_that_cannot_be_is_refused_before_the_first_picture(suffix, tmp_path):
    out = tmp_path / f"{'n' * 255}{suffix}"
    with pytest.raises(OSError, match="too long") as refused, writer_for(out):
        pytest.fail("it was begun")
    assert refused.value.filename == str(out)
