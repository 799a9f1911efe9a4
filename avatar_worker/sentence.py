"""What error messages say: in one line, although they quote files, which may hold anything."""

from typing import Final

MAX_CHARACTERS: Final = 600


def one_line(message: str) -> str:
    """The message as one printable line; the middle of a very long one is left out."""
    if len(message) > MAX_CHARACTERS:
        half = MAX_CHARACTERS // 2
        message = f"{message[:half]} … {message[-half:]}"
    return "".join(c if c.isprintable() else "?" for c in " ".join(message.split()))


def reason(error: Exception) -> str:
    """What is wrong, without the number and the path that the system puts around it."""
    return getattr(error, "strerror", None) or str(error)
