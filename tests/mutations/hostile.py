"""A module that no input may get imported; see `tripwire`."""


def strike(*_: object) -> None:
    """What hostile inputs ask for; that it was looked up is already too much."""
