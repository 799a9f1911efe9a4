"""Spreads tiles of samples over the cores, each tile computed by one thread from start to end.

PyTorch would rather split every single operation; on two cores that are also used by others the
waiting at the end of each costs ten times the arithmetic.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor


def each_tile(work: Callable[[Tensor], None], numbers: Tensor, n_per_tile: int) -> None:
    """Call `work` with every tile of a list of numbers; in threads if they are on the CPU.

    `work` may write to disjoint parts of shared tensors. What it raises is raised here.
    """
    tiles = torch.split(numbers, n_per_tile) if len(numbers) else ()
    if numbers.device.type != "cpu":
        for tile in tiles:
            work(tile)
        return

    def run(tile: Tensor) -> None:
        with torch.inference_mode():
            work(tile)

    for _ in _pool().map(run, tiles):
        pass


@cache
def _pool() -> ThreadPoolExecutor:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return ThreadPoolExecutor(
        max_workers=cores or 1,
        thread_name_prefix="tile",
        initializer=torch.set_num_threads,
        initargs=(1,),
    )


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork


@contextmanager
def one_thread() -> Iterator[None]:
    """The calling thread's own operations are not split over cores meanwhile."""
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(usual)
