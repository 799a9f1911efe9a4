"""Everything that is wrong with a data folder, found before training and not one thing at a time.

Folders of the original's scripts are accepted as they are: with their by-products, with sizes that
only the principal point tells, with frames that have no picture in `gt_imgs` (they do not exist).
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from avatar_worker.audio.errors import AudioError
from avatar_worker.audio.sound import read_sound
from avatar_worker.audio.window import FRAME_RATE_HZ
from avatar_worker.bundle_files import BundleError
from avatar_worker.render.checkpoint_layout import EyeMode
from avatar_worker.render.data_folder import (
    Split,
    camera_of,
    check_cameras,
    frame_number,
    read_eyes,
    read_transforms,
)
from avatar_worker.render.errors import DataFolderError, RenderError
from avatar_worker.render.pictures import read_rgb, read_rgba
from avatar_worker.sentence import one_line
from avatar_worker.train.dataset import Report
from avatar_worker.train.errors import BrokenFolderError
from avatar_worker.train.footage import is_head, read_landmarks

SPLITS: Final[tuple[Split, ...]] = ("train", "val")
SHORT_SOUND_FRAMES: Final = 5
"""The encoder itself gives a few features less than there are pictures."""

Problem = tuple[str, str]
"""A file, as `gt_imgs/<id>.jpg` where there is one for each frame, and what is wrong with it."""


@dataclass(slots=True)
class _Listed:
    """A split as its transforms file lists it: numbers of pictures, and of sound."""

    image_ids: list[int] = field(default_factory=list)
    last_sound: int = -1
    size: tuple[int, int] | None = None  # height, width


def require_whole_folder(
    folder: Path,
    eye: EyeMode,
    open_ears: Callable[[], object],
    *,
    head: bool,
    threads: int,
    report: Report,
) -> list[str]:
    """Look at every file that training will read.

    Args:
        folder: data folder.
        eye: expression vector wanted.
        open_ears: opens what a head will listen with.
        head: also look at what only training a head needs.
        threads: pictures looked at side by side.
        report: told how far it is.

    Returns:
        Sentences about what is unusual and does no harm.

    Raises:
        BrokenFolderError: with everything that is missing or wrong.
    """
    if not folder.is_dir():
        raise BrokenFolderError(folder, [f"{folder} is no folder"])
    notes: list[str] = []
    found: dict[Problem, list[int]] = {}
    splits = {split: _listed(folder, split, found, notes) for split in SPLITS}
    ids = sorted({number for split in splits.values() for number in split.image_ids})
    sizes = {number: split.size for split in splits.values() for number in split.image_ids}
    for what, check in (("bc.jpg", read_rgb), ("aud.wav", read_sound)):
        if head or what == "bc.jpg":
            _note(found, _wrong(folder / what, what, check))
    if head:
        _check_track(folder, eye, ids, found)
        _check_ears(open_ears, found)
        _check_length(folder, max(split.last_sound for split in splits.values()), notes)
    with ThreadPoolExecutor(threads) as pool:
        results = pool.map(lambda number: _frame(folder, number, sizes[number], head), ids)
        for done, (number, problems) in enumerate(zip(ids, results, strict=True)):
            for problem in problems:
                found.setdefault(problem, []).append(number)
            report("the folder", done + 1, len(ids))
    if found:
        raise BrokenFolderError(folder, [_sentence(*item) for item in found.items()])
    return notes


def _listed(
    folder: Path, split: Split, found: dict[Problem, list[int]], notes: list[str]
) -> _Listed:
    """Frames of a split that have a picture; notes what is wrong with its transforms file."""
    name = f"transforms_{split}.json"
    path, listed = folder / name, _Listed()
    if split == "val" and not path.exists():
        notes.append(f"{name} is absent: nothing tells how good frames outside training are")
        return listed
    try:
        transforms = read_transforms(path)
    except DataFolderError as error:
        _note(found, [(name, _clause(path, error))])
        return listed
    try:
        _, width, height = camera_of(transforms)
        listed.size = (height, width)
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        _note(found, [(name, f"states no camera that can be: {error!r}")])
    frames = transforms.get("frames")
    n_absent = 0
    for index, frame in enumerate(frames if isinstance(frames, list) else []):
        try:
            number, sound = frame_number(frame["img_id"]), frame_number(frame["aud_id"])
        except (KeyError, TypeError, ValueError) as error:
            _note(found, [(name, f"entry {index} of frames has no numbers: {error!r}")])
            continue
        problem = _camera_problem(path, frame)
        if problem:
            found.setdefault((name, problem), []).append(number)
        if not (folder / f"gt_imgs/{number}.jpg").is_file():
            n_absent += 1
            continue
        listed.image_ids.append(number)
        listed.last_sound = max(listed.last_sound, sound)
    if n_absent:
        notes.append(f"{n_absent} frames of {name} have no picture in gt_imgs and are left out")
    if not listed.image_ids and split == "train":
        _note(found, [(name, "names no frame that has a picture in gt_imgs")])
    return listed


def _camera_problem(path: Path, frame: dict[str, Any]) -> str | None:
    try:
        matrix = np.array(frame["transform_matrix"], dtype=np.float64).reshape(1, 4, 4)
        check_cameras(path, matrix)
    except DataFolderError as error:
        return _clause(path, error)
    except (KeyError, TypeError, ValueError):
        return "holds a transform_matrix that is not 4 × 4 numbers"
    return None


def _check_track(
    folder: Path, eye: EyeMode, ids: list[int], found: dict[Problem, list[int]]
) -> None:
    name = "au.csv" if eye == "au45" else "bs.npy"
    try:
        read_eyes(folder, eye, tuple(ids) or (0,))
    except DataFolderError as error:
        _note(found, [(name, _clause(folder / name, error))])


def _check_ears(open_ears: Callable[[], object], found: dict[Problem, list[int]]) -> None:
    try:
        open_ears()
    except (AudioError, RenderError, BundleError) as error:
        _note(found, [("the ear:", str(error))])


def _check_length(folder: Path, last_sound: int, notes: list[str]) -> None:
    try:
        sound = read_sound(folder / "aud.wav")
    except AudioError:
        return  # said already
    lacking = last_sound + 1 - sound.samples.shape[1] / sound.rate_hz * FRAME_RATE_HZ
    if lacking > SHORT_SOUND_FRAMES:
        notes.append(
            f"aud.wav ends {lacking / FRAME_RATE_HZ:.1f} s before the pictures: the frames "
            "after it are trained with its last sound"
        )


def _frame(folder: Path, number: int, size: tuple[int, int] | None, head: bool) -> list[Problem]:
    """What is wrong with the files of one frame."""
    problems: list[Problem] = []
    pictures: list[tuple[str, str, Callable[[Path], Any]]] = [
        ("gt_imgs", ".jpg", read_rgb),
        ("torso_imgs", ".png", read_rgba),
    ]
    if head:
        pictures.append(("parsing", ".png", read_rgb))
    for kind, suffix, read in pictures:
        path, name = folder / f"{kind}/{number}{suffix}", f"{kind}/<id>{suffix}"
        try:
            picture = read(path)
        except DataFolderError as error:
            problems.append((name, _clause(path, error)))
            continue
        if size is not None and picture.shape[:2] != size:
            found = f"{picture.shape[1]} × {picture.shape[0]} px"
            problems.append((name, f"is {found}; the cameras say {size[1]} × {size[0]}"))
        elif kind == "parsing" and not is_head(picture).any():
            problems.append((name, "shows no head"))
    if head:
        name = "ori_imgs/<id>.lms"
        problems += _wrong(folder / f"ori_imgs/{number}.lms", name, read_landmarks)
    return problems


def _wrong(path: Path, name: str, read: Callable[[Path], Any]) -> list[Problem]:
    try:
        read(path)
    except (DataFolderError, AudioError) as error:
        return [(name, _clause(path, error))]
    return []


def _note(found: dict[Problem, list[int]], problems: list[Problem]) -> None:
    for problem in problems:
        found.setdefault(problem, [])


def _clause(path: Path, error: Exception) -> str:
    """The message without the file's name, the same for every frame."""
    if not path.exists():
        return "is absent"
    message = str(error)
    for name in (str(path), str(path.parent)):
        message = message.removeprefix(name)
    return message.lstrip(" :")


def _sentence(problem: Problem, numbers: list[int]) -> str:
    name, wrong = problem
    return one_line(f"{name} {wrong}") + (
        f": frames {''.join(_ranges(numbers))}" if numbers else ""
    )


def _ranges(numbers: list[int]) -> Iterator[str]:
    """All numbers, neighbours joined: 0–3, 7, 9–12."""
    start = last = numbers[0]
    comma = ""
    for number in [*numbers[1:], None]:
        if number == last + 1:
            last = number
            continue
        yield f"{comma}{start}" + (f"–{last}" if last > start else "")
        comma = ", "
        if number is not None:
            start = last = number
