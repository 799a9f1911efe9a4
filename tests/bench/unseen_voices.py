"""How well characters hear the mouth in voices that nobody was trained on.

    python -m tests.bench.unseen_voices --character A [--character B …]
        [--work var/mira] [--speech var/audio-encoder]

Of a drawn person (`--work`: plan, sound, data folder) it is known what the mouth did in every
frame, so a linear fit on the training frames says what a character's audio vectors mean. That
reading is then put to the test: on the person's held-out sentences, and on the test sets of the
audio encoder's recipe (`--speech`). The table has the share of the nine mouth parameters' variance
that is explained (mean R²) and how many lip closures were found and invented (F1). A character is
a bundle or a workspace.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from avatar_worker.audio.window import WINDOW_COLUMNS
from avatar_worker.commands.render import find_bundle
from avatar_worker.recipes.audio_encoder import mel
from avatar_worker.recipes.audio_encoder.feature_step import Windows
from avatar_worker.recipes.audio_encoder.hearing import HeardFrames
from avatar_worker.recipes.audio_encoder.readout import Readout
from avatar_worker.recipes.audio_encoder.scores import Score, score
from avatar_worker.render.data_folder import Split, read_split
from avatar_worker.train.audio_networks import audio_vectors, is_audio_weight
from avatar_worker.train.dataset import audio_windows
from avatar_worker.train.hearing import open_hearing
from tests.bench.drawn_mouth import DrawnMouth

Floats = NDArray[np.float32]


class Ears:
    """Encoder and audio networks of a character.

    Args:
        character: bundle or workspace.
    """

    def __init__(self, character: str) -> None:
        path = find_bundle(character)
        hearing = open_hearing(path, ears=path)
        found = hearing.networks
        assert found is not None
        self.encoder = hearing.encoder
        self._networks = {k: tensor.float() for k, tensor in found.items() if is_audio_weight(k)}

    @torch.inference_mode()
    def __call__(self, windows: torch.Tensor) -> Floats:
        """[n, 8, 512] → audio vectors [n, 32]."""
        parts = [audio_vectors(self._networks, each) for each in windows.split(512)]
        vectors: Floats = torch.cat(parts).numpy()
        return vectors

    def of_set(self, windows: Windows) -> Floats:
        """Audio vectors of a set of the recipe."""
        columns, context = mel.network_scale(windows.mel.astype(np.float32)), self.encoder.context
        seen = (columns[start : start + WINDOW_COLUMNS] for start in windows.starts)
        heard = HeardFrames.of(windows, np.stack([self.encoder.encode(w).numpy() for w in seen]))
        read = heard if context is None else heard.in_context(context)
        return self(read.windows(torch.arange(len(read.features))))


def frames_of(work: Path, split: Split, ears: Ears) -> tuple[Floats, Floats]:
    """Audio vectors and mouth parameters of a drawn person's speaking frames in a split."""
    footage, mouth = read_split(work / "data", split, "upper"), DrawnMouth(work)
    windows = audio_windows(footage, ears.encoder, lambda *_: None)
    speaks = mouth.speaks(footage.audio_ids)
    said = ears(windows[torch.from_numpy(speaks)])
    return said, mouth.parameters(footage.audio_ids)[speaks]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    options = build_parser().parse_args(arguments)
    characters = [Ears(name) for name in options.character]
    readings = [Readout.fitted(*frames_of(options.work, "train", each)) for each in characters]
    print(f"{'':24}" + "".join(f"{name:>28}" for name in options.character))

    def line(name: str, scores: list[Score]) -> None:
        print(f"{name:24}" + "".join(f"{_said(each):>28}" for each in scores), flush=True)

    held_out = []
    for ears, read in zip(characters, readings, strict=True):
        said, mouth = frames_of(options.work, "val", ears)
        held_out.append(score(mouth, read(said), np.zeros(len(mouth), np.int32)))
    line("held-out sentences", held_out)
    for path in sorted((options.speech / "features").glob("test-*.npz")):
        windows = Windows.load(path)
        mouth = windows.targets[:, 1].astype(np.float32)
        pairs = zip(characters, readings, strict=True)
        line(path.stem, [score(mouth, r(h.of_set(windows)), windows.sounds) for h, r in pairs])
    return 0


def _said(found: Score) -> str:
    return f"R² {found.r2:.3f}  closures {found.closure.f1:.2f}"


def build_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--character", action="append", required=True)
    parser.add_argument("--work", type=Path, default=Path("var/mira"))
    parser.add_argument("--speech", type=Path, default=Path("var/audio-encoder"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
