"""The worker's line to the platform: claim, beat, bundle download.

The platform may be away for a while; that alone is no reason to stop serving. Only a clear answer
("you are dead") ends this process, at once and without tidying up: somebody else has its sessions.
"""

import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NoReturn

import httpx
import structlog

from avatar_contracts.beat import (
    BEAT_INTERVAL_S,
    BeatAnswer,
    Claim,
    ClaimRequest,
    WorkerBeat,
)
from avatar_contracts.codec import ContractError, from_json, to_json
from avatar_contracts.internal import BEAT_PATH, CLAIM_PATH, bundle_path
from avatar_worker.observability import BEATS

CLAIM_WITHIN_S: Final = 5.0
"""Longer tries are pointless: the platform offers the session again."""
RETRY_S: Final = 0.25
REQUEST_TIMEOUT: Final = httpx.Timeout(3.0, connect=1.5)
DOWNLOAD_TIMEOUT: Final = httpx.Timeout(30.0, connect=3.0)
MIN_GAP_S: Final = 0.05
"""Things that happen together share a beat."""
EXIT_DECLARED_DEAD: Final = 75

log = structlog.get_logger()


class LinkError(RuntimeError):
    """The platform did not give what was asked for.

    LinkError
    ├── RefusedError        it answered no: somebody else has the session, or it is over
    ├── UnreachableError    no answer, or one that makes no sense
    └── BrokenBundleError   the bundle that came is not the one that was promised
    """


class RefusedError(LinkError):
    """See `LinkError`."""


class UnreachableError(LinkError):
    """See `LinkError`."""


class BrokenBundleError(LinkError):
    """See `LinkError`."""


class PlatformLink:
    """Thread-safe; one connection pool for all calls."""

    def __init__(self, url: str, token: str, transport: httpx.BaseTransport | None = None) -> None:
        self._client = httpx.Client(
            base_url=url.rstrip("/"),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            timeout=REQUEST_TIMEOUT,
            transport=transport,
        )

    def close(self) -> None:
        self._client.close()

    def claim(self, request: ClaimRequest, within_s: float = CLAIM_WITHIN_S) -> Claim:
        """Ask for a session; an absent platform is asked again for a while.

        Raises:
            RefusedError: the answer is no.
            UnreachableError: there was no answer in time.
        """
        deadline = time.monotonic() + within_s
        while True:
            try:
                return from_json(Claim, self._post(CLAIM_PATH, to_json(request)))
            except ContractError as error:
                raise UnreachableError(f"the claim's answer is not one: {error}") from error
            except UnreachableError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(RETRY_S)

    def beat(self, beat: WorkerBeat) -> BeatAnswer:
        """One beat.

        Raises:
            LinkError: it did not arrive, or was not understood.
        """
        try:
            return from_json(BeatAnswer, self._post(BEAT_PATH, to_json(beat)))
        except ContractError as error:
            raise UnreachableError(f"the beat's answer is not one: {error}") from error

    def fetch_bundle(self, character: str, sha256: str, folder: Path) -> Path:
        """The bundle archive of a character version, from `folder` when it lies there.

        Raises:
            BrokenBundleError: its sha256 is another one.
            LinkError: it cannot be downloaded.
        """
        target = folder / f"{sha256}.zip"
        if target.is_file():
            return target
        folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        descriptor, name = tempfile.mkstemp(dir=folder, suffix=".part")
        draft = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for piece in self._download(bundle_path(character)):
                    digest.update(piece)
                    file.write(piece)
            if digest.hexdigest() != sha256:
                raise BrokenBundleError(
                    f"bundle of {character}: sha256 {digest.hexdigest()}, expected {sha256}"
                )
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
        log.info("bundle downloaded", character_id=character, bytes=target.stat().st_size)
        return target

    def _post(self, path: str, body: str) -> bytes:
        try:
            answer = self._client.post(path, content=body)
        except httpx.HTTPError as error:
            raise UnreachableError(f"the platform does not answer: {error}") from error
        if answer.status_code in (404, 409):
            raise RefusedError(f"the platform refused: {answer.status_code}")
        if answer.status_code != 200:
            raise UnreachableError(f"the platform answered {answer.status_code} to {path}")
        return answer.content

    def _download(self, path: str) -> Iterator[bytes]:
        try:
            with self._client.stream("GET", path, timeout=DOWNLOAD_TIMEOUT) as answer:
                if answer.status_code != 200:
                    raise UnreachableError(f"the platform answered {answer.status_code} to {path}")
                yield from answer.iter_bytes()
        except httpx.HTTPError as error:
            raise UnreachableError(f"the bundle cannot be downloaded: {error}") from error


class BeatThread:
    """Sends a beat each second, and sooner when something happened.

    Args:
        link: to the platform.
        make: builds the beat; called on this thread.
        on_answer: the beat has arrived, and this was answered.
    """

    def __init__(
        self,
        link: PlatformLink,
        *,
        make: Callable[[], WorkerBeat],
        on_answer: Callable[[WorkerBeat, BeatAnswer], None],
    ) -> None:
        self._link = link
        self._make = make
        self._on_answer = on_answer
        self._news = threading.Event()
        self._is_closed = threading.Event()
        self._is_reachable = True
        self._thread = threading.Thread(target=self._run, name="beat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def hurry(self) -> None:
        """Something happened that should not wait for the next second. From any thread."""
        self._news.set()

    def close(self) -> None:
        """Ends after one last beat."""
        self._is_closed.set()
        self._news.set()
        if self._thread.is_alive():
            self._thread.join(2 * BEAT_INTERVAL_S)

    def _run(self) -> None:
        while not self._is_closed.is_set():
            self._news.clear()
            self._send()
            self._is_closed.wait(MIN_GAP_S)
            self._news.wait(BEAT_INTERVAL_S - MIN_GAP_S)
        self._send()

    def _send(self) -> None:
        beat = self._make()
        try:
            answer = self._link.beat(beat)
        except LinkError as error:
            BEATS.labels("lost").inc()
            if self._is_reachable:
                log.warning("platform unreachable", error=str(error))
            self._is_reachable = False
            self._is_closed.wait(RETRY_S)
            return
        BEATS.labels("sent").inc()
        if not self._is_reachable:
            log.info("platform reachable again")
        self._is_reachable = True
        self._on_answer(beat, answer)


def exit_declared_dead() -> NoReturn:
    """Leave nothing running: the platform has given our sessions to others."""
    log.error("declared dead by the platform; exiting")
    os._exit(EXIT_DECLARED_DEAD)
