"""What a file says about itself: pace, length, size, rotation."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from avatar_worker.prepare.checks.file import check_file
from avatar_worker.prepare.checks.finding import Finding
from avatar_worker.prepare.errors import FootageError
from avatar_worker.prepare.video import even_frames, nearest_pictures, open_video, read_speech
from tests.unit.avatar_worker.prepare.footage import film, mira, speech, still

pytestmark = pytest.mark.unit


def findings(
    path: Path, n: int, fps: float, size: tuple[int, int] = (512, 512), **more: Sequence[float]
) -> dict[str, Finding]:
    pictures = [still(width=size[0], height=size[1])] * n
    found = check_file(open_video(film(path / "video.mp4", pictures, fps=fps, **more)))
    return {finding.code: finding for finding in found}


def test_twelve_pictures_a_second_are_refused_with_what_is_wanted(tmp_path: Path) -> None:
    refused = findings(tmp_path, 12 * 61, 12, (64, 64))["frame-rate"]
    assert refused.is_refusal
    assert "12 pictures a second" in refused.found
    assert "25" in refused.wanted


@pytest.mark.parametrize("fps", [24, 30, 29.97, 50, 60])
def test_other_frame_rates_are_brought_to_25_and_said(tmp_path: Path, fps: float) -> None:
    advice = findings(tmp_path, int(fps * 61), fps, (64, 64))["frame-rate"]
    assert not advice.is_refusal
    assert f"{fps:.4g}" in advice.found


def test_a_minute_and_more_at_25_has_nothing_to_be_said_about(tmp_path: Path) -> None:
    assert findings(tmp_path, 25 * 61, 25) == {}


def test_a_varying_pace_is_evened_out_and_said(tmp_path: Path) -> None:
    times = np.cumsum([0.0, *([0.02, 0.06, 0.04, 0.12] * 440)])
    advice = findings(tmp_path, len(times), 17, (64, 64), times_s=times)
    # 4 pictures in 0.24 s: 16.7 a second, which is too few as well; what counts here is the pace.
    assert "frame-rate" in advice
    times = np.cumsum([0.0, *([0.02, 0.04, 0.04, 0.04, 0.04, 0.12, 0.02] * 250)])
    advice = findings(tmp_path, len(times), 22, (64, 64), times_s=times)
    assert not advice["uneven-pace"].is_refusal
    assert "120 ms" in advice["uneven-pace"].found


def test_a_picture_that_stands_for_a_second_is_refused_with_its_time(tmp_path: Path) -> None:
    times = np.arange(1800) / 25.0
    times[500:] += 1.0
    refused = findings(tmp_path, 1800, 25, (64, 64), times_s=times)["uneven-pace"]
    assert refused.is_refusal
    assert "1.0 s at 0:19" in refused.found


def test_eight_seconds_are_refused_and_half_a_minute_is_advised_against(tmp_path: Path) -> None:
    refused = findings(tmp_path, 8 * 25, 25, (64, 64))["length"]
    assert refused.is_refusal
    assert "8.0 s" in refused.found
    assert not findings(tmp_path, 30 * 25, 25, (64, 64))["length"].is_refusal


def test_eleven_minutes_are_too_much_of_a_good_thing(tmp_path: Path) -> None:
    advice = findings(tmp_path, 11 * 60 * 25, 25, (32, 32))["length"]
    assert not advice.is_refusal
    assert "11 minutes" in advice.found


def test_small_pictures_are_refused_and_middling_ones_advised_against(tmp_path: Path) -> None:
    assert findings(tmp_path, 50, 25, (320, 240))["size"].is_refusal
    assert not findings(tmp_path, 50, 25, (640, 360))["size"].is_refusal


@pytest.mark.parametrize("turn_deg", [90, 180, -90])
def test_a_phone_held_upright_gives_upright_pictures(tmp_path: Path, turn_deg: int) -> None:
    tall = np.concatenate([mira(0), mira(0)[:128]])
    lying = np.ascontiguousarray(np.rot90(tall, -turn_deg // 90))
    video = open_video(film(tmp_path / "v.mp4", [lying] * 5, turn_deg=turn_deg))
    assert (video.width, video.height) == (512, 640)
    picture = next(even_frames(video))
    assert np.abs(picture.astype(int) - tall).mean() < 4.0


def test_pictures_are_chosen_by_time_at_every_rate() -> None:
    # At 50 a second every other picture; at 12.5 each twice; where one is missing, the nearest.
    assert nearest_pictures(np.arange(100) / 50, 5).tolist() == [0, 2, 4, 6, 8]
    assert nearest_pictures(np.arange(100) / 12.5, 5).tolist() == [0, 0, 1, 1, 2]
    assert nearest_pictures(np.array([0.0, 0.04, 0.16, 0.2]), 6).tolist() == [0, 1, 1, 2, 2, 3]


def test_thirty_a_second_become_25_of_the_same_length(tmp_path: Path) -> None:
    video = open_video(film(tmp_path / "v.mp4", [still(n * 2) for n in range(90)], fps=30))
    greys = [int(picture.mean() / 2 + 0.5) for picture in even_frames(video)]
    assert len(greys) == 75
    # Step k is at k · 40 ms, picture n at n · 33.3 ms: every fifth step falls on every sixth one.
    assert greys[::5] == pytest.approx([6 * k for k in range(15)], abs=1)


def test_what_an_editor_cut_away_at_the_start_does_not_count(tmp_path: Path) -> None:
    """Phones trim by a mark in the file: the pictures before it are there, to be thrown away."""
    whole = film(tmp_path / "whole.mp4", [still(n * 2) for n in range(100)])
    options = {"avoid_negative_ts": "disabled", "use_editlist": "1"}
    with (
        av.open(str(whole)) as read,
        av.open(str(tmp_path / "cut.mp4"), "w", format="mp4", options=options) as written,
    ):
        source = read.streams.video[0]
        target = written.add_stream_from_template(source)
        for packet in read.demux(source):
            if packet.dts is not None:
                packet.pts -= int(0.6 / source.time_base)
                packet.dts -= int(0.6 / source.time_base)
                packet.stream = target
                written.mux(packet)
    video = open_video(tmp_path / "cut.mp4")
    pictures = list(even_frames(video))
    assert len(pictures) == video.n_frames == 85  # 15 of 40 ms are cut
    assert pictures[0].mean() / 2 == pytest.approx(15, abs=1)
    assert pictures[-1].mean() / 2 == pytest.approx(99, abs=1)


@pytest.mark.parametrize(
    ("ending", "form", "codec"),
    [("avi", "avi", "mpeg4"), ("mkv", "matroska", "libx264"), ("webm", "webm", "libvpx"),
     ("mov", "mov", "libx264"), ("ts", "mpegts", "libx264")],
)  # fmt: skip
def test_every_usual_container_gives_its_pictures_in_order(
    tmp_path: Path, ending: str, form: str, codec: str
) -> None:
    path = tmp_path / f"v.{ending}"
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(still(number * 4), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    video = open_video(path)
    assert video.fps == pytest.approx(25, rel=0.01)
    greys = [picture.mean() / 4 for picture in even_frames(video)]
    assert greys == pytest.approx(range(50), abs=1.5)


def test_sound_that_begins_later_than_the_pictures_stays_in_step(tmp_path: Path) -> None:
    path = film(tmp_path / "v.mp4", [still()] * 50, sound=speech(1.5), sound_start_s=0.5)
    heard = read_speech(open_video(path))
    assert np.abs(heard[:7500]).max() < 0.02  # 0.47 s of nothing at 16 kHz
    assert np.abs(heard[8500:12_000]).max() > 0.05


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", " is empty; a video is expected"),
        (b"no video at all" * 100, " cannot be decoded as a video: Invalid data found when"),
    ],
)
def test_what_is_no_video_is_refused_in_one_sentence(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(content)
    with pytest.raises(FootageError, match=f"^{path}{said}"):
        open_video(path)
    with pytest.raises(FootageError, match=f"^{tmp_path} is a folder; a video is expected"):
        open_video(tmp_path)


def test_a_sound_file_is_no_video(tmp_path: Path) -> None:
    from tests.unit.avatar_worker.mini import CROSS_WAV

    with pytest.raises(FootageError, match="holds no pictures"):
        open_video(CROSS_WAV)


def test_a_file_that_ends_early_says_how_far_it_can_be_read(tmp_path: Path) -> None:
    whole = film(tmp_path / "v.mkv", [mira(n) for n in range(20)], format_="matroska")
    video = open_video(whole)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(FootageError, match=r"decoded up to|damaged"):
        list(even_frames(video))
