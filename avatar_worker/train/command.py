"""`python -m avatar_worker train`: a data folder becomes a head that can be drawn.

Stops by itself after the minutes or steps asked for, or at Ctrl-C; called again with the same
workspace it goes on where it was. Checkpoints can be drawn while training goes on.
"""

import argparse
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from avatar_worker.commands.refusal import UsageError, run_refusing
from avatar_worker.render.checkpoint_layout import EyeMode
from avatar_worker.render.data_folder import read_split
from avatar_worker.render.errors import DataFolderError
from avatar_worker.render.head import HeadWeights
from avatar_worker.train.checkpoints import forget, read_state, write_head, write_state
from avatar_worker.train.dataset import audio_windows, open_encoder, read_training_data
from avatar_worker.train.errors import TrainingError
from avatar_worker.train.folder_check import require_whole_folder
from avatar_worker.train.kernels import load_trainer
from avatar_worker.train.scores import HeldOut
from avatar_worker.train.trainer import Trainer

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train; returns 0, 2 with one sentence on standard error, or 130 after Ctrl-C."""
    options = build_parser().parse_args(arguments)

    def run() -> None:
        try:
            train(options)
        except TrainingError as error:
            raise UsageError(str(error)) from None

    return run_refusing(run)


def build_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m avatar_worker train", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="data folder")
    parser.add_argument("--workspace", type=Path, required=True, metavar="DIR",
                        help="receives checkpoints/ and training.pt")  # fmt: skip
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, metavar="M", help="default: 60")
    length.add_argument("--steps", type=int, metavar="N")
    parser.add_argument("--ave", type=Path, metavar="FILE", help="audio-visual encoder")
    parser.add_argument("--bs-area", choices=("upper", "single", "eye"), default="upper")
    parser.add_argument("--au45", action="store_true", help="eyes from au.csv instead of bs.npy")
    parser.add_argument("--restart", action="store_true", help="forget what the workspace holds")
    parser.add_argument("--save-every", type=float, default=120.0, metavar="SECONDS")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    return parser


def train(options: argparse.Namespace) -> None:
    """Run until the time or the steps are over."""
    if options.steps is not None and options.steps < 1:
        raise UsageError("--steps must be 1 or more")
    if options.minutes is not None and options.minutes <= 0:
        raise UsageError("--minutes must be more than 0")
    if options.threads < 1 or options.save_every <= 0:
        raise UsageError("--threads must be 1 or more and --save-every more than 0")
    eye: EyeMode = "au45" if options.au45 else options.bs_area
    state = None if options.restart else read_state(options.workspace)
    kernel = load_trainer(options.threads)
    log.info("training kernel: %s, %d threads", kernel.isa, kernel.threads)
    with _Bars() as bars:
        for note in require_whole_folder(options.data, eye, options.ave, head=True,
                                         threads=options.threads, report=bars):  # fmt: skip
            log.info("%s", note)
        data = read_training_data(options.data, eye, options.ave, bars)
    log.info("%d frames, %.1f %% of the cells can hold the head", len(data.frames),
             100 * data.hull.mean())  # fmt: skip
    if options.restart:
        forget(options.workspace)
    trainer = Trainer(data, kernel, options.seed)
    if state is not None:
        trainer.restore(state)
        log.info("going on after %d steps", trainer.progress.step)
    Run(trainer, options, _held_out(options, eye)).go()


class Run:
    """The loop around a trainer: when it ends, what it stores, what it shows."""

    def __init__(
        self, trainer: Trainer, options: argparse.Namespace, held_out: HeldOut | None
    ) -> None:
        self._trainer = trainer
        self._workspace: Path = options.workspace
        self._steps: int | None = options.steps
        self._seconds = 60.0 * (options.minutes or 60.0)
        self._save_every_s: float = options.save_every
        self._held_out = held_out

    def done(self) -> float:
        """Share of the run that is over; 1 at the end."""
        at = self._trainer.progress
        share = at.step / self._steps if self._steps else at.seconds / self._seconds
        return min(share, 1.0)

    def go(self) -> None:
        """Train to the end; store on the way, at the end and when interrupted."""
        at = self._trainer.progress
        saved_s = at.seconds
        total = self._steps or round(self._seconds)
        unit = "step" if self._steps else "s"
        with tqdm(total=total, initial=self._shown(), unit=unit, disable=None) as bar:
            try:
                while (share := self.done()) < 1.0:
                    start_s = time.perf_counter()
                    self._trainer.step(share)
                    at.seconds += time.perf_counter() - start_s
                    bar.update(self._shown() - bar.n)
                    if at.step % 50 == 0:
                        bar.set_postfix(loss=f"{at.loss:.4f}", opaque=f"{at.opaque:.0%}",
                                        step=at.step, refresh=False)  # fmt: skip
                    if at.seconds - saved_s >= self._save_every_s:
                        saved_s = at.seconds
                        bar.write(self.save(), file=sys.stderr)
            except KeyboardInterrupt:
                write_state(self._workspace, self._trainer.state())
                log.info("stopped after %d steps; call again to go on", at.step)
                raise
        log.info("%s", self.save())

    def save(self) -> str:
        """Store head and state; say how good the head is."""
        checkpoint = self._trainer.checkpoint()
        path = write_head(self._workspace, checkpoint)
        write_state(self._workspace, self._trainer.state())
        line = f"{self._trainer.progress.step} steps: {path.name}"
        if self._held_out is None:
            return line
        with torch.no_grad():
            audio = self._trainer.head.audio_vectors(self._held_out.windows)
        head = HeadWeights.from_state(checkpoint["model"])
        return f"{line}, {self._held_out.score(head, audio)}"

    def _shown(self) -> int:
        at = self._trainer.progress
        return at.step if self._steps else min(round(at.seconds), round(self._seconds))


def _held_out(options: argparse.Namespace, eye: EyeMode) -> HeldOut | None:
    """The val split, None for a folder without one."""
    try:
        footage = read_split(options.data, "val", eye)
    except DataFolderError as error:
        log.info("no scores: %s", error)
        return None
    encoder = open_encoder(options.data, options.ave)
    with _Bars() as bars:
        return HeldOut(footage, audio_windows(footage, encoder, bars), options.threads)


class _Bars:
    """A progress bar for each thing that is being read."""

    def __init__(self) -> None:
        self._bars: dict[str, tqdm[object]] = {}

    def __enter__(self) -> "_Bars":
        return self

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._bars:
            self._bars[what] = tqdm(total=total, desc=f"reading {what}", disable=None, leave=False)
        self._bars[what].update(done - self._bars[what].n)

    def __exit__(self, *_: object) -> None:
        for bar in self._bars.values():
            bar.close()
