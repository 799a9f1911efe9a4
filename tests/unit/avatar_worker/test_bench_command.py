"""`python -m avatar_worker bench`."""

import re

import pytest

from avatar_worker.commands.bench import build_parser, main, multiply_adds_per_sample
from avatar_worker.render.kernels import available_isas
from avatar_worker.slots import SHIPPED_CHARACTER
from tests.unit.avatar_worker import mini

pytestmark = pytest.mark.unit


@pytest.mark.skipif(not available_isas(), reason="there is no kernel for this processor")
def test_it_tells_what_a_picture_of_the_shipped_character_costs(capsys):
    isa = available_isas()[0].name
    assert main(["--frames", "1", "--threads", "1", "--isa", isa]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("mira, 512 × 512, portrait")
    row = re.search(rf"^{isa} +1 +([\d.]+) .*%", printed, re.MULTILINE)
    assert row
    assert float(row[1]) > 0
    shares = [float(share) for share in re.findall(r"ms +([\d.]+)%$", printed, re.MULTILINE)]
    assert len(shares) == 6
    assert sum(shares) == pytest.approx(100, abs=1)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--frames", "0"], "must be 1 or more"),
        (["--character", "/nowhere"], "nowhere"),
    ],
)
def test_wrong_use_is_told_in_one_sentence(capsys, arguments, sentence):
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1


def test_a_shipped_character_is_found_by_its_name():
    assert build_parser().parse_args(["--character", "mira"]).character == SHIPPED_CHARACTER


def test_an_instruction_set_that_does_not_exist_is_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--isa", "foo"])
    assert stop.value.code == 2
    assert "invalid choice: 'foo'" in capsys.readouterr().err


def test_the_work_of_a_sample_is_that_of_the_trained_networks():
    # attention of audio and eyes, density, colour: spec of the format
    expected = 4352 + 2752 + 13056 + 5568
    assert multiply_adds_per_sample(mini.checkpoint().head()) == expected
