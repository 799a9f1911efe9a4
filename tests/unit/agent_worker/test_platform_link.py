"""What the agent worker asks and tells the platform, and what it does when nobody answers."""

import httpx
import pytest

from agent_worker import platform_link
from agent_worker.errors import (
    ConversationOverError,
    PlatformRefusedError,
    PlatformUnreachableError,
)
from agent_worker.platform_link import PlatformLink
from agent_worker.reporter import Reporter
from avatar_contracts.beat import EventKind
from avatar_contracts.codec import from_json, to_json
from avatar_contracts.internal import REPORTS_PATH, conversation_path
from avatar_contracts.messages import Conversation, ReportBatch
from avatar_contracts.states import SessionMode
from tests.unit.agent_worker.cast import mira
from tests.unit.agent_worker.speech import until

pytestmark = pytest.mark.unit

CONVERSATION = Conversation("s", 1, SessionMode.CONVERSATION, mira(), "avatar-s", "visitor-s")


class Platform(httpx.AsyncBaseTransport):
    """Answers with the given statuses in turn, then with success."""

    def __init__(self, *statuses: int | None) -> None:
        self.statuses = list(statuses)
        self.asked: list[httpx.Request] = []
        self.batches: list[ReportBatch] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        status = self.statuses.pop(0) if self.statuses else 200
        if status is None:
            raise httpx.ConnectError("refused")
        if status != 200:
            return httpx.Response(status)
        if request.url.path == conversation_path("s"):
            return httpx.Response(200, text=to_json(CONVERSATION))
        assert request.url.path == REPORTS_PATH
        self.batches.append(from_json(ReportBatch, request.content))
        return httpx.Response(204)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform_link, "PAUSES_S", (0.001,))
    monkeypatch.setattr(platform_link, "FETCH_WITHIN_S", 0.3)


def link(platform: Platform) -> PlatformLink:
    return PlatformLink("http://platform", "t0ken", transport=platform)


async def test_the_conversation_is_fetched_with_the_workers_token() -> None:
    platform = Platform()
    assert await link(platform).fetch_conversation("s") == CONVERSATION
    assert platform.asked[0].headers["authorization"] == "Bearer t0ken"


async def test_passing_failures_are_waited_out() -> None:
    platform = Platform(None, 503, 429, 500)
    assert await link(platform).fetch_conversation("s") == CONVERSATION
    assert len(platform.asked) == 5


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, ConversationOverError), (401, PlatformRefusedError), (422, PlatformRefusedError)],
)
async def test_a_final_answer_is_not_asked_for_twice(status: int, error: type) -> None:
    platform = Platform(status, status)
    with pytest.raises(error):
        await link(platform).fetch_conversation("s")
    assert len(platform.asked) == 1


async def test_a_platform_that_never_answers_is_given_up() -> None:
    with pytest.raises(PlatformUnreachableError):
        await link(Platform(*[None] * 10_000)).fetch_conversation("s")


async def test_reports_arrive_in_order_with_keys_that_survive_a_retry() -> None:
    platform = Platform(503, None)
    reporter = Reporter(link(platform), "s")
    reporter.start()
    reporter.epoch = 2
    reporter.report(EventKind.AGENT_JOINED)
    reporter.report(EventKind.LATENCY, name="answer_ms", ms=600)
    await reporter.aclose()
    reports = [report for batch in platform.batches for report in batch.reports]
    assert [report.kind for report in reports] == ["agent.joined", "latency"]
    assert reports[1].data == {"name": "answer_ms", "ms": 600}
    assert {report.epoch for report in reports} == {2}
    assert len({report.key for report in reports}) == 2
    sent = [from_json(ReportBatch, request.content) for request in platform.asked]
    assert {batch.reports[0].key for batch in sent} == {reports[0].key}


async def test_reports_that_are_refused_do_not_block_the_next() -> None:
    platform = Platform(422)
    reporter = Reporter(link(platform), "s")
    reporter.start()
    reporter.report(EventKind.AGENT_JOINED)
    await until(lambda: platform.asked)
    reporter.report(EventKind.USER_JOINED)
    await reporter.aclose()
    assert [r.kind for batch in platform.batches for r in batch.reports][-1] == "user.joined"


async def test_closing_does_not_wait_for_a_platform_that_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agent_worker.reporter.FLUSH_WITHIN_S", 0.1)
    reporter = Reporter(link(Platform(*[None] * 10_000)), "s")
    reporter.start()
    reporter.report(EventKind.AGENT_JOINED)
    await reporter.aclose()
    await reporter.aclose()
