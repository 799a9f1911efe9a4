"""`python -m avatar_worker.recipes.audio_encoder STEP --work DIR`: the recipe, step by step."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from avatar_worker.only_run import FolderBusyError, only_run
from avatar_worker.recipes.audio_encoder.feature_step import make_features
from avatar_worker.recipes.audio_encoder.gate_step import GateError, export, gate
from avatar_worker.recipes.audio_encoder.label_step import make_labels
from avatar_worker.recipes.audio_encoder.networks_step import (
    SETTLING,
    NetworksPlan,
    make_networks,
    settle_networks,
)
from avatar_worker.recipes.audio_encoder.speech_step import make_speech
from avatar_worker.recipes.audio_encoder.together_step import TogetherPlan, train_together
from avatar_worker.recipes.audio_encoder.train_step import TrainingPlan, train
from avatar_worker.recipes.audio_encoder.training_run import NotTrainedError
from avatar_worker.recipes.speech.assets import AssetError

STEPS = (
    "speech", "labels", "features", "train", "networks", "together", "settle", "gate", "export",
)  # fmt: skip


def main() -> None:
    """Run one step; each goes on where an earlier run stopped."""
    parser = argparse.ArgumentParser(prog="python -m avatar_worker.recipes.audio_encoder")
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--work", type=Path, required=True, help="folder for everything made")
    parser.add_argument("--scale", type=float, default=1.0, help="speech: share of the minutes")
    parser.add_argument(
        "--windows",
        type=int,
        default=TrainingPlan().total_windows,
        help="train: how many are drawn",
    )
    parser.add_argument(
        "--sequences",
        type=int,
        help="networks, together, settle: how many are drawn; default: what the step's plan says",
    )
    parser.add_argument("--beside", type=Path, help="gate: another encoder to measure as well")
    arguments = parser.parse_args()
    work: Path = arguments.work
    drawn = {"total_sequences": arguments.sequences} if arguments.sequences else {}
    actions: dict[str, Callable[[], object]] = {
        "speech": lambda: make_speech(work, arguments.scale),
        "labels": lambda: make_labels(work),
        "features": lambda: make_features(work),
        "train": lambda: train(work, TrainingPlan(total_windows=arguments.windows)),
        "networks": lambda: make_networks(work, NetworksPlan(**drawn)),
        "together": lambda: train_together(work, TogetherPlan(**drawn)),
        "settle": lambda: settle_networks(work, replace(SETTLING, **drawn)),
        "gate": lambda: gate(work, arguments.beside),
        "export": lambda: export(work),
    }
    try:
        with only_run(work):
            actions[arguments.step]()
    except (NotTrainedError, GateError, AssetError, FolderBusyError) as refusal:
        raise SystemExit(f"{arguments.step}: {refusal}") from None


if __name__ == "__main__":
    main()
