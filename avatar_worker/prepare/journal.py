"""Remembers how far a folder is: `prepare/journal.json`.

A step that is done is never done again; a step that was interrupted finds the files it wrote and
goes on behind them. Nothing is believed about a file but its name, because files appear whole
(`files.py`).
"""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from avatar_worker.plain_files import read_plain
from avatar_worker.prepare.crop import Crop
from avatar_worker.prepare.errors import FolderError
from avatar_worker.prepare.files import write_json
from avatar_worker.whole_files import part_of

FORMAT: Final = 2
MAX_BYTES: Final = 1024**2


@dataclass(frozen=True, slots=True)
class Journal:
    """What is known about a folder that is being made.

    Attributes:
        folder: the data folder.
        video: digest of the video that it is made from.
        crop: the square of it.
        focal_px: the focal length asked for; None to find it.
        done: steps that are finished.
    """

    folder: Path
    video: str
    crop: Crop
    focal_px: float | None
    done: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """Where it is kept."""
        return self.folder / "prepare" / "journal.json"

    def with_done(self, step: str) -> Self:
        """The same with one more step finished; stored."""
        after = replace(self, done=(*self.done, step))
        after.store()
        return after

    def store(self) -> None:
        """Write it down."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, {
            "format": FORMAT, "video": self.video, "crop": asdict(self.crop),
            "focal_px": self.focal_px, "done": self.done,
        })  # fmt: skip


def read_journal(folder: Path) -> Journal | None:
    """The journal of a folder, None when nothing was begun there.

    Raises:
        FolderError: it is damaged, or the folder holds what somebody else put there.
    """
    path = folder / "prepare" / "journal.json"
    if not path.is_file():
        ours = {path.parent, part_of(path)}  # of a run that ended before there was a journal
        if not ours.issuperset(folder.rglob("*")):
            raise FolderError(
                f"{folder} is not empty and was not begun by this command; "
                "choose another one with --out"
            )
        return None
    try:
        content: Any = json.loads(read_plain(path, MAX_BYTES).decode())
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']}")
        focal = content["focal_px"]
        return Journal(
            folder=folder,
            video=str(content["video"]),
            crop=Crop(**{key: int(value) for key, value in content["crop"].items()}),
            focal_px=None if focal is None else float(focal),
            done=tuple(str(step) for step in content["done"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FolderError(
            f"{path} is damaged ({error}); begin anew with --restart or another --out"
        ) from None


def digest_of(path: Path) -> str:
    """Tells one video from another by its content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
