"""How well a drawn person's head draws sentences it never heard, when it is told the mouth.

    python -m tests.bench.mouth_given [--work var/mira] [--workspace var/mira/head] [--truth DIR]

What a character gets wrong in new sentences is the ear's part or the head's. Of a drawn person it
is known what the mouth did, and a head that was trained with borrowed ears has an audio vector for
each of its frames. So a small network is taught on the training frames which vector a mouth has
(the nine parameters of this frame, the one before and the one after), and says the vectors of the
held-out frames, which nobody has seen. Beside it the same frames as they are heard.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from avatar_worker.recipes.audio_encoder.mouth import PARAMETERS
from avatar_worker.render.data_folder import read_split
from avatar_worker.train.checkpoints import read_state
from tests.bench.drawn_mouth import DrawnMouth
from tests.bench.face_quality import Comparison, Sitter, find_sitter, score, table

STEPS, BATCH, RATE, LAST_RATE = 6_000, 256, 3e-3, 1e-4
HIDDEN = 128


def around(mouth: DrawnMouth, numbers: Sequence[int]) -> Tensor:
    """Parameters of the frames before, at and after some, and whether somebody speaks."""
    parts = [mouth.parameters([number + step for number in numbers]) for step in (-1, 0, 1)]
    return torch.from_numpy(np.concatenate((*parts, mouth.speaks(numbers)[:, None]), 1)).float()


@dataclass(frozen=True, slots=True)
class Told(Sitter):
    """A head that is told the mouth instead of hearing it."""

    mouth: DrawnMouth
    vector_of: nn.Module

    def vectors(self, data: Path, numbers: Sequence[int]) -> list[NDArray[np.float32]]:
        """Audio vectors of the mouth in these 40 ms."""
        with torch.inference_mode():
            return list(self.vector_of(around(self.mouth, numbers)).numpy())


def taught(mouths: Tensor, vectors: Tensor) -> nn.Module:
    """A network from mouths to audio vectors."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(3 * len(PARAMETERS) + 1, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, vectors.shape[1])
    )
    optimiser = torch.optim.Adam(network.parameters())
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = RATE * (LAST_RATE / RATE) ** (step / STEPS)
        chosen = torch.randint(len(mouths), (BATCH,))
        optimiser.zero_grad()
        error = (network(mouths[chosen]) - vectors[chosen]).square().mean()
        error.backward()
        optimiser.step()
    return network


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("var/mira"))
    parser.add_argument("--workspace", type=Path, default=Path("var/mira/head"))
    parser.add_argument("--truth", type=Path, help="as in `face_quality`")
    parser.add_argument("--frames", type=int, default=60, help="at most so many, spread")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    data = options.work / "data"
    state = read_state(options.workspace)
    assert state is not None, f"{options.workspace} holds no training"
    assert state["ears"], "the head was trained with ears of its own: its frames have no vectors"
    heard = find_sitter(str(options.workspace), data)
    mouth = DrawnMouth(options.work)
    trained = around(mouth, read_split(data, "train", heard.eye).audio_ids)
    told = Told(
        "mouth given", heard.head, heard.eye, heard.networks, heard.encoder, heard.mode, mouth,
        taught(trained, state["ears"]["vectors"]),
    )  # fmt: skip
    comparison = Comparison(data, options.frames, options.truth, find=None)
    columns = {
        name: score(sitter, comparison, options.threads)
        for name, sitter in (("as heard", heard), (told.name, told))
    }
    print(f"{data}: {columns['as heard']['frames']:.0f} held-out frames\n{table(columns)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
