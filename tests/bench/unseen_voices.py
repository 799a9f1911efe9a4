"""How well characters hear the mouth in voices that nobody was trained on.

    python -m tests.bench.unseen_voices --character A [--character B …]
        [--work var/mira] [--speech var/audio-encoder]

Of a drawn person (`--work`: plan, sound, data folder) it is known what the mouth did in every
frame, so a linear fit on the training frames says what a character's audio vectors mean. That
reading is then put to the test: on the person's held-out sentences, and on the test sets of the
audio encoder's recipe (`--speech`). The table has the share of the nine mouth parameters' variance
that is explained (mean R²) and how many lip closures were found and invented (F1). A character is
a bundle, a workspace or a checkpoint, and hears with the recipe's encoder.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from avatar_worker.commands.render import find_bundle
from avatar_worker.recipes.audio_encoder.feature_step import Windows
from avatar_worker.recipes.audio_encoder.gate_step import FILE_NAME
from avatar_worker.recipes.audio_encoder.mouth import mouth_curves
from avatar_worker.recipes.audio_encoder.networks_step import HeardFrames
from avatar_worker.recipes.audio_encoder.readout import Readout, encode_windows, encoder_of
from avatar_worker.recipes.audio_encoder.scores import Score, score
from avatar_worker.recipes.people.camera import FPS
from avatar_worker.recipes.people.plan import Plan
from avatar_worker.recipes.people.script import SpokenTrack
from avatar_worker.render.data_folder import Split, read_split
from avatar_worker.train.audio_networks import audio_vectors, is_audio_weight
from avatar_worker.train.dataset import audio_windows
from avatar_worker.train.hearing import open_encoder
from avatar_worker.train.warm_start import read_source

Floats = NDArray[np.float32]
Hear = Callable[[torch.Tensor], Floats]
"""Windows [n, 8, 512] → audio vectors [n, 32]."""


def hearing_of(character: str) -> Hear:
    """The audio networks of a character."""
    found = read_source(find_bundle(character))
    state = {key: tensor.float() for key, tensor in found.items() if is_audio_weight(key)}

    @torch.inference_mode()
    def hear(windows: torch.Tensor) -> Floats:
        vectors: Floats = torch.cat([audio_vectors(state, w) for w in windows.split(512)]).numpy()
        return vectors

    return hear


class Footage:
    """What a drawn person's mouth did, and what is heard of it.

    Args:
        work: folder of the person's recipe.
        encoder: audio-visual encoder.
    """

    def __init__(self, work: Path, encoder: Path) -> None:
        self._work, self._data = work, work / "data"
        self._encoder = open_encoder(self._data, encoder)
        self._marks = SpokenTrack.read(work).marks
        self._first = sum(frame.kind == "idle" for frame in Plan.read(work / "plan.json").frames)

    def frames(self, split: Split) -> tuple[torch.Tensor, Floats]:
        """Windows and mouth parameters of the speaking frames of a split."""
        footage = read_split(self._data, split, "upper")
        windows = audio_windows(footage, self._encoder, lambda *_: None)
        since_start = np.array(footage.audio_ids) - self._first
        speaks = since_start >= 0
        mouth, _ = mouth_curves(self._marks, (since_start[speaks] + 0.5) / FPS)
        return windows[torch.from_numpy(speaks)], mouth


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    options = build_parser().parse_args(arguments)
    encoder_file = options.speech / "export" / FILE_NAME
    encoder = encoder_of(torch.load(encoder_file, weights_only=True))
    footage = Footage(options.work, encoder_file)
    windows, mouth = footage.frames("train")
    held_windows, held_mouth = footage.frames("val")
    readers = {}
    for name in options.character:
        hear = hearing_of(name)
        readers[name] = hear, Readout.fitted(hear(windows), mouth)
    print(f"{'':24}" + "".join(f"{name:>28}" for name in readers))

    def line(name: str, windows: torch.Tensor, mouth: Floats, sounds: NDArray[np.int32]) -> None:
        found = [score(mouth, read(hear(windows)), sounds) for hear, read in readers.values()]
        print(f"{name:24}" + "".join(f"{_said(each):>28}" for each in found), flush=True)

    line("held-out sentences", held_windows, held_mouth, np.zeros(len(held_mouth), np.int32))
    for path in sorted((options.speech / "features").glob("test-*.npz")):
        windows_of_set = Windows.load(path)
        heard = HeardFrames.of(windows_of_set, encode_windows(encoder, windows_of_set))
        everything = heard.windows(torch.arange(len(heard.features)))
        line(path.stem, everything, heard.targets[:, :-1].numpy(), windows_of_set.sounds)
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
