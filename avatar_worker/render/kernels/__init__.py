"""The head, compiled: one C++ kernel for four kinds of processor.

Method: `native/head_kernel.cpp` and what it includes. Twin: `render.twin`.
"""

from avatar_worker.render.kernels.build import KernelBuildError
from avatar_worker.render.kernels.cpu import (
    Camera,
    Counts,
    HeadKernel,
    PackedHead,
    Sums,
    load_kernel,
)
from avatar_worker.render.kernels.isa import ISA_NAMES, available_isas
from avatar_worker.render.kernels.pixels import order_pixels

__all__ = [
    "ISA_NAMES",
    "Camera",
    "Counts",
    "HeadKernel",
    "KernelBuildError",
    "PackedHead",
    "Sums",
    "available_isas",
    "load_kernel",
    "order_pixels",
]
