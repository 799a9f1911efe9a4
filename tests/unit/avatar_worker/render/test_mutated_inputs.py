"""A slice of what `tests.bench.mutated_inputs` does ten thousand times."""

import os
import pickle

import pytest

from tests.mutations import pickles
from tests.mutations.cases import KINDS, Mutation, empty, judge, run_case, valid_inputs
from tests.mutations.seeds import Seeds

pytestmark = [
    pytest.mark.unit,
    pytest.mark.filterwarnings("ignore"),  # torch and zipfile warn of what is made here
]

ROUNDS = 5
"""Cases of each kind; the slice takes about ten seconds."""


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    return Seeds.make(tmp_path_factory.mktemp("seeds"))


def test_valid_inputs_are_accepted(seeds, tmp_path):
    for note, enter in valid_inputs(seeds):
        outcome = judge(note, Mutation(note, enter, tmp_path / "mark"))
        assert (outcome.result, outcome.problem) == ("accepted", ""), note


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_input_is_accepted_or_refused_with_one_line_and_nothing_is_called(
    kind, seeds, tmp_path
):
    first = list(KINDS).index(kind)
    for number in range(first, ROUNDS * len(KINDS), len(KINDS)):
        empty(tmp_path / "case")
        outcome = run_case(number, 0, seeds, tmp_path / "case")
        assert outcome.problem == "", f"case {number}: {outcome.note}"


@pytest.mark.parametrize(
    "call", [("os", "system", "true"), ("builtins", "eval", "1"), ("builtins", "open", os.devnull)]
)
def test_the_tripwire_notices_a_pickle_that_is_run(call, tmp_path):
    module, attribute, argument = call
    program = pickles.program(pickles.call(pickles.name(module, attribute), (argument,)))
    outcome = judge("", Mutation("", lambda: pickle.loads(program), tmp_path / "mark"))
    assert outcome.problem.startswith("code was run")
