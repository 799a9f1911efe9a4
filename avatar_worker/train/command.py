"""`python -m avatar_worker train`: a data folder becomes a head, or a torso, that can be drawn.

Stops by itself after the minutes or steps asked for, or at Ctrl-C; called again with the same
workspace it goes on where it was. Checkpoints can be drawn while training goes on.
"""

import argparse
import logging
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from avatar_worker.audio.encoder import AveEncoder
from avatar_worker.audio.sound import read_sound
from avatar_worker.commands.refusal import UsageError, run_refusing
from avatar_worker.commands.render import find_bundle
from avatar_worker.only_run import only_run
from avatar_worker.prepare.errors import ModelsMissingError
from avatar_worker.prepare.landmarks68 import landmark_finder
from avatar_worker.render.checkpoint import find_checkpoint, read_checkpoint
from avatar_worker.render.checkpoint_layout import EyeMode
from avatar_worker.render.data_folder import read_split
from avatar_worker.render.errors import DataFolderError
from avatar_worker.train.checkpoints import forget, read_state, sweep
from avatar_worker.train.dataset import audio_windows, read_training_data
from avatar_worker.train.errors import TrainingError
from avatar_worker.train.folder_check import require_whole_folder
from avatar_worker.train.hearing import Hearing, open_hearing
from avatar_worker.train.kernels import StepKernel, TwinKernel, load_trainer
from avatar_worker.train.run import Limits, Run
from avatar_worker.train.scores import HeldOut, HeldOutTorso, LandmarkFinder
from avatar_worker.train.sync_score import mouth_activity
from avatar_worker.train.torso import TorsoTrainer, read_torso_data
from avatar_worker.train.trainer import Trainer
from avatar_worker.train.warm_start import read_source, take_over

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train; returns 0, 2 with one sentence on standard error, or 130 after Ctrl-C."""
    options = build_parser().parse_args(arguments)

    def run() -> None:
        try:
            with only_run(options.workspace):
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
    length.add_argument("--steps", type=int, metavar="N",
                        help="end after this many steps in all, instead of --minutes")  # fmt: skip
    ears = parser.add_mutually_exclusive_group()
    ears.add_argument("--ears", type=find_bundle, metavar="CHARACTER",
                      help="bundle or workspace whose audio encoder and audio networks to begin "
                      "with, or the export folder of the encoder's recipe")  # fmt: skip
    ears.add_argument("--ave", type=Path, metavar="FILE",
                      help="audio-visual encoder; audio networks are trained anew")  # fmt: skip
    parser.add_argument("--bs-area", choices=("upper", "single", "eye"), default="upper",
                        help="values of bs.npy for eyes and brows; default: upper")  # fmt: skip
    parser.add_argument("--au45", action="store_true", help="eyes from au.csv instead of bs.npy")
    parser.add_argument("--torso", action="store_true",
                        help="train neck and shoulders for a trained head")  # fmt: skip
    parser.add_argument("--head-ckpt", type=Path, metavar="FILE|DIR",
                        help="with --torso: the head's checkpoint or workspace")  # fmt: skip
    parser.add_argument("--from", type=Path, metavar="FILE|DIR", dest="begin_from",
                        help="begin with a checkpoint, a workspace or a bundle")  # fmt: skip
    parser.add_argument("--restart", action="store_true", help="forget what the workspace holds")
    parser.add_argument("--patience", type=int, metavar="N",
                        help="end after N scorings without a better one")  # fmt: skip
    parser.add_argument("--save-every", type=float, default=120.0, metavar="SECONDS",
                        help="store and score the run so often; default: %(default)g")  # fmt: skip
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu",
                        help="what to train on; default: cpu")  # fmt: skip
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, metavar="N",
                        help="processor threads; default: all, %(default)s here")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="N",
                        help="of all that is drawn by chance; default: 0")  # fmt: skip
    return parser


def train(options: argparse.Namespace) -> None:
    """Run until the time or the steps are over."""
    _check(options)
    sweep(options.workspace)
    state = None if options.restart else read_state(options.workspace)
    kind = "torso" if options.torso else "head"
    if state is not None and state.get("kind", "head") != kind:
        raise UsageError(
            f"{options.workspace} holds the training of a {state.get('kind', 'head')}: "
            f"a {kind} needs a workspace of its own"
        )
    begins_from = state is None and options.begin_from is not None
    source = read_source(options.begin_from) if begins_from else {}
    eye: EyeMode = "au45" if options.au45 else options.bs_area
    with _Bars() as bars:
        for note in require_whole_folder(
            options.data, eye, lambda: _hearing(options, state), head=not options.torso,
            threads=options.threads, report=bars,
        ):  # fmt: skip
            log.info("%s", note)
    prepare = _prepare_torso if options.torso else _prepare_head
    trainer, scorer = prepare(options, state, eye)
    if begins_from:
        log.info("--from: %s", take_over(trainer.tensors(), source))
    if options.restart:
        forget(options.workspace)
    if state is not None:
        if options.begin_from is not None:
            log.info("--from is for a new run; this one goes on")
        log.info("going on after %d steps", trainer.progress.step)
    minutes = 60.0 if options.minutes is None else options.minutes
    limits = Limits(options.steps, 60.0 * minutes, options.patience, options.save_every)
    Run(trainer, options.workspace, limits, scorer).go()


def _check(options: argparse.Namespace) -> None:
    """Refuse options that do not go together."""
    if options.steps is not None and options.steps < 1:
        raise UsageError("--steps must be 1 or more")
    if options.minutes is not None and not 0 < options.minutes < math.inf:
        raise UsageError("--minutes must be more than 0")
    if options.threads < 1 or not options.save_every > 0:
        raise UsageError("--threads must be 1 or more and --save-every more than 0")
    if options.patience is not None and options.patience < 1:
        raise UsageError("--patience must be 1 or more")
    if options.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: PyTorch finds no GPU here")
    if options.head_ckpt is not None and not options.torso:
        raise UsageError("--head-ckpt belongs to --torso")
    if options.torso and (options.ave or options.ears):
        raise UsageError("--torso hears nothing: --ears and --ave belong to the training of a head")


def _prepare_head(
    options: argparse.Namespace, state: dict[str, Any] | None, eye: EyeMode
) -> tuple[Trainer, HeldOut | None]:
    kernel = _kernel(options)
    log.info("training kernel: %s", kernel.name)
    hearing = _hearing(options, state)
    with _Bars() as bars:
        data = read_training_data(options.data, eye, hearing.encoder, bars)
    log.info("%d frames, %.1f %% of the cells can hold the head", len(data.frames),
             100 * data.hull.mean())  # fmt: skip
    trainer = Trainer(data, kernel, options.seed)
    if state is not None:
        trainer.restore(state, hearing.networks)
    elif hearing.networks is not None:
        trainer.borrow_ears(hearing.networks)
    return trainer, _held_out(options, eye, hearing)


def _hearing(options: argparse.Namespace, state: dict[str, Any] | None) -> Hearing:
    """What is named; a run that goes on hears with what it had, where nothing is."""
    kept = {} if state is None else state.get("encoder", {})
    if kept and options.ave is None and options.ears is None:
        return Hearing(AveEncoder(kept))
    return open_hearing(options.data, options.ave, options.ears)


def _kernel(options: argparse.Namespace) -> StepKernel:
    """The compiled step on the CPU; its twin on a GPU, and where nothing can be compiled."""
    if options.device != "cpu":
        return TwinKernel(options.device)
    try:
        return load_trainer(options.threads)
    except TrainingError as error:
        log.warning("%s: training goes on in PyTorch, many times slower", error)
        torch.set_num_threads(options.threads)
        return TwinKernel("cpu")


def _prepare_torso(
    options: argparse.Namespace, state: dict[str, Any] | None, eye: EyeMode
) -> tuple[TorsoTrainer, HeldOutTorso | None]:
    torch.set_num_threads(options.threads)
    if options.head_ckpt is not None:
        path = options.head_ckpt
        found = read_checkpoint(find_checkpoint(path) if path.is_dir() else path)
        head, encoder = found.state, found.encoder
    elif state is not None:
        head, encoder = state["head"], state.get("encoder", {})
    else:
        raise UsageError("--torso needs --head-ckpt: the head that the torso goes with")
    with _Bars() as bars:
        data = read_torso_data(options.data, "train", bars)
        try:
            scorer = HeldOutTorso(read_torso_data(options.data, "val", bars))
        except DataFolderError as error:
            log.info("no scores: %s", error)
            scorer = None
    log.info("%d frames", len(data.targets))
    trainer = TorsoTrainer(data, head, encoder, options.seed, options.device)
    if state is not None:
        trainer.restore(state)
    return trainer, scorer


def _held_out(options: argparse.Namespace, eye: EyeMode, hearing: Hearing) -> HeldOut | None:
    """The val split, None for a folder without one."""
    try:
        footage = read_split(options.data, "val", eye)
    except DataFolderError as error:
        log.info("no scores: %s", error)
        return None
    activity = mouth_activity(read_sound(options.data / "aud.wav").mono())
    with _Bars() as bars:
        windows = audio_windows(footage, hearing.encoder, bars)
    return HeldOut(footage, windows, activity, options.threads, _landmark_finder())


def _landmark_finder() -> LandmarkFinder | None:
    """What `prepare` finds landmarks with, where it is installed."""
    try:
        return landmark_finder()
    except ModelsMissingError as error:
        log.info("no distance of landmarks: %s", error)
        return None


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
