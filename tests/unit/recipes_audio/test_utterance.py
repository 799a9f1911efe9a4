"""Marks: how they are moved, folded and cleared of booked silence."""

import numpy as np
import pytest

from avatar_worker.recipes.speech import kokoro
from avatar_worker.recipes.speech.phones import ARPABET, IPA, PHONES, from_arpabet, from_ipa
from avatar_worker.recipes.speech.silence import quiet_stretches, relabel_silence
from avatar_worker.recipes.speech.utterance import SILENCE, Mark, tile

pytestmark = pytest.mark.unit


def spoken(marks) -> list[tuple[str, float, float]]:
    return [(m.phone, round(m.start_s, 4), round(m.end_s, 4)) for m in marks]


def test_marks_moved_back_by_60_ms_still_cover_the_whole_sound():
    raw = [Mark("h", 0.10, 0.20), Mark("i", 0.20, 0.40)]
    assert spoken(tile(raw, 0.5, -0.060)) == [
        ("sil", 0.0, 0.04),
        ("h", 0.04, 0.14),
        ("i", 0.14, 0.34),
        ("sil", 0.34, 0.5),
    ]


def test_a_phone_pushed_over_the_beginning_is_cut_not_lost():
    assert spoken(tile([Mark("m", 0.02, 0.10)], 0.2, -0.060)) == [
        ("m", 0.0, 0.04),
        ("sil", 0.04, 0.2),
    ]


def test_a_sound_without_phones_is_one_silence():
    assert spoken(tile([], 0.3)) == [("sil", 0.0, 0.3)]


def test_neighbouring_silences_become_one():
    raw = [Mark("a", 0.0, 0.1), Mark(SILENCE, 0.1, 0.2), Mark(SILENCE, 0.2, 0.3)]
    assert spoken(tile(raw, 0.3)) == [("a", 0.0, 0.1), ("sil", 0.1, 0.3)]


def test_a_length_sign_lengthens_the_vowel_before_it():
    assert spoken(from_ipa([Mark("ɑ", 0.0, 0.1), Mark("ː", 0.1, 0.2), Mark("t", 0.2, 0.3)])) == [
        ("ɑ", 0.0, 0.2),
        ("t", 0.2, 0.3),
    ]


def test_stress_and_word_space_are_shared_by_both_neighbours():
    raw = [Mark("n", 0.0, 0.1), Mark(" ", 0.1, 0.15), Mark("ˈ", 0.15, 0.2), Mark("æ", 0.2, 0.3)]
    assert spoken(from_ipa(raw)) == [("n", 0.0, 0.15), ("æ", 0.15, 0.3)]


def test_the_space_behind_a_comma_is_silence():
    raw = [Mark("ʊ", 0, 0.1), Mark(",", 0.1, 0.2), Mark(" ", 0.2, 0.3), Mark("a", 0.3, 0.4)]
    assert spoken(from_ipa(raw)) == [("ʊ", 0, 0.1), ("sil", 0.1, 0.3), ("a", 0.3, 0.4)]


def test_affricates_and_diphthongs_are_two_phones():
    assert spoken(from_ipa([Mark("ʧ", 0.0, 0.1)])) == [("t", 0.0, 0.04), ("ʃ", 0.04, 0.1)]
    assert spoken(from_arpabet([Mark("ay", 0.0, 0.1)])) == [("a", 0.0, 0.06), ("ɪ", 0.06, 0.1)]


def test_a_mark_of_two_letters_is_shared_evenly():
    assert spoken(from_ipa([Mark("əl", 0.0, 0.1)])) == [("ə", 0.0, 0.05), ("l", 0.05, 0.1)]


def test_every_table_ends_in_the_38_phones():
    assert len(PHONES) == len(set(PHONES)) == 38
    for table in (IPA, ARPABET):
        assert {phone for phones in table.values() for phone in phones} <= set(PHONES)


def quiet_end() -> np.ndarray:
    tone = 0.3 * np.sin(2 * np.pi * 200 * np.arange(16_000) / 16_000).astype(np.float32)
    tone[8_000:] *= 0.002  # −54 dB
    return tone


def test_a_long_quiet_stretch_is_found_to_the_frame():
    [(start_s, end_s)] = quiet_stretches(quiet_end(), 16_000)
    assert start_s == pytest.approx(0.5, abs=0.021)
    assert end_s == pytest.approx(1.0)


def test_silence_booked_under_the_last_phone_becomes_silence():
    marks = relabel_silence([Mark("ɑ", 0.0, 0.4), Mark("ɹ", 0.4, 1.0)], quiet_end(), 16_000)
    assert [m.phone for m in marks] == ["ɑ", "ɹ", SILENCE]
    assert marks[1].end_s == pytest.approx(0.5, abs=0.021)


def test_a_short_gap_stays_with_its_phone():
    sound = quiet_end()
    sound[9_600:] = sound[:6_400]  # only 100 ms are quiet
    assert quiet_stretches(sound, 16_000) == []


def test_kokoro_marks_start_60_ms_before_its_own_durations():
    frames = np.array([4, 4, 8, 4], np.float32)  # start, m, ɑ, end; 25 ms each
    samples = np.random.default_rng(0).normal(0, 0.1, 20 * 600).astype(np.float32)
    assert spoken(kokoro.marks_from_frames(["m", "ɑ"], frames, samples)) == [
        ("sil", 0.0, 0.04),
        ("m", 0.04, 0.14),
        ("ɑ", 0.14, 0.34),
        ("sil", 0.34, 0.5),
    ]
