"""A visitor in a real browser: speaks when told to, looks at the face, hears it, measures.

The microphone is a Web Audio stream that the test feeds, so that the visitor can wait for the
greeting to end and speak over an answer at the right moment. Everything after `getUserMedia` is the
browser's own.
"""

import base64
import io
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, ViewportSize, sync_playwright

SCRIPT = Path(__file__).with_name("visitor.js")
PAGE_WITHIN_S = 60.0
LEFT_WITHIN_S = 10.0
VIEWPORT: ViewportSize = {"width": 960, "height": 720}
"""The browser draws without a GPU, on the cores that the product needs."""

ARGUMENTS = [
    "--no-sandbox",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--disable-gpu",
]


class Visitor:
    """One tab with the page of the product open."""

    def __init__(self, page: Page, screenshots: Path) -> None:
        self.page = page
        self._screenshots = screenshots

    def start(self, character: str | None = None) -> None:
        if character is not None:
            choice = self.page.locator(f'input[name=character][value="{character}"]')
            if choice.count():
                choice.check(force=True)
        self.page.click("#start")

    def read(self, name: str) -> Any:
        """A property of the page's `window.avatarPage`."""
        return self.page.evaluate(f"window.avatarPage.{name}")

    def wait_for(self, condition: str, within_s: float) -> float:
        """Until a JavaScript expression holds; returns the seconds that it took.

        Asked again and again from here: the page's security policy lets nobody evaluate strings.
        """
        started = time.monotonic()
        while not self.page.evaluate(f"Boolean({condition})"):
            waited_s = time.monotonic() - started
            assert waited_s < within_s, f"waited {waited_s:.0f} s for {condition}; {self._state()}"
            self.page.wait_for_timeout(50)
        return time.monotonic() - started

    def _state(self) -> str:
        history = self.page.evaluate("window.avatarPage?.history.slice(-4)")
        return f"the page went through {history}"

    def speak(self, samples: np.ndarray, rate: int) -> float:
        """Play into the microphone, now; returns how long it lasts in seconds."""
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
        encoded = base64.b64encode(buffer.getvalue()).decode()
        return float(self.page.evaluate("data => window.visitor.speak(data)", encoded))

    def loudness(self) -> float:
        """Root mean square of what the visitor hears right now."""
        return float(self.page.evaluate("window.visitor.loudness()"))

    def loudest_while_speaking(self) -> float:
        """The loudest that the visitor hears until the avatar has spoken."""
        loudest = 0.0
        while self.read("speaking"):
            loudest = max(loudest, self.loudness())
        return loudest

    def pictures(self, seconds: float, rate_hz: float = 10.0) -> np.ndarray:
        """Luminance of the face as shown, [n, 128, 128] float32 in [0, 1]."""
        frames = self.page.evaluate(
            "([seconds, rate]) => window.visitor.pictures(seconds, rate)", [seconds, rate_hz]
        )
        raw = [np.frombuffer(base64.b64decode(frame), np.uint8) for frame in frames]
        return np.stack(raw).reshape(-1, 128, 128).astype(np.float32) / 255

    def frame_rate(self, seconds: float) -> float:
        """Pictures a second that the browser decoded."""
        return float(self.page.evaluate("seconds => window.visitor.frameRate(seconds)", seconds))

    def said_by(self, who: str) -> str:
        """Everything that the captions show for `user` or `avatar`."""
        return " ".join(line["text"] for line in self.read("captions") if line["who"] == who)

    def leave(self) -> None:
        """End what still goes on, so that it takes nothing from whoever comes next."""
        if self.page.is_closed() or not self.page.locator("#end").is_visible():
            return
        with suppress(PlaywrightError, AssertionError):
            self.page.click("#end", timeout=1000)
            self.wait_for("['ended', 'failed'].includes(window.avatarPage.status)", LEFT_WITHIN_S)

    def screenshot(self, name: str) -> None:
        self._screenshots.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(self._screenshots / f"{name}.png"))


@contextmanager
def a_visitor(browser: Path, url: str, screenshots: Path) -> Iterator[Visitor]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(browser), args=ARGUMENTS)
        context = chromium.new_context(viewport=VIEWPORT)
        context.grant_permissions(["microphone"])
        context.add_init_script(path=str(SCRIPT))
        page = context.new_page()
        page.goto(url)
        visitor = Visitor(page, screenshots)
        visitor.wait_for("window.avatarPage", PAGE_WITHIN_S)
        try:
            yield visitor
        finally:
            visitor.leave()
            context.close()
            chromium.close()
