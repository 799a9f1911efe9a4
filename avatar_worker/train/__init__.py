"""Trains heads and torsos from a data folder, into checkpoints that the original reads too.

    python -m avatar_worker train --data DIR --workspace DIR --minutes 60

`run.py` holds the loop, `trainer.py` a head's step, `torso.py` a torso's; what each part is for
stands at the top of its file. On the CPU a head's look-up, networks, compositing and their way back
are one C++ call (`kernels/`), elsewhere PyTorch; PyTorch carries the gradients of seven merged
matrices on to the networks.
"""
