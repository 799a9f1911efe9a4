"""How good what is trained is on frames that it was not trained on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from avatar_worker.audio.pooling import AudioNetworks
from avatar_worker.render.data_folder import Footage, FootageScenes
from avatar_worker.render.head import HeadWeights
from avatar_worker.render.kernels import Camera, PackedHead, load_kernel, order_pixels
from avatar_worker.render.pictures import read_rgb
from avatar_worker.render.renderer import FrameRequest, Renderer
from avatar_worker.render.scene import Scene
from avatar_worker.render.torso import TorsoField, TorsoWeights
from avatar_worker.render.twin import TorchPainter
from avatar_worker.spread import spread
from avatar_worker.train.footage import Rectangle, face_rectangles, read_landmarks
from avatar_worker.train.sync_score import MIN_FRAMES, SyncScore, lip_opening, sync_score
from avatar_worker.train.torso import TorsoData

MAX_FRAMES: Final = 5
SYNC_FRAMES: Final = 250
PREVIEW_FRAMES: Final = 2
MOUTH_POINTS: Final = slice(48, 68)

Picture = UInt8[np.ndarray, "H W 3"]
LandmarkFinder = Callable[[Picture], Float[np.ndarray, "68 2"] | None]
"""The 68 landmarks of the face in an RGB picture, x and y in pixels; None where it finds none."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What was found, and pictures to look at.

    Attributes:
        values: name with unit → mean over the frames looked at.
        rank_db: the one number by which two states of a run are compared.
        preview: drawn left, true right; frames below each other.
    """

    values: Mapping[str, float]
    rank_db: float
    preview: Picture

    def __str__(self) -> str:
        return ", ".join(_spoken(name, value) for name, value in self.values.items())


class Scorer(Protocol):
    """Looks at a checkpoint."""

    def score(self, checkpoint: Mapping[str, Any]) -> Scores:
        """Draw held-out frames and compare."""


class HeldOut:
    """Frames of the val split, spread over it.

    Args:
        footage: the split.
        windows: audio features that each of its frames sees. [n, 8, 512]
        activity: of the footage's sound, see `sync_score.mouth_activity`.
        threads: to draw with.
        finder: finds landmarks; None leaves the distance of landmarks out.
    """

    def __init__(
        self,
        footage: Footage,
        windows: Float[Tensor, "n 8 512"],
        activity: Float[np.ndarray, "m"],
        threads: int,
        finder: LandmarkFinder | None = None,
    ) -> None:
        self._footage = footage
        self._chosen = spread(len(footage.image_ids), MAX_FRAMES)
        self._scenes = FootageScenes(footage, portrait=False)
        self._windows = windows
        self._activity = activity
        self._threads = threads
        self._finder = finder
        self._kernel = load_kernel()
        self._truth: list[tuple[Picture, dict[str, Rectangle]]] = []
        for index in self._chosen:
            image_id = footage.image_ids[index]
            target = read_rgb(footage.folder / f"gt_imgs/{image_id}.jpg")
            landmarks = read_landmarks(footage.folder / f"ori_imgs/{image_id}.lms")
            self._truth.append((target, face_rectangles(landmarks, *target.shape[1::-1])))

    def score(self, checkpoint: Mapping[str, Any]) -> Scores:
        """Draw the frames with a head's checkpoint."""
        state = checkpoint["model"]
        head, networks = HeadWeights.from_state(state), AudioNetworks(state)
        packed = self._kernel.pack(head) if self._kernel else None
        found: dict[str, list[float]] = {}
        pictures = []
        for index, (target, rectangles) in zip(self._chosen, self._truth, strict=True):
            enc_a = self._spoken(networks, index)
            drawn, used = self._draw(packed, head, self._scenes.scene(index), enc_a)
            for name, value in compare(drawn, target, rectangles).items():
                found.setdefault(name, []).append(value)
            if used:
                found.setdefault("used_samples", []).append(used)
            distance = self._landmark_distance(drawn, target)
            if distance is not None:
                found.setdefault("lmd_px", []).append(distance)
            pictures.append(np.concatenate((drawn, target), axis=1))
        values = {name: float(np.mean(numbers)) for name, numbers in found.items()}
        if packed is not None and (sync := self._sync(packed, networks)) is not None:
            values |= {"sync_ms": sync.best_ms, "sync_margin": sync.margin}
        rank_db = (values["face_db"] + values["mouth_db"]) / 2
        return Scores(values, rank_db, _stacked(pictures))

    def _spoken(self, networks: AudioNetworks, index: int) -> Float[np.ndarray, "32"]:
        """What is said in a frame of the split."""
        vector = networks.pool([networks.step(feature) for feature in self._windows[index]])
        return np.ascontiguousarray(vector.numpy())

    def _sync(self, packed: PackedHead, networks: AudioNetworks) -> SyncScore | None:
        """The mouth alone, at the pose of the middle frame, with everything that is said."""
        n = min(len(self._footage.image_ids), SYNC_FRAMES)
        if n < MIN_FRAMES:
            return None
        middle = len(self._chosen) // 2
        scene, mouth = self._scenes.scene(self._chosen[middle]), self._truth[middle][1]["mouth"]
        pixels = order_pixels(*scene.background.shape[:2])
        row, column = np.divmod(pixels, scene.background.shape[1])
        inside = (row >= mouth.top) & (row < mouth.bottom) & (column >= mouth.left)
        pixels = np.ascontiguousarray(pixels[inside & (column < mouth.right)])
        pictures = [
            _cut(self._paint(packed, scene, self._spoken(networks, i), pixels)[0], mouth).copy()
            for i in range(n)
        ]
        numbers = self._footage.audio_ids[:n]
        opening = lip_opening(np.stack(pictures), self._activity, numbers)
        return sync_score(opening, self._activity, numbers)

    def _landmark_distance(self, drawn: Picture, target: Picture) -> float | None:
        if self._finder is None:
            return None
        seen = self._finder(drawn), self._finder(target)
        return None if seen[0] is None or seen[1] is None else lmd_px(seen[0], seen[1])

    def _draw(
        self, packed: PackedHead | None, head: HeadWeights, scene: Scene,
        enc_a: Float[np.ndarray, "32"],
    ) -> tuple[Picture, int]:  # fmt: skip
        if packed is None:
            renderer = Renderer(TorchPainter(head), None, portrait=False)
            with torch.inference_mode():
                return renderer.render(FrameRequest(enc_a, scene=scene)), 0
        return self._paint(packed, scene, enc_a, order_pixels(*scene.background.shape[:2]))

    def _paint(
        self, packed: PackedHead, scene: Scene, enc_a: Float[np.ndarray, "32"],
        pixels: Int[np.ndarray, "n"],
    ) -> tuple[Picture, int]:  # fmt: skip
        """Some pixels of a picture, and how many samples they took."""
        height, width = scene.background.shape[:2]
        out = np.empty_like(scene.background)
        counts = packed.paint(
            Camera(scene.pose, scene.intrinsics, height, width), enc_a, scene.eye,
            background=scene.background, out=out, pixels=pixels, threads=self._threads,
        )  # fmt: skip
        return out, counts.used


class HeldOutTorso:
    """Torso pictures of the val split, spread over it."""

    def __init__(self, data: TorsoData) -> None:
        self._data = data
        self._chosen = spread(len(data.targets), MAX_FRAMES)

    def score(self, checkpoint: Mapping[str, Any]) -> Scores:
        """Draw the torso alone over the still background."""
        weights = TorsoWeights.from_state(checkpoint["model"], checkpoint["mean_density_torso"])
        field = TorsoField(weights)
        width, height = self._data.size
        still = self._data.still.numpy().reshape(height, width, 3).astype(np.float32) / 255.0
        decibels, pictures = [], []
        for index in self._chosen:
            levels = field.over(self._data.poses[index].numpy(), still).clip(0.0, 1.0) * 255.0
            drawn = levels.astype(np.uint8)
            target = self._data.targets[index].numpy().reshape(height, width, 3)
            decibels.append(psnr_db(drawn, target))
            pictures.append(np.concatenate((drawn, target), axis=1))
        torso_db = float(np.mean(decibels))
        return Scores({"torso_db": torso_db}, torso_db, _stacked(pictures))


def compare(
    drawn: Picture, target: Picture, rectangles: Mapping[str, Rectangle]
) -> dict[str, float]:
    """What one picture says: errors in dB, and sharpness of the drawn over that of the true one."""
    face, mouth = rectangles["face"], rectangles["mouth"]
    eyes = [rectangles["left eye"], rectangles["right eye"]]
    return {
        "face_db": psnr_db(_cut(drawn, face), _cut(target, face)),
        "mouth_db": psnr_db(_cut(drawn, mouth), _cut(target, mouth)),
        "picture_db": psnr_db(drawn, target),
        "face_sharpness": sharpness(drawn, target, [face]),
        "mouth_sharpness": sharpness(drawn, target, [mouth]),
        "eyes_sharpness": sharpness(drawn, target, eyes),
    }


def psnr_db(first: UInt8[np.ndarray, "..."], second: UInt8[np.ndarray, "..."]) -> float:
    """Peak signal-to-noise ratio of 8-bit pictures; at most 100."""
    error = np.mean((first.astype(np.float64) - second) ** 2) / 255.0**2
    return float(-10 * np.log10(max(error, 1e-10)))


def sharpness(drawn: Picture, target: Picture, parts: list[Rectangle]) -> float:
    """Variance of the Laplacian in the drawn picture over that in the true one.

    1 is as sharp as the footage; less is softer, more is noise or hard edges.
    """
    ratio = [0.0, 0.0]
    for k, picture in enumerate((drawn, target)):
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        edges = cv2.Laplacian(grey, cv2.CV_64F)
        ratio[k] = sum(float(edges[r.top : r.bottom, r.left : r.right].var()) for r in parts)
    return ratio[0] / max(ratio[1], 1e-9)


def lmd_px(drawn: Float[np.ndarray, "68 2"], target: Float[np.ndarray, "68 2"]) -> float:
    """Mean distance of the mouth's landmarks after their centres were laid on each other."""
    a, b = drawn[MOUTH_POINTS], target[MOUTH_POINTS]
    distance = np.linalg.norm((a - a.mean(axis=0)) - (b - b.mean(axis=0)), axis=1)
    return float(distance.mean())


def _stacked(pictures: list[Picture]) -> Picture:
    chosen = pictures[len(pictures) // 2 :][:PREVIEW_FRAMES]
    return np.ascontiguousarray(np.concatenate(chosen, axis=0))


def _cut(picture: Picture, r: Rectangle) -> UInt8[np.ndarray, "h w 3"]:
    return picture[r.top : r.bottom, r.left : r.right]


def _spoken(name: str, value: float) -> str:
    what, _, unit = name.rpartition("_")
    if unit == "db":
        return f"{what} {value:.2f} dB"
    if unit == "sharpness":
        return f"{what} {value:.0%} sharp"
    if name == "sync_ms":
        return f"mouth {value:+.0f} ms to the sound"
    if name == "sync_margin":
        return f"by a margin of {value:.2f}"
    if unit == "samples":
        return f"{value / 1000:.0f} k samples a picture"
    return f"{what} {value:.2f} {unit}"
