"""What looking at patches of the lips does in the last part of a run, on fifty drawn frames.

    python -m tests.bench.lips_stage --clip DIR [--steps 3000] [--weight 0.03]

Two runs share their first 60 %; the rest is done once with lip steps and once without, in the same
number of steps. Printed are the five held-out frames' errors and sharpness.
"""

import argparse
import copy
import sys
import time
from pathlib import Path
from unittest.mock import patch

import torch
from tqdm import tqdm

from avatar_worker.train import lips, schedule, trainer
from avatar_worker.train.kernels import load_trainer
from tests.bench.mira_clip import read_clip

SHOWN = ("face_db", "mouth_db", "picture_db", "face_sharpness", "mouth_sharpness", "eyes_sharpness")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--weight", type=float, nargs="+", default=[schedule.LIPS_WEIGHT])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clip = read_clip(options.clip)
    run = trainer.Trainer(clip.train(), load_trainer(options.threads))

    def go(until: float) -> float:
        start_s = time.perf_counter()
        for _ in tqdm(range(run.progress.step, round(until * options.steps)), disable=None):
            run.step(run.progress.step / options.steps)
        return time.perf_counter() - start_s

    go(schedule.LIPS_FROM)
    state = copy.deepcopy(run.state())
    print(f"{'':14}" + "".join(f"{name:>17}" for name in SHOWN) + f"{'seconds':>10}")
    for name, begin, weight in (
        ("without", 2.0, 0.0), *[(f"lips {w:g}", schedule.LIPS_FROM, w) for w in options.weight],
    ):  # fmt: skip
        with (
            patch.object(schedule, "LIPS_FROM", begin),
            patch.object(lips, "LIPS_WEIGHT", weight),
        ):
            run.restore(copy.deepcopy(state))
            seconds = go(1.0)
        scores = clip.score(run.checkpoint(), options.threads)
        print(f"{name:14}" + "".join(f"{scores[key]:17.3f}" for key in SHOWN)
              + f"{seconds:10.0f}", flush=True)  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
