"""The audio stream's order, and a Redis that goes away."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisConnectionError

from avatar_contracts.codec import encode
from avatar_contracts.messages import AudioChunk, AudioMessage, ClearBuffer, Flush
from avatar_worker.inbox import Inbox, Ordering
from tests.fakes.virtual_time import run_in_virtual_time

pytestmark = pytest.mark.unit


@dataclass
class Heard:
    """A listener that writes down."""

    told: list[tuple[str, int, bytes]] = field(default_factory=list)
    queued_s: float = 0.0

    def chunk(self, number: int, pcm: bytes) -> None:
        self.told.append(("chunk", number, pcm))

    def flush(self, number: int) -> None:
        self.told.append(("flush", number, b""))

    def break_off(self, number: int) -> None:
        self.told.append(("break", number, b""))

    def clear(self, up_to: int) -> None:
        self.told.append(("clear", up_to, b""))


def told(messages: list[AudioMessage]) -> list[tuple[str, int, bytes]]:
    heard = Heard()
    ordering = Ordering(heard)
    for message in messages:
        ordering.handle(message)
    return heard.told


def test_chunks_come_in_order_and_duplicates_once() -> None:
    first, second = AudioChunk(1, 1, b"a"), AudioChunk(1, 2, b"b")
    assert told([first, first, second, first, Flush(1, 3), second]) == [
        ("chunk", 1, b"a"),
        ("chunk", 1, b"b"),
        ("flush", 1, b""),
    ]


def test_sound_with_a_hole_ends_before_the_hole() -> None:
    messages: list[AudioMessage] = [
        AudioChunk(1, 1, b"a"),
        AudioChunk(1, 3, b"c"),
        AudioChunk(1, 4, b"d"),
        Flush(1, 5),
        AudioChunk(2, 1, b"e"),
    ]
    assert told(messages) == [
        ("chunk", 1, b"a"),
        ("break", 1, b""),
        ("break", 1, b""),
        ("break", 1, b""),
        ("chunk", 2, b"e"),
    ]


def test_a_lost_beginning_is_a_hole_but_the_first_segment_may_be_a_resumed_one() -> None:
    assert told([AudioChunk(7, 4, b"x")]) == [("chunk", 7, b"x")]
    assert told([AudioChunk(7, 1, b"x"), AudioChunk(8, 2, b"y")])[-1] == ("break", 8, b"")


def test_what_was_cleared_and_comes_late_is_dropped() -> None:
    messages: list[AudioMessage] = [
        AudioChunk(1, 1, b"a"),
        ClearBuffer(1, 2),
        AudioChunk(1, 2, b"late"),
        AudioChunk(2, 1, b"b"),
    ]
    assert told(messages) == [("chunk", 1, b"a"), ("clear", 1, b""), ("chunk", 2, b"b")]


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.data())
def test_no_way_of_repeating_entries_changes_what_is_told(
    lengths: list[int], data: st.DataObject
) -> None:
    messages: list[AudioMessage] = []
    for segment, length in enumerate(lengths, 1):
        messages += [AudioChunk(segment, c, bytes([segment, c])) for c in range(1, length + 1)]
        messages.append(Flush(segment, length + 1))
    repeated: list[AudioMessage] = []
    for i, message in enumerate(messages):
        back = data.draw(st.integers(0, i))
        repeated += [message, *messages[back:i]]
    assert told(repeated) == told(messages)


class RedisThatGoesAway:
    """XREAD over entries; fails in between as told."""

    def __init__(self, entries: list[AudioMessage], failing_reads: set[int]) -> None:
        self._entries = [(f"{m.segment}-{m.chunk}".encode(), encode(m)) for m in entries]
        self._failing = failing_reads
        self._reads = 0
        self.asked: list[Any] = []

    async def xread(self, streams: dict[str, Any], *, count: int, block: int) -> Any:
        self._reads += 1
        if self._reads in self._failing:
            raise RedisConnectionError("gone")
        last = next(iter(streams.values()))
        self.asked.append(last)
        numbers = tuple(map(int, last.split(b"-")))
        new = [e for e in self._entries if tuple(map(int, e[0].split(b"-"))) > numbers][:2]
        if not new:
            await asyncio.sleep(block / 1000)
            return []
        return [[b"key", new]]


def test_after_a_lost_connection_reading_goes_on_behind_the_last_entry() -> None:
    async def main() -> None:
        entries: list[AudioMessage] = [AudioChunk(1, c, bytes([c])) for c in range(1, 7)]
        redis = RedisThatGoesAway(entries, failing_reads={2, 3, 5})
        heard = Heard()
        reading = asyncio.create_task(Inbox(redis, "key", heard).run())  # type: ignore[arg-type]
        await asyncio.sleep(5)
        reading.cancel()
        assert [pcm for _, _, pcm in heard.told] == [bytes([c]) for c in range(1, 7)]
        assert redis.asked[:4] == [b"0-0", b"1-2", b"1-4", b"1-6"]

    run_in_virtual_time(main())


def test_a_producer_that_ignores_the_limit_is_left_in_redis() -> None:
    async def main() -> None:
        entries: list[AudioMessage] = [AudioChunk(1, c, b"x") for c in range(1, 9)]
        redis = RedisThatGoesAway(entries, set())
        heard = Heard(queued_s=31.0)
        reading = asyncio.create_task(Inbox(redis, "key", heard).run())  # type: ignore[arg-type]
        await asyncio.sleep(5)
        assert len(heard.told) == 2  # one read
        heard.queued_s = 1.0
        await asyncio.sleep(5)
        reading.cancel()
        assert len(heard.told) == 8

    run_in_virtual_time(main())
