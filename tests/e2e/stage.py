"""The conversation page in front of the real control plane; only the workers are played.

Web, control worker, beat, Redis, LiveKit and Chromium are real. The avatar worker and the agent
worker are the test's own: their reports come over the internal API (`stack.py`), their picture,
sound and captions through the room (`cast.py`). So every state of the page can be brought about
and held.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from avatar_contracts.beat import EventKind
from avatar_platform.local.engines import Found, LiveKitAddress
from avatar_platform.local.processes import wait_until
from tests.e2e.cast import Cast, plain_picture
from tests.integration.platform.stack import PlayedAgent, PlayedWorker, Stack, report

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]
WITHIN_MS = 20_000
CHARACTERS = """
from django.core.files.base import ContentFile
import io, PIL.Image
from tests.unit.web.conftest import published
picture = io.BytesIO()
PIL.Image.new("RGB", (256, 256), (120, 150, 160)).save(picture, "png")
for slug, name in (("mira", "Mira"), ("noor", "Noor")):
    version = published(slug, name).published_version
    version.preview.save("face.png", ContentFile(picture.getvalue()))
"""


@contextmanager
def chromium(found: Found) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(found.path), args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class Stage:
    """One visitor's page, and whoever the test lets appear on it."""

    def __init__(self, stack: Stack, context: BrowserContext) -> None:
        self.stack = stack
        self.context = context
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        """What the browser's console complained of, refused scripts and styles included."""
        self.worker: PlayedWorker | None = None
        self.cast: Cast | None = None
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _listen(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def open(self, path: str = "/") -> None:
        self.page.goto(self.stack.url + path)

    def start(self) -> None:
        self.page.locator("#start").click()

    def shows(self, status: str | re.Pattern[str], within_ms: int = WITHIN_MS) -> None:
        expect(self.page.locator("body")).to_have_attribute(
            "data-status", status, timeout=within_ms
        )

    def says(self, element: str, words: str) -> None:
        expect(self.page.locator(element)).to_have_text(words, timeout=WITHIN_MS)

    def read(self, name: str) -> Any:
        """A property of the page's `window.avatarPage`."""
        return self.page.evaluate(f"avatarPage.{name}")

    def wait_for(self, name: str, wanted: Any, within_s: float = 20.0) -> None:
        """Until a property of `avatarPage` has this value. (Playwright's own way needs eval.)"""

        def reached() -> bool:
            self.page.wait_for_timeout(20)  # lets the browser's events in
            return bool(self.read(name) == wanted)

        wait_until(reached, f"avatarPage.{name} is {wanted!r}", within_s=within_s)

    # --- the played workers ---

    @property
    def session(self) -> str:
        return str(self.read("session.id"))

    def worker_claims(self, epoch: int = 1) -> None:
        """An avatar worker is there and takes the session."""
        self.worker = PlayedWorker(self.stack)
        self.worker.__enter__()
        self.worker.beat()
        assert self.worker.claim(self.session, epoch) is not None

    def face_appears(self, epoch: int = 1) -> Cast:
        """Agent and avatar join; the first picture is there."""
        env = self.stack.env
        if self.cast is None:
            address = LiveKitAddress(
                env["LIVEKIT_URL"], env["LIVEKIT_API_KEY"], env["LIVEKIT_API_SECRET"], pid=0
            )
            room = self.read("session.livekit.room")
            self.cast = Cast(address, self.session, room, plain_picture())
            self.cast.agent_joins()
            PlayedAgent(self.stack).tell(report(self.session, epoch, EventKind.AGENT_JOINED))
        self.cast.avatar_joins()
        assert self.worker is not None
        self.worker.show_face(self.session, epoch)
        return self.cast

    def converse(self) -> Cast:
        """From the open page to a face that is there."""
        self.start()
        self.shows("queued")
        self.worker_claims()
        self.shows("provisioning")
        cast = self.face_appears()
        self.shows("live")
        return cast

    def close(self) -> None:
        # Nobody is left in line before the next test. In one go: between a look and a click a
        # conversation may end by itself, and its button disappears.
        if self.page.evaluate(
            "() => { const end = document.getElementById('end');"
            "const shown = Boolean(end?.offsetParent); if (shown) end.click(); return shown; }"
        ):
            self.shows(re.compile("ended|failed"))
        self.context.close()
        if self.worker is not None:
            self.worker.freeze()
        if self.cast is not None:
            self.cast.close()
        with redis.Redis.from_url(self.stack.redis_url) as client:  # nobody's starts are counted
            for key in client.scan_iter("avatar:cache*"):
                client.delete(key)
