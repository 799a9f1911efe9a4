import numpy as np
import pytest

from avatar_worker.audio.mel import column_count
from avatar_worker.audio.window import (
    ABSENT,
    LOOK_AHEAD_SAMPLES,
    attention_window,
    frame_count,
    samples_needed,
    window_count,
    window_of_feature,
    window_start,
)
from tests.unit.avatar_worker import mini

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("n_samples", "n_columns", "n_windows", "n_frames"),
    [(160_000, 801, 247, 251), (212_885, 1065, 329, 333), (3000, 16, 2, 6)],
)
def test_known_lengths_have_known_counts(n_samples, n_columns, n_windows, n_frames):
    assert column_count(n_samples) == n_columns
    assert window_count(n_columns) == n_windows
    assert frame_count(n_samples) == n_frames


def test_windows_start_every_three_and_a_fifth_columns():
    assert [window_start(k) for k in range(12)] == [0, 3, 6, 9, 12, 16, 19, 22, 25, 28, 32, 35]


@pytest.mark.parametrize("voice", ["own", "cross"])
def test_window_starts_are_those_of_the_original(voice):
    reference = mini.golden("audio")
    n_columns = len(reference[f"{voice}_mel"])
    starts = [min(window_start(k), n_columns - 16) for k in range(window_count(n_columns))]
    assert starts == reference[f"{voice}_mel_window_start"].tolist()


@pytest.mark.parametrize("voice", ["val", "train", "cross"])
def test_attention_windows_are_those_of_the_original(voice):
    expected = mini.golden("audio")[f"{voice}_window_index"]
    found = [attention_window(i, len(expected), 2) for i in range(len(expected))]
    np.testing.assert_array_equal(found, expected)


def test_the_three_modes_look_at_different_frames():
    assert attention_window(9, 20, 0) == (9,)
    assert attention_window(9, 20, 1) == (1, 2, 3, 4, 5, 6, 7, 8)
    assert attention_window(9, 20, 2) == (5, 6, 7, 8, 9, 10, 11, 12)
    assert attention_window(0, 10, 2) == (ABSENT,) * 4 + (0, 1, 2, 3)
    assert attention_window(9, 10, 2) == (5, 6, 7, 8, 9, ABSENT, ABSENT, ABSENT)


def test_first_and_last_feature_stand_for_three_frames_each():
    # Four windows make eight features.
    assert [window_of_feature(i, 4) for i in range(8)] == [0, 0, 0, 1, 2, 3, 3, 3]


def test_the_look_ahead_is_what_the_last_window_of_a_frame_needs():
    waits = [samples_needed(frame + 1) - 640 * frame for frame in range(200)]
    assert max(waits) == LOOK_AHEAD_SAMPLES
    assert LOOK_AHEAD_SAMPLES / 16 == 252.5  # milliseconds


def test_a_file_always_drives_enough_frames_for_its_sound():
    for n_samples in range(1, 20_000, 37):
        assert frame_count(n_samples) >= -(-n_samples // 640)
    assert frame_count(0) == 0
