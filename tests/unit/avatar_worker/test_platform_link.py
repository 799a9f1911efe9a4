"""Claim, beat and download against answers of every kind."""

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import httpx
import pytest

from avatar_contracts.beat import BeatAnswer, Claim, ClaimRequest, StopOrder, WorkerBeat
from avatar_contracts.messages import SessionReport
from avatar_worker.platform_link import (
    BeatThread,
    BrokenBundleError,
    PlatformLink,
    RefusedError,
    UnreachableError,
)
from avatar_worker.reporter import UNSENT_MAX, ReportQueue

pytestmark = pytest.mark.unit

CLAIM = Claim(
    "s", 2, "ws://lk", "room", "jwt", "avatar-s", "agent-s", "v1", "", "test-card", 64, 64
)
BEAT = WorkerBeat("w", "host", "cpu", "default", 1, 5)


def link(answer: Callable[[httpx.Request], httpx.Response]) -> PlatformLink:
    return PlatformLink("http://platform/", "token", transport=httpx.MockTransport(answer))


def test_a_claim_carries_the_token_and_gives_what_the_platform_gave() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"] == "Bearer token"
        assert json.loads(request.content) == {"worker": "w", "session": "s", "epoch": 2}
        return httpx.Response(200, json=asdict(CLAIM))

    assert link(answer).claim(ClaimRequest("w", "s", 2)) == CLAIM


def test_a_session_that_somebody_else_has_is_refused_without_a_second_try() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(409)

    with pytest.raises(RefusedError):
        link(answer).claim(ClaimRequest("w", "s", 2))
    assert len(asked) == 1


def test_an_absent_platform_is_asked_again() -> None:
    answers = [httpx.Response(503), httpx.Response(200, json=asdict(CLAIM))]
    assert link(lambda _: answers.pop(0)).claim(ClaimRequest("w", "s", 2)) == CLAIM


def test_an_absent_platform_is_not_asked_for_ever() -> None:
    with pytest.raises(UnreachableError, match="503"):
        link(lambda _: httpx.Response(503)).claim(ClaimRequest("w", "s", 2), within_s=0.0)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"session": 1}', b"<html>"])
def test_an_answer_that_makes_no_sense_is_no_claim_and_no_beat(body: bytes) -> None:
    confused = link(lambda _: httpx.Response(200, content=body))
    with pytest.raises(UnreachableError):
        confused.claim(ClaimRequest("w", "s", 2))
    with pytest.raises(UnreachableError):
        confused.beat(BEAT)


def test_a_bundle_is_downloaded_once_and_only_the_promised_one(tmp_path: Path) -> None:
    content = b"bundle" * 1000
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(200, content=content)

    sha256 = hashlib.sha256(content).hexdigest()
    found = link(answer)
    for _ in range(2):
        assert found.fetch_bundle("v1", sha256, tmp_path).read_bytes() == content
    assert asked == ["/internal/v1/bundles/v1"]
    with pytest.raises(BrokenBundleError):
        found.fetch_bundle("v1", "0" * 64, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"{sha256}.zip"]


def test_a_download_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError):
        link(lambda _: httpx.Response(500)).fetch_bundle("v1", "0" * 64, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_reports_stay_until_a_beat_with_them_was_answered() -> None:
    queue = ReportQueue(lambda: None)
    queue.put(SessionReport("s", 1, "a", "k", 0))
    sent = queue.peek(10)
    queue.put(SessionReport("s", 1, "b", "k", 0))
    queue.confirm(sent)
    assert [report.key for report in queue.peek(10)] == ["b"]


def test_the_oldest_reports_go_when_nobody_takes_them() -> None:
    queue = ReportQueue(lambda: None)
    for i in range(UNSENT_MAX + 3):
        queue.put(SessionReport("s", 1, str(i), "k", 0))
    assert queue.peek(1)[0].key == "3"
    assert len(queue.peek(10**6)) == UNSENT_MAX


def test_a_beat_goes_out_at_once_when_something_happened_and_again_after_a_failure() -> None:
    answers = [
        httpx.Response(500),
        httpx.Response(200, json={"dead": False, "stop": [asdict(StopOrder("s", 1, "over"))]}),
        httpx.Response(200, json={"dead": False, "stop": []}),
    ]
    got: list[BeatAnswer] = []
    arrived = threading.Semaphore(0)

    def note(_: WorkerBeat, answer: BeatAnswer) -> None:
        got.append(answer)
        arrived.release()

    beats = BeatThread(
        link(lambda _: answers.pop(0) if len(answers) > 1 else answers[0]),
        make=lambda: BEAT,
        on_answer=note,
    )
    beats.start()
    assert arrived.acquire(timeout=5)
    beats.hurry()
    assert arrived.acquire(timeout=0.9), "the next beat came only with the next second"
    beats.close()
    assert got[0].stop == (StopOrder("s", 1, "over"),)
