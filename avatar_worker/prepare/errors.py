"""What can go wrong while preparing.

PrepareError
├── ModelsMissingError: the networks' packages are not installed
├── FootageError: the video cannot be read, or is refused
└── FolderError: the folder belongs to another video, or something in it is damaged
"""


class PrepareError(Exception):
    """Preparing cannot go on; the message says what was expected and what was found."""


class ModelsMissingError(PrepareError):
    """The networks' packages are not installed."""


class FootageError(PrepareError):
    """The video cannot be read, or is refused."""


class FolderError(PrepareError):
    """The folder belongs to another video, or something in it is damaged."""
