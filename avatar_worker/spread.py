"""Frames spread over what there is, where not all of it can be looked at."""

import numpy as np


def spread(total: int, most: int) -> list[int]:
    """At most `most` of the numbers 0 … total − 1, ascending, the first and the last among them."""
    chosen = np.linspace(0, total - 1, min(most, total)).round()
    return sorted({int(number) for number in chosen})
