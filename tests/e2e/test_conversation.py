"""The whole product, with nothing faked: a person opens the page, speaks, and a face answers.

REST, database, Celery, LiveKit room, agent dispatch, Redis Streams, the avatar worker, render,
LiveKit tracks, Chromium. Only the microphone's sound is ours: questions in a voice that is not the
avatar's.
"""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from avatar_platform.local.engines import Found
from tests.e2e.demo import ROOT, running_demo
from tests.e2e.speech import spoken
from tests.e2e.visitor import Visitor, a_visitor

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

CHARACTER = "mira"
MOUTH = (slice(75, 90), slice(52, 77))
FOREHEAD = (slice(30, 45), slice(52, 77))
"""Rows and columns of her face, of 128."""
SPEECH = "Listen. " + "I will go on for a while, so that there is time to interrupt. " * 3
SCREENSHOTS = ROOT / "var" / "screenshots"
AUDIBLE = 0.01
FACE_WITHIN_S = 90.0
ANSWER_WITHIN_S = 90.0
QUIET_WITHIN_S = 60.0
INTERRUPTED_WITHIN_S = 8.0
REPORTED_WITHIN_S = 30.0
"""Patience with a machine that other programs keep busy; how fast it is on a quiet one,
`tests/bench` says."""

FLUENT_FPS = 10.0
"""Fewer pictures a second than that are no conversation, on whatever machine."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """`make demo` as it comes: the shipped character."""
    with running_demo(tmp_path_factory.mktemp("demo")) as record:
        assert record["character"] == CHARACTER
        yield record


def motion(pictures: np.ndarray, where: tuple[slice, slice]) -> float:
    """How much a part of the face changes from picture to picture, mean of |difference|."""
    return float(np.abs(np.diff(pictures[:, where[0], where[1]], axis=0)).mean())


def api(demo: dict[str, Any], method: str, path: str, **arguments: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {demo['api_key']}"}
    return httpx.request(method, f"{demo['api_url']}{path}", headers=headers, **arguments)


def ask(visitor: Visitor, text: str) -> None:
    samples, rate = spoken(text)
    visitor.speak(samples, rate)


def wait_until_quiet(visitor: Visitor) -> None:
    visitor.wait_for("!window.avatarPage.speaking", QUIET_WITHIN_S)


def frame_rate(visitor: Visitor) -> float:
    """Pictures a second in the browser: the better of two stretches of 2 s; shown with the test."""
    rate = max(visitor.frame_rate(2.0) for _ in range(2))
    print(f"{rate:.1f} pictures a second in the browser")
    return rate


def was_interrupted(demo: dict[str, Any], session: str) -> bool:
    """Whether the platform knows of speech that was cut short."""
    events = api(demo, "GET", f"/sessions/{session}/events?limit=200").json()["items"]
    ended = [event for event in events if event["kind"] == "avatar.speak_ended"]
    return any(event["data"]["interrupted"] for event in ended)


def have_said(demo: dict[str, Any], visitor: Visitor, text: str) -> None:
    """As an application does: `POST /sessions/{id}/say`."""
    session = visitor.read("session")["id"]
    assert api(demo, "POST", f"/sessions/{session}/say", json={"text": text}).is_success
    visitor.wait_for("window.avatarPage.speaking", ANSWER_WITHIN_S)


def wait_for_status(demo: dict[str, Any], visitor: Visitor, status: str) -> None:
    """The browser sees a picture before the platform has been told of it."""
    session = visitor.read("session")["id"]
    wait_until(lambda: api(demo, "GET", f"/sessions/{session}").json()["status"] == status, visitor)


def wait_until(is_true: Callable[[], bool], visitor: Visitor) -> None:
    """For what the platform is told by its workers."""
    deadline = time.monotonic() + REPORTED_WITHIN_S
    while not is_true():
        assert time.monotonic() < deadline, "the platform was not told in time"
        visitor.page.wait_for_timeout(100)


def test_a_visitor_is_answered_by_a_face_that_can_be_interrupted(
    demo: dict[str, Any], browser_path: Found
) -> None:
    with a_visitor(browser_path.path, demo["page_url"], SCREENSHOTS) as visitor:
        visitor.start(demo["character"])
        visitor.wait_for("window.avatarPage.status === 'live'", FACE_WITHIN_S)
        visitor.wait_for("window.avatarPage.speaking", ANSWER_WITHIN_S)

        # She greets, and then is alive before anybody speaks.
        wait_until_quiet(visitor)
        assert "I'm Mira" in visitor.said_by("avatar")
        idle = visitor.pictures(5.0)
        visitor.screenshot("idle")
        assert np.abs(np.diff(idle, axis=0)).max() > 0.02, "the idle face does not move"

        # A spoken question is answered, out loud, by the persona.
        ask(visitor, "What is your name?")
        visitor.wait_for("window.avatarPage.speaking", ANSWER_WITHIN_S)
        visitor.screenshot("speaking")
        assert visitor.loudest_while_speaking() > AUDIBLE
        assert "name" in visitor.said_by("user").lower()
        assert "my name is mira" in visitor.said_by("avatar").lower()

        # The lips move with what is said.
        ask(visitor, "Tell me a story.")
        visitor.wait_for("window.avatarPage.speaking", ANSWER_WITHIN_S)
        speaking = visitor.pictures(4.0)
        assert motion(speaking, MOUTH) > 2 * motion(idle, MOUTH)
        assert motion(speaking, MOUTH) > 2 * motion(speaking, FOREHEAD)
        rate = frame_rate(visitor)

        # Speaking over it stops it.
        ask(visitor, "Wait, stop. Please be quiet.")
        visitor.wait_for("!window.avatarPage.speaking", INTERRUPTED_WITHIN_S)
        visitor.screenshot("interrupted")
        session = visitor.read("session")["id"]
        wait_until(lambda: was_interrupted(demo, session), visitor)
        assert rate >= FLUENT_FPS, f"{rate:.1f} pictures a second while speaking"

        # End ends it, everywhere.
        visitor.page.click("#end")
        visitor.wait_for("window.avatarPage.status === 'ended'", REPORTED_WITHIN_S)
        body = api(demo, "GET", f"/sessions/{session}").json()
        assert (body["status"], body["end_reason"]) == ("ended", "USER_CLOSED")


def test_the_test_card_reaches_the_browser_fluently(
    demo: dict[str, Any], browser_path: Found
) -> None:
    page = f"{demo['page_url']}?character=test-card"
    with a_visitor(browser_path.path, page, SCREENSHOTS) as visitor:
        visitor.start()
        visitor.wait_for("window.avatarPage.status === 'live'", FACE_WITHIN_S)
        have_said(demo, visitor, SPEECH)
        rate = frame_rate(visitor)
        visitor.screenshot("test-card")
        visitor.page.click("#end")
        visitor.wait_for("window.avatarPage.status === 'ended'", REPORTED_WITHIN_S)
        assert rate >= FLUENT_FPS


def test_a_killed_avatar_worker_is_replaced_while_the_page_stays_open(
    demo: dict[str, Any], browser_path: Found
) -> None:
    with a_visitor(browser_path.path, demo["page_url"], SCREENSHOTS) as visitor:
        visitor.start(demo["character"])
        visitor.wait_for("window.avatarPage.status === 'live'", FACE_WITHIN_S)
        have_said(demo, visitor, SPEECH)
        os.kill(demo["processes"]["avatar_worker"], signal.SIGKILL)
        visitor.wait_for("window.avatarPage.status !== 'live'", REPORTED_WITHIN_S)
        back_s = visitor.wait_for("window.avatarPage.status === 'live'", FACE_WITHIN_S)
        print(f"the face was back {back_s:.1f} s after its loss was seen")
        ask(visitor, "What is your name?")
        visitor.wait_for("window.avatarPage.speaking", ANSWER_WITHIN_S)
        wait_for_status(demo, visitor, "active")
        visitor.page.click("#end")
        visitor.wait_for("window.avatarPage.status === 'ended'", REPORTED_WITHIN_S)


def test_ctrl_c_leaves_no_process_and_no_record_behind(tmp_path: Path) -> None:
    with running_demo(tmp_path) as record:
        pids = list(record["processes"].values())
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert not (tmp_path / "demo.json").exists()
    shutil.rmtree(tmp_path, ignore_errors=True)
