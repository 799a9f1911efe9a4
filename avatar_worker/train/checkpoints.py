"""What a run leaves in its workspace: heads for drawing, and a state to go on from.

    <workspace>/checkpoints/ngp_ep0019.pth   the original's format, the newest few
    <workspace>/checkpoints/ngp.pth          the best by its held-out score
    <workspace>/training.pt                  everything a resumed run needs
    <workspace>/scores.jsonl                 a line for each time the run was looked at
    <workspace>/previews/000500.jpg          drawn and true pictures side by side

Files are written beside their place, to the disk, and then moved there: whatever ends the run,
a full disk included, the file before is whole, and nothing half-written has a file's name.
"""

import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any, Final

import torch

from avatar_worker.render.torch_file import load_tensors
from avatar_worker.train.errors import TrainingError
from avatar_worker.whole_files import PART, write_whole

STATE_FILE: Final = "training.pt"
SCORES_FILE: Final = "scores.jsonl"
BEST_FILE: Final = "ngp.pth"
KEPT_HEADS: Final = 3


def write_head(workspace: Path, checkpoint: dict[str, Any]) -> Path:
    """Store a head; older ones than the last three are removed."""
    folder = workspace / "checkpoints"
    path = folder / f"ngp_ep{checkpoint['epoch']:04d}.pth"
    _write_torch(path, checkpoint)
    for old in heads(workspace)[:-KEPT_HEADS]:
        if old != path:
            old.unlink()
    return path


def write_best(workspace: Path, checkpoint: dict[str, Any]) -> None:
    """Store a head as the best one: what `--ckpt best` chooses."""
    _write_torch(workspace / "checkpoints" / BEST_FILE, checkpoint)


def heads(workspace: Path) -> list[Path]:
    """Heads of a workspace, in the order of their names."""
    found = (workspace / "checkpoints").glob("ngp_ep*.pth")
    return sorted(path for path in found if re.fullmatch(r"ngp_ep\d+", path.stem))


def forget(workspace: Path) -> None:
    """Remove what a run left, so that a new run is not taken for the old one."""
    previews = (workspace / "previews").glob("*.jpg")
    files = (workspace / STATE_FILE, workspace / SCORES_FILE, workspace / "checkpoints" / BEST_FILE)
    for path in (*heads(workspace), *files, *previews):
        path.unlink(missing_ok=True)


def sweep(workspace: Path) -> None:
    """Remove what a run that was killed had begun to write."""
    for folder in (workspace, workspace / "checkpoints", workspace / "previews"):
        for path in folder.glob(f".*{PART}"):
            path.unlink(missing_ok=True)


def write_state(workspace: Path, state: dict[str, Any]) -> None:
    """Store what a resumed run needs."""
    _write_torch(workspace / STATE_FILE, state)


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


def require_own(state: dict[str, Any], *, version: int, data: str) -> None:
    """A state can be gone on from only by the program and with the data folder it is of.

    Raises:
        TrainingError: it is of another one.
    """
    if state.get("version") != version:
        raise TrainingError("the stored training state is of another version")
    if state.get("data") != data:
        raise TrainingError(
            "the workspace was trained on other data; choose another one or --restart"
        )


def note_scores(workspace: Path, line: dict[str, Any]) -> None:
    """Add a line to the score log; lines of steps that were lost since are dropped."""
    path = workspace / SCORES_FILE
    kept = [old for old in read_scores(workspace) if old["step"] < line["step"]]
    text = "".join(json.dumps(entry) + "\n" for entry in [*kept, line])
    write_whole(path, text.encode())


def read_scores(workspace: Path) -> list[dict[str, Any]]:
    """The lines of the score log, oldest first; what is no such line is left out."""
    path = workspace / SCORES_FILE
    if not path.is_file():
        return []
    lines = []
    for text in path.read_text(errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            line = json.loads(text)
            if isinstance(line, dict) and isinstance(line.get("step"), int):
                lines.append(line)
    return lines


def _write_torch(path: Path, content: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_whole(path, buffer.getvalue())
