"""Samples, seconds and frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar_contracts import audio, streams

pytestmark = pytest.mark.unit


def test_a_frame_is_960_samples_and_a_chunk_two_frames() -> None:
    # 24000 samples a second / 25 frames a second = 960; 80 ms are 1920 samples of 2 bytes.
    assert (audio.FRAME_SAMPLES, audio.CHUNK_SAMPLES, audio.CHUNK_BYTES) == (960, 1920, 3840)


@given(st.integers(0, 10**9))
def test_samples_survive_the_way_over_seconds(samples: int) -> None:
    assert audio.seconds_to_samples(audio.samples_to_seconds(samples)) == samples


@given(st.integers(0, 10**9))
def test_frames_cover_their_samples_and_not_a_frame_more(samples: int) -> None:
    covered = audio.frames_to_samples(audio.samples_to_frames(samples))
    assert 0 <= covered - samples < audio.FRAME_SAMPLES


def test_the_audio_stream_holds_more_than_the_producer_may_be_ahead() -> None:
    ahead = audio.seconds_to_samples(audio.READ_AHEAD_MAX_S) / audio.CHUNK_SAMPLES
    assert ahead < streams.AUDIO_MAX_ENTRIES / 1.5
