"""What can go wrong with sound.

AudioError
├── AudioFileError      a sound file is absent, empty or cannot be decoded
├── EncoderError        an audio encoder's tensors are not what is expected
└── FeatureError        audio features do not fit the character
"""

from avatar_worker.sentence import one_line


class AudioError(Exception):
    """Anything that stops sound from becoming audio vectors."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class AudioFileError(AudioError):
    """A sound file that cannot be used."""


class EncoderError(AudioError):
    """Encoder tensors that are missing, misshapen or not finite."""


class FeatureError(AudioError):
    """Features of another kind than the character was trained with."""
