"""The loop around what is trained: when it ends, what it stores, what it shows.

A run ends after the steps or minutes asked for, when held-out scores have not risen for a while
(`patience`), or when it is told to (Ctrl-C, SIGTERM): then after the step that is being done, so
that the state on disk is one that an uninterrupted run had too. A second Ctrl-C ends it at once.
"""

import logging
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final, Protocol

import cv2
from tqdm import tqdm

from avatar_worker.sentence import reason
from avatar_worker.train.checkpoints import (
    note_scores,
    write_best,
    write_head,
    write_state,
)
from avatar_worker.train.errors import TrainingError
from avatar_worker.train.progress import Progress
from avatar_worker.train.scores import Scorer, Scores
from avatar_worker.whole_files import write_whole

PREVIEW_QUALITY: Final = 92
SHOW_STEPS: Final = 25

log = logging.getLogger(__name__)


class Trainee(Protocol):
    """A head or a torso that is being trained."""

    @property
    def progress(self) -> Progress:
        """Where it is; the loop counts its time there."""

    def step(self, done: float) -> None:
        """One step of a run of which `done`, 0 … 1, is over."""

    def shown(self) -> Mapping[str, str]:
        """What the progress bar says."""

    def checkpoint(self) -> dict[str, Any]:
        """The run so far as the original stores it."""

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a run ends.

    Attributes:
        steps: after so many; None to go by time.
        seconds: after so much time in steps.
        patience: after so many scorings without a better one; None for never.
        save_every_s: how often the run is stored and scored.
    """

    steps: int | None = None
    seconds: float = 3600.0
    patience: int | None = None
    save_every_s: float = 120.0

    def done(self, at: Progress) -> float:
        """Share of the run that is over; 1 at the end."""
        share = at.step / self.steps if self.steps else at.seconds / self.seconds
        return min(share, 1.0)


class Run:
    """Trains to the end.

    Args:
        trainee: what is trained.
        workspace: receives everything.
        limits: see there.
        scorer: looks at held-out frames; None where there are none.
    """

    def __init__(
        self, trainee: Trainee, workspace: Path, limits: Limits, scorer: Scorer | None
    ) -> None:
        self._trainee = trainee
        self._workspace = workspace
        self._limits = limits
        self._scorer = scorer

    def go(self) -> None:
        """Train; store on the way, at the end and when told to stop.

        Raises:
            KeyboardInterrupt: told to stop; everything is stored.
            TrainingError: the run cannot go on, or its end could not be stored.
        """
        at, limits = self._trainee.progress, self._limits
        saved_s, saved_step = at.seconds, -1
        clock = _Clock(limits.done(at))
        total = limits.steps or round(limits.seconds)
        with (
            StopRequest() as stop,
            tqdm(total=total, initial=self._shown(), unit="step" if limits.steps else "s",
                 disable=None) as bar,
        ):  # fmt: skip
            while (share := limits.done(at)) < 1.0 and not stop.is_asked:
                start_s = time.perf_counter()
                self._trainee.step(share)
                at.seconds += time.perf_counter() - start_s
                bar.update(self._shown() - bar.n)
                if at.step % SHOW_STEPS == 0:
                    bar.set_postfix({**self._trainee.shown(), "step": at.step}, refresh=False)
                if at.seconds - saved_s >= limits.save_every_s and limits.done(at) < 1.0:
                    saved_s = at.seconds
                    try:
                        said = f"{self.save()}; {clock.left(limits.done(at))} left"
                        bar.write(said, file=sys.stderr)
                        saved_step = at.step
                    except OSError as error:
                        log.warning("not stored, going on: %s", reason(error))
                    if limits.patience and at.n_worse >= limits.patience:
                        bar.write(
                            f"no better score since step {at.best_step}: that is it",
                            file=sys.stderr,
                        )
                        break
        try:
            if stop.is_asked:
                write_state(self._workspace, self._trainee.state())
                log.info("stopped after %d steps; call again to go on", at.step)
                raise KeyboardInterrupt
            if saved_step != at.step:
                log.info("%s", self.save())
        except OSError as error:
            raise TrainingError(
                f"{self._workspace} cannot take the run's end ({reason(error)}): what was stored "
                "before is whole, and a call with room enough goes on from there"
            ) from None

    def save(self) -> str:
        """Store what is trained and its state; say how good it is.

        Raises:
            OSError: no room; what was stored before is untouched.
        """
        at = self._trainee.progress
        checkpoint = self._trainee.checkpoint()
        path = write_head(self._workspace, checkpoint)
        scores = self._scorer.score(checkpoint) if self._scorer else None
        if scores is not None and at.note_score(scores.rank_db):
            write_best(self._workspace, checkpoint)
        write_state(self._workspace, self._trainee.state())
        self._note(scores)
        said = f"{at.step} steps: {path.name}"
        return f"{said}, held-out {scores}" if scores else said

    def _note(self, scores: Scores | None) -> None:
        at = self._trainee.progress
        line: dict[str, Any] = {
            "step": at.step, "seconds": round(at.seconds, 1), "loss": round(at.loss, 6),
        }  # fmt: skip
        if scores is not None:
            line |= {name: round(value, 4) for name, value in scores.values.items()}
            preview = cv2.cvtColor(scores.preview, cv2.COLOR_RGB2BGR)
            parameters = [cv2.IMWRITE_JPEG_QUALITY, PREVIEW_QUALITY]
            content = cv2.imencode(".jpg", preview, parameters)[1].tobytes()
            write_whole(self._workspace / f"previews/{at.step:06d}.jpg", content)
        note_scores(self._workspace, line)

    def _shown(self) -> int:
        at = self._trainee.progress
        limit = round(self._limits.seconds)
        return at.step if self._limits.steps else min(round(at.seconds), limit)


class StopRequest:
    """Takes SIGINT and SIGTERM as a wish to stop; the second one is not waited with."""

    def __init__(self) -> None:
        self.is_asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.is_asked:
            raise KeyboardInterrupt
        self.is_asked = True


class _Clock:
    """Tells how long a run will still take, from how far it has come since it was called."""

    def __init__(self, done: float) -> None:
        self._start_s, self._done = time.monotonic(), done

    def left(self, done: float) -> str:
        """Time left, for a bar that nobody sees when the output is a file."""
        pace_s = (time.monotonic() - self._start_s) / max(done - self._done, 1e-9)
        minutes = round(pace_s * (1.0 - done) / 60)
        return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
