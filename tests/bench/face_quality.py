"""How like the footage characters are drawn, on frames that they were not trained on.

    python -m tests.bench.face_quality --data DIR --character A [--character B …] [--truth DIR]

Every character is drawn at the cameras and expressions of the folder's val split, heads before the
folder's own torso and background, and hears the folder's sound with its own ears: `--character` is
a bundle (name, folder, zip) or a training workspace. Characters
must have been made from footage in the same head frame, as those of `recipes/people` are; only what
none of them was trained on compares them fairly.

Sound is heard as it is live: features of the whole track. The trainer's own scores know only those
of the split's frames, so they differ where frames are missing between.

With `--truth` (`tests.bench.drawn_again`) the frames of that folder are compared with its pictures,
which have less noise than a film; the first column is the film itself.

Means over the frames. PSNR against `gt_imgs`; sharpness is the variance of the Laplacian, drawn
over true; distance of the mouth's landmarks (LMD) in pixels of a picture 512 px wide, found in both
(`make models`); opaque is the share of the head's pixels (`parsing`, single hairs and all) with an
accumulated weight above 0.99, where nothing behind it shows; used samples are what drawing costs.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from avatar_worker.audio.features import Encoder
from avatar_worker.audio.pooling import AudioNetworks
from avatar_worker.audio.sequence import sound_features, vectors
from avatar_worker.audio.sound import read_sound
from avatar_worker.audio.window import AttentionMode
from avatar_worker.character import bundle_head_state, load_bundle
from avatar_worker.commands.render import find_bundle
from avatar_worker.prepare.errors import ModelsMissingError
from avatar_worker.prepare.landmarks68 import landmark_finder
from avatar_worker.render.checkpoint_layout import EyeMode, detect_flavour
from avatar_worker.render.data_folder import Footage, FootageScenes, read_split
from avatar_worker.render.head import HeadWeights
from avatar_worker.render.kernels import load_kernel
from avatar_worker.render.painters import KernelPainter
from avatar_worker.render.pictures import read_rgb
from avatar_worker.spread import spread
from avatar_worker.train.footage import (
    REFERENCE_WIDTH,
    Rectangle,
    face_rectangles,
    head_mask,
    read_landmarks,
)
from avatar_worker.train.scores import LandmarkFinder, compare, lmd_px, psnr_db
from avatar_worker.trained import open_trained

OPAQUE = 0.99
ROWS = (
    ("face_db", "face, dB", ".2f"),
    ("mouth_db", "mouth, dB", ".2f"),
    ("eyes_db", "eyes, dB", ".2f"),
    ("picture_db", "picture, dB", ".2f"),
    ("face_sharpness", "face, sharpness", ".0%"),
    ("mouth_sharpness", "mouth, sharpness", ".0%"),
    ("eyes_sharpness", "eyes, sharpness", ".0%"),
    ("lmd_px", "mouth landmarks, px", ".2f"),
    ("opaque", "head opaque", ".1%"),
    ("used_samples", "used samples", ",.0f"),
)


@dataclass(frozen=True, slots=True)
class Sitter:
    """What is looked at: a head and its ears.

    Attributes:
        name: for the table.
        head: what is drawn.
        eye: which expression track it takes.
        networks: of its audio.
        encoder: what it hears with.
        mode: audio window mode.
    """

    name: str
    head: HeadWeights
    eye: EyeMode
    networks: AudioNetworks
    encoder: Encoder | None
    mode: AttentionMode

    def vectors(self, data: Path, numbers: Sequence[int]) -> list[NDArray[np.float32]]:
        """What is said in these 40 ms of the folder's sound."""
        features: Sequence[Tensor] = sound_features(
            self.encoder, read_sound(data / "aud.wav").mono()
        )
        wanted = [min(number, len(features) - 1) for number in numbers]
        return [
            next(iter(vectors(self.networks, features, self.mode, start=number)))
            for number in wanted
        ]


def find_sitter(name: str, data: Path) -> Sitter:
    """A training workspace, else a bundle."""
    path = Path(name)
    if (path / "checkpoints").is_dir():
        trained = open_trained(data, path)
        flavour = trained.checkpoint.flavour
        return Sitter(path.name, trained.checkpoint.head(), flavour.eye, trained.networks,
                      trained.encoder(None), trained.mode)  # fmt: skip
    path = find_bundle(name)
    bundle = load_bundle(path)
    assert bundle.head is not None, f"{name} has no head"
    assert bundle.audio is not None
    audio, eye = bundle.audio, detect_flavour(bundle_head_state(path)).eye
    return Sitter(name, bundle.head, eye, audio.networks, audio.encoder, audio.mode)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What drawn pictures are measured by.

    Attributes:
        data: the folder.
        n_frames: at most so many of its val split, spread.
        truth: folder of pictures to compare with, and of what frames; None for `gt_imgs`.
        find: landmarks of a picture; None where the models are missing.
    """

    data: Path
    n_frames: int
    truth: Path | None
    find: LandmarkFinder | None

    def footage(self, eye: EyeMode) -> Footage:
        """The frames."""
        footage = read_split(self.data, "val", eye)
        there = [
            index
            for index, image_id in enumerate(footage.image_ids)
            if self.truth is None or (self.truth / f"{image_id}.png").is_file()
        ]
        assert there, f"{self.truth} has no frame of the val split"
        return _part(footage, [there[k] for k in spread(len(there), self.n_frames)])

    def filmed(self, image_id: int) -> NDArray[np.uint8]:
        """A frame as the folder has it."""
        return read_rgb(self.data / f"gt_imgs/{image_id}.jpg")

    def values(self, footage: Footage, image_id: int, drawn: NDArray[np.uint8]) -> dict[str, float]:
        """How like its frame a picture is."""
        truth = self.truth
        target = self.filmed(image_id) if truth is None else read_rgb(truth / f"{image_id}.png")
        landmarks = read_landmarks(self.data / f"ori_imgs/{image_id}.lms")
        rectangles = face_rectangles(landmarks, footage.width, footage.height)
        values = compare(drawn, target, rectangles)
        values["eyes_db"] = eyes_db(drawn, target, rectangles)
        if self.find is not None:
            distance = landmark_distance(self.find, drawn, target)
            if distance is not None:
                values["lmd_px"] = distance * REFERENCE_WIDTH / footage.width
        return values


def score(sitter: Sitter, comparison: Comparison, threads: int) -> dict[str, float]:
    """Means over the frames."""
    footage = comparison.footage(sitter.eye)
    scenes = FootageScenes(footage, portrait=False)
    kernel = load_kernel()
    assert kernel is not None, "this processor has no kernel to draw with"
    painter = KernelPainter(sitter.head, kernel, threads)
    found: list[dict[str, float]] = []
    heard = sitter.vectors(comparison.data, footage.audio_ids)
    for index, image_id in enumerate(tqdm(footage.image_ids, disable=None, leave=False)):
        scene = scenes.scene(index)
        drawn, counts = painter.draw(scene, heard[index], scene.eye, portrait=False, cap=None)
        weight = painter.layer(scene, heard[index], scene.eye)[..., 3]
        values = comparison.values(footage, image_id, drawn)
        values["opaque"] = float((weight[head_mask(footage, image_id)] > OPAQUE).mean())
        values["used_samples"] = counts.used
        found.append(values)
    return _means(found)


def score_film(comparison: Comparison) -> dict[str, float]:
    """The same for the folder's own pictures."""
    footage = comparison.footage("upper")
    return _means(
        [comparison.values(footage, each, comparison.filmed(each)) for each in footage.image_ids]
    )


def _means(found: Sequence[dict[str, float]]) -> dict[str, float]:
    names = sorted({name for values in found for name in values})
    means = {n: float(np.mean([values[n] for values in found if n in values])) for n in names}
    return means | {"frames": len(found)}


def eyes_db(
    drawn: NDArray[np.uint8], target: NDArray[np.uint8], rectangles: dict[str, Rectangle]
) -> float:
    """PSNR of both eyes together."""
    boxes = [rectangles[name] for name in ("left eye", "right eye")]
    both = [
        np.concatenate([p[r.top : r.bottom, r.left : r.right].reshape(-1, 3) for r in boxes])
        for p in (drawn, target)
    ]
    return psnr_db(both[0], both[1])


def landmark_distance(
    find: LandmarkFinder, drawn: NDArray[np.uint8], target: NDArray[np.uint8]
) -> float | None:
    """In pixels of these pictures; None where a face is not found."""
    seen = find(drawn), find(target)
    return None if seen[0] is None or seen[1] is None else lmd_px(seen[0], seen[1])


def _part(footage: Footage, chosen: Sequence[int]) -> Footage:
    return Footage(
        folder=footage.folder,
        image_ids=tuple(footage.image_ids[i] for i in chosen),
        audio_ids=tuple(footage.audio_ids[i] for i in chosen),
        poses=footage.poses[chosen],
        eyes=footage.eyes[chosen],
        intrinsics=footage.intrinsics,
        width=footage.width,
        height=footage.height,
    )


def table(columns: dict[str, dict[str, float]]) -> str:
    """Characters side by side."""
    width = max(12, *(len(name) + 2 for name in columns))
    lines = [f"{'':22}" + "".join(f"{name:>{width}}" for name in columns)]
    for key, label, form in ROWS:
        cells = (format(c[key], form) if key in c else "–" for c in columns.values())
        lines.append(f"{label:22}" + "".join(f"{cell:>{width}}" for cell in cells))
    return "\n".join(lines)


def _finder() -> Callable[[NDArray[np.uint8]], NDArray[np.float32] | None] | None:
    try:
        return landmark_finder()
    except ModelsMissingError as error:
        print(f"no distance of landmarks: {error}")
        return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="SyncTalk data folder")
    parser.add_argument("--character", action="append", help="bundle or workspace; default: mira")
    parser.add_argument("--truth", type=Path, help="folder of pictures to compare with")
    parser.add_argument("--frames", type=int, default=60, help="at most so many, spread")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    cv2.setNumThreads(options.threads)
    comparison = Comparison(options.data, options.frames, options.truth, _finder())
    columns = {"the film": score_film(comparison)} if options.truth else {}
    for name in options.character or ["mira"]:
        sitter = find_sitter(name, options.data)
        label = sitter.name if sitter.name not in columns else name
        columns[label] = score(sitter, comparison, options.threads)
    frames = next(iter(columns.values()))["frames"]
    print(f"{options.data}: {frames} held-out frames, heads in whole pictures\n{table(columns)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
