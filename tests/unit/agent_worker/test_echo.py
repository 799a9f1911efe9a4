"""Echo: no sample of an utterance is lost or doubled, for any cutting of the sound."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_worker.echo import (
    BLOCK_SAMPLES,
    PRE_ROLL_SAMPLES,
    QUIET_END_SAMPLES,
    EchoGate,
    End,
    Sound,
)

pytestmark = pytest.mark.unit

LOUD, QUIET = 3000, 3


def scene(*spans: tuple[int, int]) -> np.ndarray:
    """Blocks of `(level, n_blocks)`; the low bits number the samples so that each is told apart."""
    parts = [np.full(blocks * BLOCK_SAMPLES, level) for level, blocks in spans]
    sound = np.concatenate(parts)
    return (sound + np.arange(len(sound)) % 5).astype("<i2")


def run(sound: np.ndarray, sizes: list[int]) -> list[bytes]:
    """Utterances that come out when the sound goes in in pieces of these sizes, repeated."""
    gate, out, current, place, i = EchoGate(), [], None, 0, 0
    while place < len(sound):
        size = sizes[i % len(sizes)]
        for piece in gate.push(sound[place : place + size].tobytes()):
            if isinstance(piece, Sound):
                current = (current or b"") + piece.pcm
            elif isinstance(piece, End):
                out.append(current)
                current = None
        place, i = place + size, i + 1
    return out


SCENE = scene((QUIET, 50), (LOUD, 40), (QUIET, 20), (LOUD, 10), (QUIET, 60), (LOUD, 7), (QUIET, 40))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=6))
def test_utterances_are_exact_pieces_of_the_sound(sizes: list[int]) -> None:
    # speech: blocks 50-90 and, after a pause of 200 ms that is too short to end it, 110-120;
    # then, after 600 ms of quiet, 180-187. Each begins 200 ms early (the block that opened it
    # belongs to the pre-roll) and ends with its 300 ms of quiet.
    first, second = run(SCENE, sizes)
    begin = 51 * BLOCK_SAMPLES - PRE_ROLL_SAMPLES - BLOCK_SAMPLES
    assert first == SCENE[begin : 120 * BLOCK_SAMPLES + QUIET_END_SAMPLES].tobytes()
    begin = 181 * BLOCK_SAMPLES - PRE_ROLL_SAMPLES - BLOCK_SAMPLES
    assert second == SCENE[begin : 187 * BLOCK_SAMPLES + QUIET_END_SAMPLES].tobytes()


def test_a_quiet_room_stays_quiet() -> None:
    assert run(scene((QUIET, 300)), [480]) == []


def test_the_pre_roll_of_a_quick_second_utterance_repeats_nothing_of_the_first() -> None:
    sound = scene((LOUD, 10), (QUIET, 35), (LOUD, 10), (QUIET, 40))
    first, second = run(sound, [480])
    # the first ends 300 ms into the pause of 350 ms; only its last 50 ms can be pre-roll
    assert first + second == sound[: 85 * BLOCK_SAMPLES].tobytes()
