"""`python -m avatar_worker prepare`: footage of a talking head becomes a data folder.

The footage is checked first, with advice in words. The work is done in steps; interrupted at any
point, called again with the same options it goes on where it was.
"""

import argparse
import errno
import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from tqdm import tqdm

from avatar_worker.commands.refusal import UsageError, run_refusing
from avatar_worker.only_run import only_run
from avatar_worker.prepare.checks.examine import examine
from avatar_worker.prepare.checks.finding import CODES, refusals
from avatar_worker.prepare.checks.samples import Sample
from avatar_worker.prepare.crop import choose_crop
from avatar_worker.prepare.errors import FolderError, FootageError, PrepareError
from avatar_worker.prepare.files import sweep
from avatar_worker.prepare.job import Job
from avatar_worker.prepare.journal import Journal, digest_of, read_journal
from avatar_worker.prepare.steps.order import STEPS, Step
from avatar_worker.prepare.video import FPS, Video, open_video
from avatar_worker.slots import SHIPPED_CHARACTER

log = logging.getLogger(__name__)

FRAME_BYTES: Final = 600_000
"""Of a frame's pictures together, at 512²: measured 0.3 MB, busy backgrounds need more."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare; returns 0, 2 with one sentence on standard error, or 130 after Ctrl-C."""
    options = build_parser().parse_args(arguments)

    def run() -> None:
        try:
            prepare(options)
        except PrepareError as error:
            raise UsageError(str(error)) from None
        except KeyboardInterrupt:
            log.info("stopped; the same command goes on where it was")
            raise
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise UsageError(
                    f"the disk is full ({error.filename}); make room and call the same command "
                    "again, it goes on where it was"
                ) from None
            raise

    return run_refusing(run)


def build_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m avatar_worker prepare", description=__doc__)
    parser.add_argument("--video", type=Path, required=True, metavar="FILE",
                        help="a person talking to the camera, with sound")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="DIR", help="the data folder to make")
    parser.add_argument("--check", action="store_true", help="only say what the footage is worth")
    parser.add_argument("--accept", action="append", default=[], choices=CODES, metavar="NAME",
                        help="go on in spite of a refusal of this name, for example length; "
                        "may be given several times")  # fmt: skip
    parser.add_argument("--focal", type=float, metavar="PX", help="focal length in pixels of the "
                        "512 px pictures, if it is known")  # fmt: skip
    parser.add_argument("--restart", action="store_true",
                        help="throw away what an earlier run made in the folder")  # fmt: skip
    return parser


def prepare(options: argparse.Namespace) -> None:
    """Check the footage and, unless only that was asked for, do what is left to do."""
    if options.out is None and not options.check:
        raise UsageError("--out DIR is needed, or --check to look at the footage only")
    if options.focal is not None and not 100 <= options.focal <= 10_000:
        raise UsageError("--focal must be between 100 and 10000 pixels")
    video = open_video(options.video)
    if options.check:
        _check(video, options.accept)
        return
    with only_run(options.out):
        job, journal = _begin(video, options)
        for step in STEPS:
            if step.name not in journal.done:
                _run(step, job)
                journal = journal.with_done(step.name)
    log.info("%s: %d frames, %.0f s", job.folder, job.n_frames, job.n_frames / FPS)
    log.info("to train: python -m avatar_worker train --data %s --workspace DIR --ears %s",
             job.folder, SHIPPED_CHARACTER.name)  # fmt: skip


def _begin(video: Video, options: argparse.Namespace) -> tuple[Job, Journal]:
    """The folder as an earlier run left it, or a new one for footage that passes the checks."""
    if options.restart:
        _forget(options.out)
    journal = None if options.restart else read_journal(options.out)
    digest = digest_of(video.path)
    if journal is None:
        samples = _check(video, options.accept)
        _check_room(video, options.out)
        meshes = [sample.points for sample in samples if sample.points is not None]
        crop = choose_crop(meshes, video.width, video.height)
        journal = Journal(options.out, digest, crop, options.focal)
        journal.store()
    elif (journal.video, journal.focal_px) != (digest, options.focal):
        raise FolderError(
            f"{options.out} was begun with another video or --focal; give the same ones to go on, "
            "or --restart to begin anew"
        )
    elif journal.done:
        log.info("going on; done before: %s", ", ".join(journal.done))
    sweep(options.out)
    return Job(video, options.out, journal.crop, journal.focal_px), journal


def _check(video: Video, accepted: Sequence[str]) -> Sequence[Sample]:
    """Say what was found.

    Raises:
        FootageError: something stands in the way.
    """
    with tqdm(desc="checking", disable=None, leave=False) as bar:
        findings, samples = examine(video, lambda done, total: _show(bar, done, total))
    log.info("%s: %d × %d px, %.3g pictures a second, %.0f s", video.path, video.width,
             video.height, video.fps, video.duration_s)  # fmt: skip
    for finding in findings:
        log.info("%s", finding.line(accepted))
    in_the_way = refusals(findings, accepted)
    if in_the_way:
        names = ", ".join(dict.fromkeys(finding.code for finding in in_the_way))
        raise FootageError(f"{video.path} is refused ({names}); the reasons stand above")
    log.info("the footage can be used%s", "; see the advice above" if findings else "")
    return samples


def _check_room(video: Video, folder: Path) -> None:
    """Refuse to begin what cannot be finished."""
    needed = video.n_frames * FRAME_BYTES
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise FolderError(
            f"{folder} needs about {_size(needed)} for {video.n_frames} frames; "
            f"{_size(free)} are free"
        )


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"


def _forget(folder: Path) -> None:
    """Remove what this command made; refuses a folder that it did not begin.

    The journal stays until the next one takes its place: it tells whose folder this is.
    """
    try:
        if (journal := read_journal(folder)) is None:
            return
        replace(journal, done=()).store()  # if this is interrupted, nothing counts as done
    except FolderError:
        if not (folder / "prepare" / "journal.json").is_file():
            raise  # a damaged journal is one to throw away
    for path in (folder / "prepare").iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "journal.json":
            path.unlink()
    for name in ("transforms_train.json", "transforms_val.json", "bs.npy", "bc.jpg", "aud.wav"):
        (folder / name).unlink(missing_ok=True)
    for name in ("ori_imgs", "gt_imgs", "torso_imgs", "parsing"):
        shutil.rmtree(folder / name, ignore_errors=True)


def _run(step: Step, job: Job) -> None:
    with tqdm(desc=step.title, disable=None) as bar:
        step.run(job, lambda done, total: _show(bar, done, total))


def _show(bar: "tqdm[object]", done: int, total: int) -> None:
    bar.total = total
    bar.update(done - bar.n)
