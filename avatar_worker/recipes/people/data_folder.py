"""Drawn pictures → the folder that trainer and renderer read."""

from __future__ import annotations

import json
import shutil
import wave
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from avatar_worker.recipes.people.camera import (
    CENTRE_PX,
    FOCAL_PX,
    FPS,
    SIZE_PX,
    head_matrix,
    transform_matrix,
)
from avatar_worker.recipes.people.character import Character
from avatar_worker.recipes.people.draw import Drawings
from avatar_worker.recipes.people.landmarks import landmarks
from avatar_worker.recipes.people.masks import ClassMask, face_picture, paste_area
from avatar_worker.recipes.people.plan import Frame, Plan
from avatar_worker.recipes.people.script import SAMPLE_RATE, SpokenTrack
from avatar_worker.recipes.people.torso import extend_neck, own_neck
from avatar_worker.recipes.people.units import NAMES

AUDIO_RATE = 16_000
JPEG_QUALITY = 95


def write_folder(
    plan: Plan,
    track: SpokenTrack,
    character: Character,
    work: Path,
    out: Path,
    *,
    limit: int | None = None,
    say: Callable[[str], None] = print,
) -> list[Frame]:
    """Writes the folder for the frames drawn so far; pictures already there are kept.

    Frames are numbered as in the plan, also when some are still missing: `img_id` = `aud_id` =
    frame index = 40 ms step of `aud.wav`. The pose loop comes first and is silent.

    Returns:
        The frames in the folder.
    """
    drawings = Drawings(work)
    frames = drawings.drawn(plan)[:limit]
    for name in ("ori_imgs", "gt_imgs", "torso_imgs", "parsing"):
        (out / name).mkdir(parents=True, exist_ok=True)
    _write_plates(work, out)
    added = 0
    for frame in frames:
        if not _is_written(frame, drawings, out):
            _write_frame(frame, character, drawings, out)
            added += 1
    np.save(out / "bs.npy", expression_rows(plan.frames))
    _write_audio(plan, track, out / "aud.wav")
    held_out = set(plan.validation)
    _write_transforms(out / "transforms_train.json", [f for f in frames if f.index not in held_out])
    _write_transforms(out / "transforms_val.json", [f for f in frames if f.index in held_out])
    _write_transforms(out / "transforms_idle.json", [f for f in frames if f.is_idle])
    say(f"{out}: {len(frames)} of {len(plan.frames)} frames, {added} added now")
    return frames


def expression_rows(frames: Sequence[Frame]) -> NDArray[np.float32]:
    """[n, 52] unit weights by frame index; the last column, which others leave empty, is 0.

    What the mesh can do beyond the 52 has no column.
    """
    rows = np.zeros((len(frames), len(NAMES)), dtype=np.float32)
    for frame in frames:
        rows[frame.index] = [frame.units.get(name, 0.0) for name in NAMES]
    rows[:, NAMES.index("tongueOut")] = 0
    return rows


def _write_plates(work: Path, out: Path) -> None:
    background = cv2.imread(str(work / "plates/background.png"))
    _write_image(out / "bc.jpg", background)
    torso = cv2.imread(str(work / "plates/torso.png"), cv2.IMREAD_UNCHANGED)
    mask = ClassMask.from_picture(_read_rgb(work / "plates/mask.png"))
    _write_image(out / "torso.png", extend_neck(torso, mask))


def _is_written(frame: Frame, drawings: Drawings, out: Path) -> bool:
    """The last file of the frame is there, and the picture was not drawn anew since."""
    last, copied = out / f"torso_imgs/{frame.index}.png", out / f"ori_imgs/{frame.index}.jpg"
    drawn_at = drawings.picture(frame.index).stat().st_mtime
    return last.exists() and copied.exists() and copied.stat().st_mtime >= drawn_at


def _write_frame(frame: Frame, character: Character, drawings: Drawings, out: Path) -> None:
    number = frame.index
    original = out / f"ori_imgs/{number}.jpg"
    _write_image(original, cv2.imread(str(drawings.picture(number))))
    _link(original, out / f"gt_imgs/{number}.jpg")  # the background is bc.jpg already
    points = landmarks(character, frame.units, frame.pose)
    np.savetxt(out / f"ori_imgs/{number}.lms", points, fmt="%f")
    mask = ClassMask.from_picture(_read_rgb(drawings.mask(number)))
    parsing = out / f"parsing/{number}.png"
    _write_image(parsing, mask.parsing_picture()[..., ::-1])
    face = face_picture(paste_area(mask))[..., ::-1]
    _write_image(out / f"parsing/{number}_face.png", face)
    plate = cv2.imread(str(out / "torso.png"), cv2.IMREAD_UNCHANGED)
    _write_image(out / f"torso_imgs/{number}.png", own_neck(plate, cv2.imread(str(original)), mask))


def _write_transforms(path: Path, frames: Sequence[Frame]) -> None:
    body = {
        "focal_len": FOCAL_PX,
        "cx": CENTRE_PX,
        "cy": CENTRE_PX,
        "h": SIZE_PX,
        "w": SIZE_PX,
        "frames": [
            {
                "img_id": frame.index,
                "aud_id": frame.audio_index,
                "transform_matrix": transform_matrix(head_matrix(frame.pose)).tolist(),
            }
            for frame in frames
        ],
    }
    path.write_text(json.dumps(body, indent=1) + "\n")


def _write_audio(plan: Plan, track: SpokenTrack, path: Path) -> None:
    """16 kHz, 16 bit: silence for the loop, then the script."""
    import soxr  # not there in the drawing environment

    spoken = soxr.resample(track.samples, SAMPLE_RATE, AUDIO_RATE)
    silent = np.zeros(sum(f.is_idle for f in plan.frames) * AUDIO_RATE // FPS, dtype=np.float32)
    samples = np.concatenate([silent, spoken])[: len(plan.frames) * AUDIO_RATE // FPS]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(AUDIO_RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def _read_rgb(path: Path) -> NDArray[np.uint8]:
    return np.asarray(cv2.imread(str(path))[..., ::-1])


def _write_image(path: Path, picture: NDArray[np.uint8]) -> None:
    """BGR(A); appears complete or not at all."""
    unfinished = path.with_name(f"unfinished-{path.name}")
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix == ".jpg" else []
    cv2.imwrite(str(unfinished), picture, quality)
    unfinished.replace(path)


def _link(source: Path, target: Path) -> None:
    """A hard link, or a copy where the file system knows none."""
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
