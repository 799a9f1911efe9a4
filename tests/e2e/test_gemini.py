"""Gemini through the whole product: page, room, agent with the real google plugin, face.

Only Google's end of the wire is ours: a server that speaks its protocol.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatar_platform.local.engines import Found
from tests.e2e.demo import running_demo
from tests.e2e.speech import spoken
from tests.e2e.test_conversation import (
    ANSWER_WITHIN_S,
    AUDIBLE,
    FACE_WITHIN_S,
    INTERRUPTED_WITHIN_S,
    SCREENSHOTS,
    wait_until_quiet,
)
from tests.e2e.visitor import Visitor, a_visitor
from tests.fakes.gemini import FakeGemini, GeminiConnection

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

GREETING = "Hello, I am Mira. Ask me anything."
QUESTION = "What does a ticket cost?"
ANSWER = "A ticket costs eight euros, and children come in free."
HEARD_WITHIN_S = 15.0
HEARD_LEVEL = 300.0
"""Root mean square of 16-bit samples; silence stays below 50."""


class Google:
    """The protocol server on a loop of its own, since the browser's test is not asynchronous."""

    def __init__(self, folder: Path) -> None:
        self.gemini = FakeGemini(folder)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.do(self.gemini.start())

    def do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    def close(self) -> None:
        self.do(self.gemini.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)


@contextmanager
def google(folder: Path) -> Iterator[Google]:
    service = Google(folder)
    try:
        yield service
    finally:
        service.close()


def pcm(text: str) -> bytes:
    samples, _ = spoken(text)
    return (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()


def loudest(connection: GeminiConnection) -> float:
    """The loudest half second that Google heard."""
    heard = np.frombuffer(bytes(connection.heard[: len(connection.heard) // 2 * 2]), "<i2")
    halves = heard[: len(heard) // 8000 * 8000].reshape(-1, 8000).astype(np.float64)
    return float(np.sqrt((halves**2).mean(axis=1)).max(initial=0.0))


def wait_until_heard(visitor: Visitor, connection: GeminiConnection) -> None:
    for _ in range(int(HEARD_WITHIN_S / 0.1)):
        if loudest(connection) > HEARD_LEVEL:
            return
        visitor.page.wait_for_timeout(100)
    raise AssertionError(f"Google heard {len(connection.heard)} bytes and no speech in them")


def test_gemini_answers_a_spoken_question_with_a_face_and_is_interrupted(
    tmp_path: Path, browser_path: Found
) -> None:
    with google(tmp_path) as service:
        service.gemini.answer = (pcm(GREETING), GREETING)
        with (
            running_demo(
                tmp_path,
                AGENT_PROVIDER="gemini",
                GOOGLE_API_KEY="test-key",
                GOOGLE_GEMINI_BASE_URL=service.gemini.url,
                SSL_CERT_FILE=str(service.gemini.certificate),
            ) as demo,
            a_visitor(browser_path.path, demo["page_url"], SCREENSHOTS) as visitor,
        ):
            visitor.start(demo["character"])
            visitor.wait_for("window.avatarPage.status === 'live'", FACE_WITHIN_S)
            visitor.wait_for("window.avatarPage.captions.length > 0", ANSWER_WITHIN_S)
            wait_until_quiet(visitor)
            connection = service.gemini.newest
            assert "Mira" in visitor.said_by("avatar")

            # The question goes to Google as sound, the answer comes back as sound and words.
            visitor.speak(*spoken(QUESTION))
            wait_until_heard(visitor, connection)
            service.do(connection.user_said(QUESTION))
            service.do(connection.speak(pcm(ANSWER), ANSWER))
            visitor.wait_for("window.avatarPage.speaking", ANSWER_WITHIN_S)
            visitor.screenshot("gemini")
            assert visitor.loudest_while_speaking() > AUDIBLE
            assert "ticket cost" in visitor.said_by("user")
            assert "eight euros" in visitor.said_by("avatar")

            # Google notices that the visitor speaks into the answer.
            service.do(connection.speak(pcm(f"{ANSWER} " * 4), ANSWER, complete=False))
            visitor.wait_for("window.avatarPage.speaking", ANSWER_WITHIN_S)
            service.do(connection.interrupt())
            visitor.wait_for("!window.avatarPage.speaking", INTERRUPTED_WITHIN_S)
            assert connection.refused == []
