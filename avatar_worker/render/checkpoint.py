"""Reads a checkpoint file without ever running what is in it.

A checkpoint is a pickle in a zip archive, and a pickle is a program. Only our own reader touches
it (`torch_file`): it knows tensors and plain values and stops at anything else. What comes out is
checked tensor by tensor (`checkpoint_layout`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from avatar_worker.render.checkpoint_layout import Flavour, check_state, detect_flavour
from avatar_worker.render.errors import (
    CheckpointContentError,
    CheckpointUnreadableError,
    UnsupportedCharacterError,
)
from avatar_worker.render.head import HeadWeights
from avatar_worker.render.torch_file import load_tensors
from avatar_worker.render.torso import TorsoWeights


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that was found complete.

    Attributes:
        path: where it came from.
        state: the raw (not averaged) tensors, as stored.
        flavour: what the shapes say.
        epoch: training epochs, 0 where the file does not say.
        mean_density_torso: threshold of the torso's occupancy, 0 for a head alone.
        encoder: tensors of the audio encoder that it was trained with, not checked; empty where
            the file does not hold them, as the original's do not.
    """

    path: Path
    state: Mapping[str, Tensor]
    flavour: Flavour
    epoch: int
    mean_density_torso: float
    encoder: Mapping[str, Tensor]

    def head(self) -> HeadWeights:
        """The part that draws the head."""
        return HeadWeights.from_state(self.state, eye_sigmoid=self.flavour.is_er_nerf)

    def torso(self) -> TorsoWeights:
        """The part that draws the torso.

        Raises:
            UnsupportedCharacterError: it was trained without one.
        """
        if not self.flavour.has_torso:
            raise UnsupportedCharacterError(f"{self.path} is a {self.flavour}: it has no torso")
        return TorsoWeights.from_state(self.state, self.mean_density_torso)


def find_checkpoint(workspace: Path, which: str = "latest") -> Path:
    """Choose a checkpoint of a workspace.

    Args:
        workspace: folder that holds `checkpoints/`.
        which: `latest` (the last `ngp_ep*.pth` in the order of names), `best` (`ngp.pth`, else
            latest) or the path of a file.

    Raises:
        CheckpointUnreadableError: there is no such file.
    """
    folder = workspace / "checkpoints"
    if which not in ("latest", "best"):
        return Path(which)
    if which == "best" and (folder / "ngp.pth").is_file():
        return folder / "ngp.pth"
    if not folder.is_dir():
        raise CheckpointUnreadableError(f"workspace {workspace} has no folder checkpoints/")
    found = sorted(path.name for path in folder.glob("ngp_ep*.pth"))
    if not found:
        raise CheckpointUnreadableError(
            f"{folder} holds no ngp_ep*.pth: train a head or name a file"
        )
    return folder / found[-1]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and check a head checkpoint, or a bare state dict of one.

    Raises:
        CheckpointUnreadableError: absent, empty, cut short, no torch archive.
        UnsafeCheckpointError: it names something that is not tensors and plain values.
        CheckpointContentError: tensors are missing, misshapen, not finite or not a head's.
        UnsupportedCharacterError: a head that no renderer can draw.
    """
    content = _mapping(load_tensors(path), path)
    try:
        state = _state_of(content)
        flavour = detect_flavour(state)
        check_state(state, flavour)
        epoch = _number(content, "epoch")
        threshold = _number(content, "mean_density_torso")
        encoder = _tensors(content.get("audio_encoder", {}), "audio_encoder")
    except CheckpointContentError as error:
        raise CheckpointContentError(f"{path}: {error}") from None
    return Checkpoint(path, state, flavour, int(epoch), float(threshold), encoder)


def _mapping(content: object, path: Path) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        raise CheckpointContentError(
            f"{path} holds a {type(content).__name__}; expected a dictionary of tensors"
        )
    return content


def _state_of(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors under `model`, or the content itself if it is a bare state dict."""
    return _tensors(content.get("model", content), "model")


def _tensors(found: object, name: str) -> dict[str, Tensor]:
    if not isinstance(found, Mapping):
        raise CheckpointContentError(
            f"entry {name} is a {type(found).__name__}; expected a dictionary of tensors"
        )
    for key, value in found.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointContentError(
                f"entry {key!r} is a {type(value).__name__}; expected a tensor"
            )
    return dict(found)


def _number(content: Mapping[str, Any], key: str) -> float:
    value = content.get(key, 0) if "model" in content else 0
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if not isinstance(value, int | float):
        raise CheckpointContentError(f"{key} is a {type(value).__name__}; expected a number")
    if not abs(value) < math.inf:
        raise CheckpointContentError(f"{key} is {value}; expected a finite number")
    return float(value)
