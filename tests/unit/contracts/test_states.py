"""The transition table, every pair of it."""

from itertools import product

import pytest

from avatar_contracts.states import LIVE_STATES, TERMINAL_STATES, TRANSITIONS, SessionState

pytestmark = pytest.mark.unit
S = SessionState

ALLOWED = {
    (S.QUEUED, S.PROVISIONING),
    (S.QUEUED, S.ENDING),
    (S.QUEUED, S.ENDED),
    (S.QUEUED, S.FAILED),
    (S.PROVISIONING, S.READY),
    (S.PROVISIONING, S.QUEUED),
    (S.PROVISIONING, S.ENDING),
    (S.PROVISIONING, S.FAILED),
    (S.READY, S.ACTIVE),
    (S.READY, S.QUEUED),
    (S.READY, S.ENDING),
    (S.READY, S.FAILED),
    (S.ACTIVE, S.QUEUED),
    (S.ACTIVE, S.ENDING),
    (S.ACTIVE, S.FAILED),
    (S.ENDING, S.ENDED),
    (S.ENDING, S.FAILED),
}


@pytest.mark.parametrize(("old", "new"), product(S, S))
def test_exactly_the_listed_pairs_are_transitions(old: S, new: S) -> None:
    assert old.may_become(new) == ((old, new) in ALLOWED)


def test_every_state_has_a_row_and_nothing_leaves_a_terminal_state() -> None:
    assert set(TRANSITIONS) == set(S)
    assert all(not TRANSITIONS[state] for state in TERMINAL_STATES)


def test_every_live_state_can_go_back_to_the_queue_end_and_fail() -> None:
    assert all({S.QUEUED, S.ENDING, S.FAILED} <= TRANSITIONS[state] for state in LIVE_STATES)


def test_every_state_is_reached_from_queued() -> None:
    seen, todo = {S.QUEUED}, [S.QUEUED]
    while todo:
        new = TRANSITIONS[todo.pop()] - seen
        seen |= new
        todo += new
    assert seen == set(S)
