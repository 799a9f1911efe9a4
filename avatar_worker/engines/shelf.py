"""Characters loaded once and shared: the shelf every session takes its engine from."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from avatar_contracts.beat import Claim
from avatar_worker.engines.base import Engine, EngineError
from avatar_worker.engines.test_card import TestCard

KEPT_MAX: Final = 8
"""Characters kept in memory when nobody uses them; the longest unused goes first."""
KEPT_BYTES_MAX: Final = 10**9
"""Memory of all characters beyond which nothing unused is kept: four of Mira's length at 512²."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Place:
    """One character's place; the lock makes the second session wait for the first one's loading."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    engine: Engine | None = None
    users: int = 0
    used_s: float = 0.0


def warm_up() -> None:
    """Import and compile what trained characters need, before sound runs: torch takes seconds,
    and its import holds up every other thread."""
    from avatar_worker.engines import synctalk  # noqa: F401
    from avatar_worker.render.painters import kernel

    kernel()


class EngineShelf:
    """Thread-safe.

    Args:
        fetch: `(character version, sha256)` → bundle archive on this machine.
        device: see `SyncTalkEngine`.
        threads: likewise.
        hubert: file of a HuBERT model, for characters that listen to one.
    """

    def __init__(
        self,
        fetch: Callable[[str, str], Path],
        *,
        device: str,
        threads: int,
        hubert: Path | None = None,
    ) -> None:
        self._fetch = fetch
        self._device = device
        self._threads = threads
        self._hubert = hubert
        self._places: dict[tuple[str, str, int, int], _Place] = {}
        self._lock = threading.Lock()

    def take(self, claim: Claim) -> Engine:
        """The engine of the claim's character, loaded now or long ago. Give it back after use.

        Raises:
            EngineError: it cannot be loaded.
            LinkError: its bundle cannot be had.
        """
        with self._lock:
            place = self._place(claim)
            place.users += 1
        try:
            with place.lock:
                if place.engine is None:
                    place.engine = self._load(claim)
            with self._lock:
                self._make_room()
            return place.engine
        except BaseException:
            self.give_back(claim)
            raise

    def give_back(self, claim: Claim) -> None:
        with self._lock:
            place = self._place(claim)
            place.users -= 1
            place.used_s = time.monotonic()
            self._make_room()

    def characters(self) -> tuple[str, ...]:
        """The character versions that are loaded."""
        with self._lock:
            return tuple(key[1] for key, place in self._places.items() if place.engine)

    def _make_room(self) -> None:
        """Drop unused characters beyond number and memory, behind the lock."""
        loaded = {key: p.engine for key, p in self._places.items() if p.engine is not None}
        held_bytes = sum(engine.size_bytes for engine in loaded.values())
        unused = sorted(
            (key for key in loaded if self._places[key].users == 0),
            key=lambda key: self._places[key].used_s,
        )
        while unused and (len(unused) > KEPT_MAX or held_bytes > KEPT_BYTES_MAX):
            key = unused.pop(0)
            del self._places[key]
            held_bytes -= loaded[key].size_bytes
            loaded[key].close()
            log.info("character dropped", character_id=key[1])

    def _place(self, claim: Claim) -> _Place:
        """Behind the lock, so that nobody drops it before it is counted as used."""
        key = (claim.bundle_sha256 or claim.engine, claim.character, claim.width, claim.height)
        return self._places.setdefault(key, _Place())

    def _load(self, claim: Claim) -> Engine:
        began = time.monotonic()
        engine: Engine
        if claim.engine == TestCard.name:
            engine = TestCard(claim.width, claim.height)
        else:
            engine = self._load_bundle(claim)
        took_ms = round(1000 * (time.monotonic() - began))
        log.info("character loaded", character_id=claim.character, took_ms=took_ms)
        return engine

    def _load_bundle(self, claim: Claim) -> Engine:
        # imported here: what serves test cards only needs no torch (see `warm_up`)
        from avatar_worker.character import BundleError, load_bundle
        from avatar_worker.engines.synctalk import SyncTalkEngine

        path = self._fetch(claim.character, claim.bundle_sha256)
        try:
            character = load_bundle(
                path, width=claim.width, height=claim.height, hubert=self._hubert
            )
        except BundleError as error:
            raise EngineError(str(error)) from error
        return SyncTalkEngine(character, device=self._device, threads=self._threads)
