"""Whether there is a voice that lips can be learned from."""

from pathlib import Path

import numpy as np
import pytest

from avatar_worker.prepare.checks.finding import Finding
from avatar_worker.prepare.checks.sound import check_sound
from avatar_worker.prepare.video import Video, open_video, read_speech
from tests.unit.avatar_worker.prepare.footage import film, speech, still

pytestmark = pytest.mark.unit

SECONDS = 4


def video_with(folder: Path, sound: np.ndarray | None) -> Video:
    return open_video(film(folder / "v.mp4", [still()] * (25 * SECONDS), sound=sound))


def only(folder: Path, sound: np.ndarray | None) -> Finding:
    video = video_with(folder, sound)
    (finding,) = check_sound(video, read_speech(video))
    assert finding.code == "sound"
    return finding


def test_speech_has_nothing_to_be_said_about(tmp_path: Path) -> None:
    video = video_with(tmp_path, speech(SECONDS))
    assert check_sound(video, read_speech(video)) == []


def test_a_video_without_sound_track_is_refused(tmp_path: Path) -> None:
    refused = only(tmp_path, None)
    assert refused.is_refusal
    assert "no sound track" in refused.found


def test_a_silent_sound_track_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.0005, len(speech(SECONDS))).astype(np.float32)
    refused = only(tmp_path, noise)
    assert refused.is_refusal
    assert "silence" in refused.found


def test_a_clipped_voice_is_refused_and_a_single_peak_is_not(tmp_path: Path) -> None:
    loud = (speech(SECONDS) * 60).clip(-1, 1)
    video = video_with(tmp_path, speech(SECONDS))
    (refused,) = check_sound(video, loud[::3])
    assert refused.is_refusal
    assert "clipped" in refused.found
    peak = speech(SECONDS)[::3].copy()
    peak[1000:1004] = 1.0
    assert check_sound(video, peak) == []


def test_a_quiet_voice_is_advised_against(tmp_path: Path) -> None:
    assert not only(tmp_path, speech(SECONDS) * 0.06).is_refusal


def test_sound_that_ends_before_the_pictures_is_said(tmp_path: Path) -> None:
    advice = only(tmp_path, speech(SECONDS - 2))
    assert not advice.is_refusal
    assert "2.0 s before the pictures" in advice.found
