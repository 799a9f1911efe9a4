"""Keeps small networks on the thread that asks for them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """The audio networks take 5 ms of one core for a frame; splitting their layers over cores that
    others want too makes that several times as much, most of it spent in waiting for each other."""
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(usual)
