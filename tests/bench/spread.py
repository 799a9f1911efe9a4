"""Frames spread over what there is, for benches that cannot look at all of it."""

import numpy as np


def spread(total: int, most: int) -> list[int]:
    """At most `most` of the numbers 0 … total − 1, ascending, the first and the last among them."""
    chosen = np.linspace(0, total - 1, min(most, total)).round()
    return sorted({int(number) for number in chosen})
