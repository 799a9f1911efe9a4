"""The sync score finds the shift that was made, and says nothing where there is nothing to say."""

import numpy as np
import pytest

from avatar_worker.train.sync_score import (
    FRAME_SAMPLES,
    lip_opening,
    mouth_activity,
    sync_score,
)

pytestmark = pytest.mark.unit

N = 150


def speech(seed: int = 0) -> np.ndarray:
    """Syllables of noise with pauses between them, 16 kHz."""
    random = np.random.default_rng(seed)
    envelope = np.zeros(N * FRAME_SAMPLES)
    at = 3 * FRAME_SAMPLES
    while at < len(envelope) - 8 * FRAME_SAMPLES:
        length = int(random.uniform(3, 7) * FRAME_SAMPLES)
        envelope[at : at + length] = np.hanning(length) * random.uniform(0.2, 1)
        at += length + int(random.uniform(0, 6) * FRAME_SAMPLES)
    return random.normal(0, 0.2, len(envelope)) * envelope


def drawn(opening: np.ndarray) -> np.ndarray:
    """Faces whose mouth is a dark slit, as high as it is open."""
    y, x = np.mgrid[:40, :60]
    pictures = np.full((len(opening), 40, 60, 3), 170, np.uint8)
    for picture, height in zip(pictures, opening, strict=True):
        inside = ((x - 30) / 20) ** 2 + ((y - 20) / max(14 * height, 0.1)) ** 2 < 1
        picture[inside] = (60, 20, 20)
    return pictures


@pytest.mark.parametrize("shift", [-5, -2, 0, 1, 4])
def test_a_shifted_mouth_is_found_shifted(shift: int):
    samples = speech()
    activity = mouth_activity(samples)
    assert activity.shape == (N,)
    # `shift` frames later than the sound.
    pictures = drawn(np.roll(activity, shift))
    score = sync_score(lip_opening(pictures, activity), activity)
    assert score is not None
    assert score.best_ms == 40 * shift
    assert score.correlation > 0.9
    assert score.margin > 0.3
    assert sorted(score.correlations) == list(range(-200, 201, 40))


def test_frames_may_be_scattered_over_the_sound():
    activity = mouth_activity(speech(1))
    numbers = np.random.default_rng(0).permutation(np.arange(10, 140))[:60].tolist()
    pictures = drawn(np.roll(activity, 2)[numbers])
    score = sync_score(lip_opening(pictures, activity, numbers), activity, numbers)
    assert score is not None
    assert score.best_ms == 80


def test_a_mouth_that_moves_with_another_sound_has_no_margin():
    activity = mouth_activity(speech(2))
    other = mouth_activity(speech(3))
    score = sync_score(lip_opening(drawn(other), activity), activity)
    assert score is not None
    assert score.correlation < 0.5


def test_silence_a_still_mouth_and_a_few_frames_have_no_score():
    activity = mouth_activity(speech())
    still = drawn(np.full(N, 0.3))
    assert sync_score(lip_opening(still, activity), activity) is None
    assert mouth_activity(np.zeros(16_000)).tolist() == [0.0] * 25
    assert sync_score(activity, np.zeros(N)) is None
    assert sync_score(activity[:20], activity[:20]) is None


def test_loudness_lies_at_the_frame_it_belongs_to():
    samples = np.zeros(20 * FRAME_SAMPLES)
    samples[10 * FRAME_SAMPLES : 11 * FRAME_SAMPLES] = np.random.default_rng(0).normal(
        0, 0.2, FRAME_SAMPLES
    )
    assert mouth_activity(samples).argmax() == 10
