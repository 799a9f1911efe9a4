"""The head on a GPU, in Triton: one file per kernel, each with the PyTorch code it is a twin of.

| kernel | twin |
|---|---|
| `march.py` | `render.march.occupied_points` |
| `look_up.py` | `render.encodings.PlaneGrid` |
| `harmonics.py` | `render.encodings.harmonics` |
| `network.py` | `render.field.HeadField` |
| `composite.py` | `render.march.Sums.add`, `render.march.composite` |

This package can be imported anywhere; the modules in it need Triton, and `painter.TritonPainter`
a GPU or Triton's interpreter (`TRITON_INTERPRET=1` before Triton is imported).

Every launch says `**EXACT`. A compiler for GPUs turns a · b + c into one operation with one
rounding; the twins round twice, and one bit decides in which cell a point lies. `EXACT` keeps
LLVM from fusing and hands `--fmad=false` to ptxas, so that the compiled code has no fused
multiply-add outside the matrix products (a test looks at it). The twins' halvings are products
with 0.5, which are exact. What still differs on a GPU is `exp` and `sigmoid`, approximated to a few
units in the last place, and the order of sums in matrix products.
"""

from importlib.util import find_spec
from typing import Final

import torch

EXACT: Final = {"enable_fp_fusion": False}
"""Options of every launch: multiply and add are rounded separately."""


def draws_on(device: torch.device) -> bool:
    """Whether Triton is installed and has a matrix unit to use: GPUs from 2020 on.

    For older ones it would unroll the matrix products into 17,000 instructions.
    """
    if device.type != "cuda" or find_spec("triton") is None:
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)
