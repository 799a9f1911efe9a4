"""Characters are loaded once, shared, and the longest unused go, by number and by memory."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from avatar_contracts.beat import Claim
from avatar_worker.engines.base import EngineError
from avatar_worker.engines.shelf import KEPT_BYTES_MAX, KEPT_MAX, EngineShelf
from tests.fakes.renderer import FakeEngine

pytestmark = pytest.mark.unit

CLAIM = Claim("s", 1, "ws", "r", "t", "a", "g", "card", "", "test-card", 64, 64)


def shelf(fetch=lambda *_: Path("absent.zip")) -> EngineShelf:
    return EngineShelf(fetch, device="cpu", threads=1)


def test_sessions_of_one_character_share_its_engine_and_other_sizes_do_not() -> None:
    shared = shelf()
    first = shared.take(CLAIM)
    assert shared.take(replace(CLAIM, session="other")) is first
    assert shared.take(replace(CLAIM, width=128)) is not first
    assert shared.characters() == ("card", "card")


def test_two_sessions_that_come_together_load_once(monkeypatch) -> None:
    loads = []
    begun, go = threading.Event(), threading.Event()
    kept = shelf()
    original = kept._load

    def slowly(claim: Claim):
        loads.append(claim)
        begun.set()
        assert go.wait(5)
        return original(claim)

    monkeypatch.setattr(kept, "_load", slowly)
    threads = [threading.Thread(target=kept.take, args=(CLAIM,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert begun.wait(5)
    go.set()
    for thread in threads:
        thread.join(5)
    assert len(loads) == 1


def test_the_longest_unused_characters_go_and_used_ones_stay() -> None:
    kept = shelf()
    used = replace(CLAIM, character="used")
    kept.take(used)
    for n in range(KEPT_MAX + 2):
        claim = replace(CLAIM, character=f"c{n}")
        kept.take(claim)
        kept.give_back(claim)
    assert kept.characters() == ("used", *(f"c{n}" for n in range(2, KEPT_MAX + 2)))


@pytest.fixture
def heavy(monkeypatch) -> EngineShelf:
    """Characters `c0`, `c1` … of 400 MB each: two are kept, three are too much."""
    kept = shelf()
    closed: list[str] = []

    def load(claim: Claim) -> FakeEngine:
        engine = FakeEngine()
        engine.size_bytes = 400 * 10**6
        engine.close = lambda: closed.append(claim.character)
        return engine

    monkeypatch.setattr(kept, "_load", load)
    kept.closed = closed
    return kept


def characters(n: int) -> list[Claim]:
    return [replace(CLAIM, character=f"c{number}") for number in range(n)]


def test_unused_characters_go_when_all_together_take_too_much_memory(heavy) -> None:
    claims = characters(3)
    for claim in claims:
        heavy.take(claim)
    assert heavy.characters() == ("c0", "c1", "c2")  # in use: nobody can be dropped
    heavy.give_back(claims[1])
    assert heavy.characters() == ("c0", "c2")
    heavy.give_back(claims[0])
    assert heavy.characters() == ("c0", "c2")  # 800 MB are not too much
    assert heavy.closed == ["c1"]


def test_a_new_character_pushes_out_the_longest_unused(heavy) -> None:
    claims = characters(3)
    for claim in claims[:2]:
        heavy.take(claim)
        heavy.give_back(claim)
    heavy.take(claims[2])
    assert heavy.characters() == ("c1", "c2")
    assert heavy.closed == ["c0"]


def test_a_character_that_has_grown_is_dropped_when_somebody_comes(heavy) -> None:
    """Its pictures are read, and kept, as they are shown."""
    first, second, _ = characters(3)
    engine = heavy.take(first)
    heavy.give_back(first)
    engine.size_bytes = 700 * 10**6
    heavy.take(second)
    assert heavy.closed == ["c0"]
    assert heavy.take(first) is not engine


def test_a_character_is_not_dropped_between_being_found_and_being_counted_as_used(heavy) -> None:
    """Another thread could drop it there; its user then drew with an engine that was closed, and
    gave back one that it had never taken."""
    claim = characters(1)[0]
    engine = heavy.take(claim)
    heavy.give_back(claim)
    engine.size_bytes = KEPT_BYTES_MAX + 1
    place, asked = heavy._place, []

    def interrupted(wanted: Claim):
        asked.append(heavy._lock.locked())  # nobody else can be in there
        return place(wanted)

    heavy._place = interrupted
    heavy.take(claim)
    assert asked == [True]
    assert heavy.closed == []


def test_a_bundle_that_cannot_be_read_is_an_error_and_can_be_tried_again(tmp_path) -> None:
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"not an archive")
    kept = shelf(lambda *_: broken)
    claim = replace(CLAIM, engine="synctalk", bundle_sha256="0" * 64)
    for _ in range(2):
        with pytest.raises(EngineError):
            kept.take(claim)
    assert kept.characters() == ()
