"""What a run leaves in its workspace: heads for drawing, and a state to go on from.

    <workspace>/checkpoints/ngp_ep0019.pth   the original's format, the newest few
    <workspace>/training.pt                  everything a resumed run needs

Files are written beside their place and moved there, so that a run that is killed leaves the
one before.
"""

import re
import tempfile
from pathlib import Path
from typing import Any, Final

import torch

from avatar_worker.render.torch_file import load_tensors
from avatar_worker.train.errors import TrainingError

STATE_FILE: Final = "training.pt"
KEPT_HEADS: Final = 3


def write_head(workspace: Path, checkpoint: dict[str, Any]) -> Path:
    """Store a head; older ones than the last three are removed."""
    folder = workspace / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"ngp_ep{checkpoint['epoch']:04d}.pth"
    _write(path, checkpoint)
    for old in heads(workspace)[:-KEPT_HEADS]:
        if old != path:
            old.unlink()
    return path


def heads(workspace: Path) -> list[Path]:
    """Heads of a workspace, in the order of their names."""
    found = (workspace / "checkpoints").glob("ngp_ep*.pth")
    return sorted(path for path in found if re.fullmatch(r"ngp_ep\d+", path.stem))


def forget(workspace: Path) -> None:
    """Remove heads and state, so that a new run is not taken for the old one."""
    for path in (*heads(workspace), workspace / STATE_FILE):
        path.unlink(missing_ok=True)


def write_state(workspace: Path, state: dict[str, Any]) -> None:
    """Store what a resumed run needs."""
    workspace.mkdir(parents=True, exist_ok=True)
    _write(workspace / STATE_FILE, state)


def read_state(workspace: Path) -> dict[str, Any] | None:
    """The state of the last run, None for a fresh workspace.

    Raises:
        TrainingError: the file is not a training state, or there are heads of somebody else.
        RenderError: the file cannot be read safely.
    """
    path = workspace / STATE_FILE
    if not path.is_file():
        if heads(workspace):
            raise TrainingError(
                f"{workspace} holds heads but no {STATE_FILE} to go on from: "
                "choose another workspace, or --restart to replace them"
            )
        return None
    state = load_tensors(path)
    if not isinstance(state, dict) or "progress" not in state:
        raise TrainingError(f"{path} is not the state of a training run")
    return state


def _write(path: Path, content: dict[str, Any]) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
        part = Path(file.name)
    try:
        torch.save(content, part)
        part.chmod(0o644)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
