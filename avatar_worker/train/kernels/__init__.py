"""One training step: compiled (`native/head_trainer.cpp`), and its twin in PyTorch."""

from avatar_worker.train.kernels.cpu import TrainerKernel, load_trainer
from avatar_worker.train.kernels.interface import Rays, StepCounts, StepKernel, Trained
from avatar_worker.train.kernels.twin import TwinKernel

__all__ = [
    "Rays",
    "StepCounts",
    "StepKernel",
    "Trained",
    "TrainerKernel",
    "TwinKernel",
    "load_trainer",
]
