"""What can go wrong while a character is read or drawn.

RenderError
├── CheckpointError
│   ├── CheckpointUnreadableError   absent, empty, truncated, not a torch archive
│   ├── UnsafeCheckpointError       names something other than tensors and plain values
│   └── CheckpointContentError      readable, but not the tensors of a character we can draw
├── DataFolderError                 poses, pictures or tracks are absent or do not fit together
├── FinerGridError                  a finer grid that cannot be read or is another head's
├── UnsupportedCharacterError       understood, but not drawn by this engine (yet)
└── FrameRequestError               the caller asked for a frame that cannot exist

Every message is one sentence that names the file or tensor, what was expected and what was found.
"""

from avatar_worker.sentence import one_line


class RenderError(Exception):
    """Anything that stops a character from being read or drawn."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class CheckpointError(RenderError):
    """A checkpoint file that is refused."""


class CheckpointUnreadableError(CheckpointError):
    """The file is absent, empty, cut short or not a torch archive."""


class UnsafeCheckpointError(CheckpointError):
    """The file wants code to be called; nothing of it was."""


class CheckpointContentError(CheckpointError):
    """The file is readable, but its tensors are not those of a character."""


class DataFolderError(RenderError):
    """A data folder whose files are absent or contradict each other."""


class FinerGridError(RenderError):
    """A finer grid that cannot be read, or was made for another head."""


class UnsupportedCharacterError(RenderError):
    """The character needs something that this engine does not do."""


class FrameRequestError(RenderError):
    """The request does not fit the character."""
