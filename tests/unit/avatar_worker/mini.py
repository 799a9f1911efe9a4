"""The small reference character and what the original program computed from it."""

from functools import cache
from pathlib import Path

import numpy as np
import torch

from avatar_worker.audio.encoder import AveEncoder
from avatar_worker.audio.features import AudioModel
from avatar_worker.audio.pooling import AudioNetworks
from avatar_worker.render.checkpoint import Checkpoint, find_checkpoint, read_checkpoint
from avatar_worker.render.data_folder import Footage, FootageScenes, read_split
from avatar_worker.render.renderer import Renderer
from avatar_worker.render.twin import TorchPainter
from avatar_worker.trained import read_encoder

ROOT = Path(__file__).parents[3]
_WHOLE = ROOT.parent / "shared" / "fixtures" / "synctalk-mini"
MINI = _WHOLE if _WHOLE.is_dir() else ROOT / "tests" / "data" / "synctalk-mini"
DATA = MINI / "data" / "mini"
WORKSPACE = MINI / "model" / "trial_mini"
MALFORMED = MINI / "model" / "malformed"
ENCODER = MINI / "ave" / "audio_visual_encoder.pth"
HAS_TRAINING_FILES = (DATA / "parsing/0.png").is_file() and (DATA / "ori_imgs/0.lms").is_file()
"""What only training reads is not among the committed data."""
CROSS_WAV = MINI / "audio" / "cross.wav"


@cache
def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(MINI / "golden" / f"{name}.npz") as arrays:
        return dict(arrays)


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array)


@cache
def checkpoint() -> Checkpoint:
    return read_checkpoint(find_checkpoint(WORKSPACE))


@cache
def painter() -> TorchPainter:
    return TorchPainter(checkpoint().head())


@cache
def audio_model() -> AudioModel:
    return AudioModel(AveEncoder(read_encoder(ENCODER)), AudioNetworks(checkpoint().state))


@cache
def footage(split: str = "val") -> Footage:
    return read_split(DATA, split, "upper")


def renderer(
    split: str = "val",
    *,
    portrait: bool = False,
    part: tuple[int, int | None] = (0, None),
    background: str | None = None,
    cap: int | None = None,
) -> Renderer:
    frames = footage(split).part(*part)
    scenes = FootageScenes(frames, portrait=portrait, background=background)
    return Renderer(painter(), scenes, portrait=portrait, cap=cap)


def psnr(drawn: np.ndarray, reference: np.ndarray) -> float:
    """Of 8-bit pictures, 99 for equal ones."""
    error = np.mean((drawn.astype(np.float64) - reference) ** 2)
    return 99.0 if error == 0 else float(10 * np.log10(255.0**2 / error))


def assert_reference_quality(drawn: np.ndarray, reference: np.ndarray) -> None:
    """What is promised of the exact path, frame by frame."""
    assert drawn.dtype == np.uint8
    assert drawn.shape == reference.shape
    assert psnr(drawn, reference) >= 59.0
    assert np.mean(drawn == reference) >= 0.998
    assert np.mean(np.abs(drawn.astype(int) - reference) <= 3) >= 0.9999
