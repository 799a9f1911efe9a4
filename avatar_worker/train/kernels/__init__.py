"""One training step compiled: `native/head_trainer.cpp`. Twin: `tests/unit/avatar_worker/train`."""

from avatar_worker.train.kernels.cpu import Rays, StepCounts, TrainerKernel, load_trainer

__all__ = ["Rays", "StepCounts", "TrainerKernel", "load_trainer"]
