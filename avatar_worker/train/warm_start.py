"""Begins with what another character has learned: faces are alike, and half of the way is saved.

Tables and networks are taken over where their shapes agree. Latent codes and occupancy are the
other character's own and begin anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from avatar_worker.character import bundle_head_state
from avatar_worker.commands.refusal import UsageError
from avatar_worker.render.checkpoint import find_checkpoint, read_checkpoint


@dataclass(frozen=True, slots=True)
class Taken:
    """What a warm start found.

    Attributes:
        names: tensors taken over.
        refused: what was left, a clause each.
    """

    names: tuple[str, ...]
    refused: tuple[str, ...]

    def __str__(self) -> str:
        left = "; ".join(self.refused) or "nothing else was there to take"
        return f"{len(self.names)} tensors taken over, latent code and occupancy anew; left: {left}"


def read_source(path: Path) -> Mapping[str, Tensor]:
    """Tensors of a checkpoint file, of a workspace's newest, or of a bundle.

    Raises:
        RenderError: a checkpoint is refused.
        BundleError: a bundle is refused.
        UsageError: it is none of these.
    """
    if path.suffix == ".zip" or (path / "character.toml").is_file():
        return bundle_head_state(path)
    if (path / "checkpoints").is_dir():
        return read_checkpoint(find_checkpoint(path)).state
    if path.is_file():
        return read_checkpoint(path).state
    raise UsageError(f"--from {path}: expected a checkpoint, a workspace or a character bundle")


@torch.no_grad()
def take_over(mine: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> Taken:
    """Copy what fits.

    Args:
        mine: tensors to overwrite, under their names in a checkpoint.
        theirs: a checkpoint's.
    """
    names, refused = [], []
    for name, tensor in mine.items():
        found = theirs.get(name)
        if found is None:
            refused.append(f"{name} is not there")
        elif found.shape != tensor.shape:
            refused.append(f"{name} is {_size(found)}, here {_size(tensor)}")
        else:
            tensor.copy_(found)
            names.append(name)
    return Taken(tuple(names), tuple(refused))


def _size(tensor: Tensor) -> str:
    return " × ".join(str(n) for n in tensor.shape)
