"""Kinds of values that several commands take."""

import argparse

from avatar_worker.bundle_manifest import MAX_SIDE_PX, MIN_SIDE_PX


def side_px(text: str) -> int:
    """Width or height of a picture: what a bundle's pictures may have."""
    if not text.isdecimal() or not MIN_SIDE_PX <= int(text) <= MAX_SIDE_PX:
        raise argparse.ArgumentTypeError(
            f"{text}: expected whole pixels, {MIN_SIDE_PX} to {MAX_SIDE_PX}"
        )
    return int(text)
