"""The drawn frames as a film with sound, as a camera would have left it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from avatar_worker.recipes.people.camera import SIZE_PX
from avatar_worker.recipes.people.draw import Drawings
from avatar_worker.recipes.people.plan import Frame, Plan
from avatar_worker.recipes.people.script import SAMPLE_RATE, SAMPLES_PER_FRAME, SpokenTrack
from avatar_worker.video_file import VideoWriter


class FramesMissingError(RuntimeError):
    """A film has no holes: frames that it needs are not drawn yet."""


def write_film(
    plan: Plan,
    track: SpokenTrack,
    work: Path,
    path: Path,
    *,
    frames: int | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Writes 25 frames a second with the spoken track, which begins with the first frame.

    Frame i is shown from i to i + 1 times 40 ms and was drawn for the middle of that. A film that
    is there already is kept when it has as many frames and none was drawn anew since.

    Args:
        plan: What was to be drawn.
        track: What is said.
        work: Folder of the pictures.
        path: Of the film, `.mp4`.
        frames: The first so many only.
        say: Receives one line.

    Raises:
        FramesMissingError: A frame is not drawn.
    """
    wanted = plan.frames[:frames]
    drawings = Drawings(work)
    missing = sum(not drawings.has(frame.index) for frame in wanted)
    if missing:
        raise FramesMissingError(
            f"{missing} of {len(wanted)} frames are not drawn yet: run the step draw to its end, "
            "or give --frames N for a film of the first N"
        )
    if _is_up_to_date(path, wanted, drawings):
        say(f"{path} is written already")
        return
    sound = sound_of(plan, track)[: len(wanted) * SAMPLES_PER_FRAME]
    with VideoWriter(path, (SIZE_PX, SIZE_PX), (sound, SAMPLE_RATE)) as writer:
        for frame in wanted:
            picture = cv2.imread(str(drawings.picture(frame.index)))
            writer.add(frame.index, np.ascontiguousarray(picture[..., ::-1]))
    say(f"{path}: {len(wanted)} frames with sound")


def sound_of(plan: Plan, track: SpokenTrack) -> NDArray[np.float32]:
    """[frames · 960] silence under the pose loop, then the spoken track."""
    silent = np.zeros(sum(f.is_idle for f in plan.frames) * SAMPLES_PER_FRAME, dtype=np.float32)
    return np.concatenate([silent, track.samples])[: len(plan.frames) * SAMPLES_PER_FRAME]


def _is_up_to_date(path: Path, frames: tuple[Frame, ...], drawings: Drawings) -> bool:
    if not path.is_file():
        return False
    with av.open(str(path)) as film:
        if film.streams.video[0].frames != len(frames):
            return False
    drawn_at = max(drawings.picture(frame.index).stat().st_mtime for frame in frames)
    return path.stat().st_mtime >= drawn_at
