"""What was pushed, what left, what was heard."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar_worker.timeline import Timeline

pytestmark = pytest.mark.unit


def test_a_position_counts_speech_that_left_and_neither_silence_nor_padding() -> None:
    timeline = Timeline()
    timeline.push_silence(960)
    timeline.push_speech(960, segment=1, position=0, speech_samples=960)
    timeline.push_speech(960, segment=1, position=960, speech_samples=100)
    assert timeline.heard(1, 960) == 0
    assert timeline.heard(1, 960 + 240) == 240
    assert timeline.heard(1, 960 + 960 + 240) == 1060  # 100 of the padded frame are speech
    assert timeline.start_of(1) == 960
    assert timeline.end_of(1) == 960 + 960 + 100
    assert timeline.speech_end == 3 * 960


def test_a_cut_forgets_what_has_not_left() -> None:
    timeline = Timeline()
    timeline.push_speech(960, segment=1, position=0, speech_samples=960)
    timeline.push_speech(960, segment=1, position=960, speech_samples=960)
    timeline.cut(1200)
    assert timeline.pushed == 1200
    assert timeline.heard(1, 5000) == 1200
    timeline.push_silence(960)
    assert timeline.pushed == 2160
    timeline.cut(9999)  # nothing is queued beyond
    assert timeline.pushed == 2160


def test_what_was_heard_is_remembered_after_the_spans_are_forgotten() -> None:
    timeline = Timeline()
    timeline.push_speech(960, segment=4, position=0, speech_samples=960)
    timeline.push_silence(960)
    timeline.forget(960)
    assert timeline.start_of(4) is None
    assert timeline.heard(4, 960) == 960
    timeline.close(4)
    assert timeline.heard(4, 960) == 0


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 960)), max_size=30), st.integers(0, 40))
def test_what_was_heard_never_shrinks_and_never_passes_what_was_pushed(
    pushes: list[tuple[bool, int]], ticks: int
) -> None:
    timeline, position = Timeline(), 0
    for is_speech, samples in pushes:
        if is_speech:
            timeline.push_speech(960, segment=1, position=position, speech_samples=samples)
            position += samples
        else:
            timeline.push_silence(960)
    heard = [timeline.heard(1, left * 240) for left in range(ticks)]
    assert heard == sorted(heard)
    assert all(h <= position for h in heard)
    assert timeline.heard(1, timeline.pushed) == position
