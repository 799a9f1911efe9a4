"""Which frames belong to which phone, and which of them a sheet shows."""

import numpy as np
import pytest

from avatar_worker.recipes.speech.utterance import SILENCE, Mark, Utterance
from tests.bench.lip_closure import chosen_marks
from tests.bench.speaking_sheet import (
    LETTERS,
    MAX_BYTES,
    PER_ROW,
    choose_marks,
    choose_rows,
    encoded,
    sheet,
)
from tests.bench.spoken import Spoken, lay_out

pytestmark = pytest.mark.unit


def track(*phones: tuple[str, float]) -> Spoken:
    """Phones with their durations, one after the other."""
    marks, at = [], 0.0
    for phone, seconds in phones:
        marks.append(Mark(phone, round(at, 6), round(at + seconds, 6)))
        at += seconds
    return Spoken(np.zeros(round(at * 16_000), np.float32), tuple(marks))


def test_frames_of_a_phone_are_those_that_it_reaches_into():
    spoken = Spoken(np.zeros(16_000, np.float32), ())
    # 0.09 … 0.13 s lies in the frames 2 (0.08 … 0.12) and 3 (0.12 … 0.16)
    assert list(spoken.frames(Mark("p", 0.09, 0.13))) == [2, 3]
    assert list(spoken.frames(Mark("p", 0.09, 0.13), 1)) == [1, 2, 3, 4]


def test_a_phone_that_ends_with_a_frame_does_not_reach_into_the_next():
    spoken = Spoken(np.zeros(16_000, np.float32), ())
    assert list(spoken.frames(Mark("p", 0.12, 0.24))) == [3, 4, 5]


def test_frames_beyond_the_track_are_left_out():
    spoken = Spoken(np.zeros(16_000, np.float32), ())
    assert list(spoken.frames(Mark("p", 0.0, 0.04), 2)) == [0, 1, 2]
    assert list(spoken.frames(Mark("p", 0.96, 1.0), 2)) == [22, 23, 24]


def test_the_phone_of_a_frame_is_what_is_said_in_its_middle():
    spoken = track(("m", 0.055), ("a", 0.045))
    assert [spoken.phone_at(frame) for frame in range(2)] == ["m", "a"]


def test_utterances_are_laid_out_with_silence_around_them():
    said = Utterance(np.ones(4_800, np.float32), 24_000, (Mark("m", 0, 0.1), Mark("a", 0.1, 0.2)))
    spoken = lay_out([said, said], lead_s=0.4, pause_s=0.2)
    assert [(m.phone, round(m.start_s, 3), round(m.end_s, 3)) for m in spoken.marks] == [
        (SILENCE, 0.0, 0.4), ("m", 0.4, 0.5), ("a", 0.5, 0.6),
        (SILENCE, 0.6, 0.8), ("m", 0.8, 0.9), ("a", 0.9, 1.0), (SILENCE, 1.0, 1.4),
    ]  # fmt: skip
    assert spoken.n_frames == 35
    assert not spoken.samples[:6_400].any()


def test_closures_vowels_and_pauses_are_told_apart_and_short_ones_left_out():
    marks = track((SILENCE, 0.3), ("p", 0.02), ("æ", 0.1), ("s", 0.1), ("ʌ", 0.05),
                  (SILENCE, 0.1), ("m", 0.1)).marks  # fmt: skip
    closures, vowels, pauses = chosen_marks(marks)
    assert [m.phone for m in closures] == ["p", "m"]
    assert [m.phone for m in vowels] == ["æ"]
    assert [m.start_s for m in pauses] == [0.0]


def test_marks_of_a_row_are_of_middling_length_and_of_different_phones():
    marks = track(("f", 0.05), ("v", 0.2), ("f", 0.1), ("f", 0.3)).marks
    assert [(m.phone, m.duration_s) for m in choose_marks(marks, ("f", "v"))] == [
        ("v", pytest.approx(0.2)), ("f", pytest.approx(0.1)),
    ]  # fmt: skip


def test_a_row_with_one_phone_only_shows_it_twice():
    marks = track(("f", 0.05), ("a", 0.2), ("f", 0.1)).marks
    assert [m.start_s for m in choose_marks(marks, ("f", "v"))] == [0.0, 0.25]


def test_rows_show_start_pause_and_stop_and_leave_out_what_is_not_said():
    spoken = track((SILENCE, 0.8), ("m", 0.2), ("æ", 0.4), (SILENCE, 0.24), ("p", 0.2), ("æ", 0.4),
                   (SILENCE, 0.8))  # fmt: skip
    rows = {row.name: row.frames for row in choose_rows(spoken)}
    assert list(rows) == ["p b m", "open", "pause", "start", "stop"]
    assert all(len(frames) == PER_ROW for frames in rows.values())
    assert rows["start"] == tuple(range(15, 25))  # speech begins in frame 20
    assert rows["pause"] == tuple(range(33, 43))  # the pause has frames 35 … 40
    assert rows["stop"] == tuple(range(51, 61))  # 2.24 s: silent from frame 56 on


def test_a_sheet_has_a_picture_for_every_frame_and_fits_a_page():
    spoken = track((SILENCE, 0.8), ("m", 0.2), ("æ", 0.4), (SILENCE, 0.8))
    rows = choose_rows(spoken)
    random = np.random.default_rng(0)
    shown = {i: random.integers(0, 255, (40, 40, 3), np.uint8) for row in rows for i in row.frames}
    assert 0 < len(encoded(sheet(rows, spoken, shown))) <= MAX_BYTES


def test_phones_have_names_that_the_font_can_write():
    assert (LETTERS["ʃ"], LETTERS["ɑ"], LETTERS["m"]) == ("sh", "aa", "m")
    assert all(name.isascii() for name in LETTERS.values())
