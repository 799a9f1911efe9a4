import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_worker.audio.mel import MelStream, column_count, log_mel, mel_filterbank
from tests.unit.avatar_worker import mini

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("voice", ["own", "cross"])
def test_mel_columns_are_those_of_the_original(voice):
    reference = mini.golden("audio")
    found = log_mel(reference[f"{voice}_wav"])
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, reference[f"{voice}_mel"], atol=1e-5)


def test_a_known_tone_has_known_bands():
    tone = 0.5 * np.sin(2.0 * np.pi * 440.0 * np.arange(16_000) / 16_000.0)
    columns = log_mel(tone)
    assert columns.shape == (81, 80)
    np.testing.assert_allclose(columns[40, 9:12], [1.65464, 1.98976, 0.49057], atol=1e-5)
    assert np.all(columns[40, np.r_[0:9, 12:16]] == -4.0)
    # The first column sees zeros before the sound.
    np.testing.assert_allclose(
        columns[0, 8:14], [0.82136, 1.54699, 1.69728, 1.19052, 0.63193, 0.37127], atol=1e-5
    )
    assert columns.mean() == pytest.approx(-3.66748, abs=1e-5)


def test_the_filterbank_has_its_known_sums():
    bank = mel_filterbank()
    assert bank.sum() == pytest.approx(3.999498, abs=1e-5)
    assert bank.max() == pytest.approx(0.026879, abs=1e-6)
    assert np.flatnonzero(bank[0]).tolist() == [3, 4, 5, 6]
    assert np.flatnonzero(bank[79])[[0, -1]].tolist() == [353, 379]


def test_silence_is_the_lowest_level_everywhere():
    assert np.all(log_mel(np.zeros(4000)) == -4.0)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 2000), max_size=12), st.integers(0, 2**32 - 1))
def test_columns_do_not_depend_on_how_the_sound_is_cut(lengths, seed):
    samples = np.random.default_rng(seed).normal(0, 0.1, sum(lengths)).astype(np.float32)
    stream, parts, start = MelStream(), [], 0
    for length in lengths:
        parts.append(stream.push(samples[start : start + length]))
        start += length
    parts.append(stream.flush())
    whole = log_mel(samples)
    assert len(whole) == column_count(len(samples))
    assert np.array_equal(np.concatenate(parts), whole)


def test_a_column_comes_as_soon_as_its_samples_are_there():
    stream = MelStream()
    assert len(stream.push(np.ones(399))) == 0
    assert len(stream.push(np.ones(1))) == 1
    assert len(stream.push(np.ones(200))) == 1
