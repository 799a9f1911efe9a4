"""A data folder made ready for training: pixels, audio windows, cameras, hull."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from avatar_worker.audio.encoder import AveEncoder
from avatar_worker.audio.sequence import SoundFeatures
from avatar_worker.audio.sound import read_sound
from avatar_worker.audio.window import ABSENT, attention_window
from avatar_worker.render.checkpoint_layout import EyeMode
from avatar_worker.render.data_folder import Footage, read_split
from avatar_worker.render.rays import Intrinsics
from avatar_worker.train.footage import FramePixels, dilate, read_frames
from avatar_worker.train.occupancy import HullBuilder

AABB: Final = (-1.0, -0.5, -1.0, 1.0, 0.5, 1.0)
HULL_MARGIN_PX: Final = 4
"""Half a cell, seen from the usual distance: a cell is judged by its centre."""

Report = Callable[[str, int, int], None]
"""What is being read, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """n frames.

    Attributes:
        frames: pixels of each.
        windows: audio features that each frame sees. [n, 8, 512]
        eyes: brows and blinks. [n, n_eye]
        eye_mode: what they are.
        poses: cameras in the field's axes. [n, 4, 4]
        intrinsics: of all frames.
        size: width and height in pixels.
        hull: cells that may be occupied. [128³]
        aabb: box of the head.
        fingerprint: tells these frames from others, however they are heard.
        encoder: tensors of the audio encoder that made the features; empty if it is not known.
    """

    frames: Sequence[FramePixels]
    windows: Float[Tensor, "n 8 512"]
    eyes: Float[Tensor, "n n_eye"]
    eye_mode: EyeMode
    poses: Float[Tensor, "n 4 4"]
    intrinsics: Intrinsics
    size: tuple[int, int]
    hull: Bool[np.ndarray, "n_cells"]
    aabb: tuple[float, ...]
    fingerprint: str
    encoder: Mapping[str, Tensor] = field(default_factory=dict)


def read_training_data(
    folder: Path, eye: EyeMode, encoder: AveEncoder, report: Report
) -> TrainingData:
    """Read the train split of a data folder.

    Args:
        folder: data folder.
        eye: expression vector to train with.
        encoder: audio-visual encoder.
        report: told what is going on.

    Raises:
        RenderError: a file is absent or does not fit.
        AudioError: the sound is refused.
    """
    footage = read_split(folder, "train", eye)
    windows = audio_windows(footage, encoder, report)
    hull = HullBuilder(AABB, footage.intrinsics)
    frames = []
    for index, (frame, mask) in enumerate(read_frames(footage)):
        hull.carve(footage.poses[index], dilate(mask, HULL_MARGIN_PX))
        frames.append(frame)
        report("pictures", index + 1, len(footage.image_ids))
    return TrainingData(
        frames=frames,
        windows=windows,
        eyes=torch.from_numpy(footage.eyes),
        eye_mode=eye,
        poses=torch.from_numpy(footage.poses),
        intrinsics=footage.intrinsics,
        size=(footage.width, footage.height),
        hull=hull.cells(),
        aabb=AABB,
        fingerprint=_fingerprint(footage, eye),
        encoder=encoder.tensors,
    )


def audio_windows(
    footage: Footage, encoder: AveEncoder, report: Report
) -> Float[Tensor, "n 8 512"]:
    """The eight features that each frame of a split sees, of the footage's whole sound.

    As in use: also where a neighbour has no picture, or is in the other split. Zeros stand before
    the sound's beginning and after its end.
    """
    features = SoundFeatures(encoder, read_sound(footage.folder / "aud.wav").mono())
    n = len(features)
    heard = {ABSENT: torch.zeros_like(features[0])}
    windows = []
    for number in footage.audio_ids:
        seen = attention_window(min(number, n - 1), n, 2)
        heard |= {at: features[at] for at in seen if at not in heard}
        windows.append(torch.stack([heard[at] for at in seen]))
        report("sound", len(windows), len(footage.audio_ids))
    return torch.stack(windows)


def _fingerprint(footage: Footage, eye: EyeMode) -> str:
    digest = hashlib.sha256(f"{footage.image_ids}{footage.intrinsics}{eye}".encode())
    digest.update(footage.poses.tobytes())
    return digest.hexdigest()
