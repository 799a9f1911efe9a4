"""Trains a head from a data folder, on the CPU, into checkpoints that the original reads too.

    python -m avatar_worker train --data DIR --workspace DIR --minutes 60

`trainer.py` holds a step; what each part of it is for stands at the top of its file. Measured
construction: fused look-up, networks, compositing and their way back in one C++ call
(`kernels/`); PyTorch carries the gradients of seven merged matrices on to the networks.
"""
