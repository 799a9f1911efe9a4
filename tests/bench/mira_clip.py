"""Fifty drawn frames as training data: 45 to train on, five between them to look at.

The clip has neither sound nor landmarks. What the mouth does comes from the scene's own units,
spread over the numbers of an audio feature; regions are boxes around points of the head.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from avatar_worker.audio.pooling import AudioNetworks
from avatar_worker.render.head import HeadWeights
from avatar_worker.render.kernels import Camera, load_kernel, order_pixels
from avatar_worker.render.pictures import read_rgb, read_rgba
from avatar_worker.render.rays import Intrinsics, convert_pose
from avatar_worker.train.dataset import AABB, HULL_MARGIN_PX, TrainingData
from avatar_worker.train.footage import FramePixels, Rectangle, dilate
from avatar_worker.train.occupancy import hull_of
from avatar_worker.train.scores import compare

HELD_OUT = (7, 17, 28, 36, 46)
SIZE = 512
EYE_UNITS = ("browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
             "eyeBlinkLeft", "eyeBlinkRight")  # fmt: skip
BOXES = {  # of the head, in its own units: where, and half width and height in pixels
    "face": ((0.0, -0.015, 0.09), (95, 130)),
    "mouth": ((0.0, -0.062, 0.10), (42, 34)),
    "lips": ((0.0, -0.062, 0.10), (30, 30)),
    "left eye": ((-0.031, 0.005, 0.085), (28, 20)),
    "right eye": ((0.031, 0.005, 0.085), (28, 20)),
}
CORE_PX = 6


@dataclass
class Clip:
    """The clip, all frames."""

    pictures: list[np.ndarray]
    background: np.ndarray
    masks: list[np.ndarray]
    boxes: list[dict[str, Rectangle]]
    poses: np.ndarray
    intrinsics: Intrinsics
    windows: torch.Tensor
    eyes: torch.Tensor

    def train(self) -> TrainingData:
        """The frames that are not held out."""
        chosen = [i for i in range(len(self.pictures)) if i not in HELD_OUT]
        masks = [dilate(self.masks[i], HULL_MARGIN_PX) for i in chosen]
        return TrainingData(
            frames=[self._frame(i) for i in chosen], windows=self.windows[chosen],
            eyes=self.eyes[chosen], eye_mode="upper", poses=torch.from_numpy(self.poses[chosen]),
            intrinsics=self.intrinsics, size=(SIZE, SIZE), aabb=AABB, fingerprint="mira-clip",
            hull=hull_of(self.poses[chosen], masks, AABB, self.intrinsics),
        )  # fmt: skip

    def score(self, checkpoint: Mapping[str, Any], threads: int) -> dict[str, float]:
        """Means over the held-out frames; see `scores.compare`."""
        state = checkpoint["model"]
        kernel = load_kernel()
        assert kernel is not None
        packed, networks = kernel.pack(HeadWeights.from_state(state)), AudioNetworks(state)
        found: dict[str, list[float]] = {}
        for i in HELD_OUT:
            vector = networks.pool([networks.step(feature) for feature in self.windows[i]])
            out = np.empty_like(self.background)
            packed.paint(
                Camera(self.poses[i], self.intrinsics, SIZE, SIZE),
                np.ascontiguousarray(vector.numpy()), self.eyes[i].numpy(),
                background=self.background, out=out, pixels=order_pixels(SIZE, SIZE),
                threads=threads,
            )  # fmt: skip
            for name, value in compare(out, self.pictures[i], self.boxes[i]).items():
                found.setdefault(name, []).append(value)
        return {name: float(np.mean(values)) for name, values in found.items()}

    def _frame(self, i: int) -> FramePixels:
        pixel = np.flatnonzero(dilate(self.masks[i], 5))
        row, column = np.divmod(pixel, SIZE)
        boxes = self.boxes[i]

        def inside(name: str) -> np.ndarray:
            r = boxes[name]
            return (row >= r.top) & (row < r.bottom) & (column >= r.left) & (column < r.right)

        chosen = {
            "face": inside("face"), "mouth": inside("mouth"),
            "eyes": inside("left eye") | inside("right eye"),
        }  # fmt: skip
        core = cv2.erode(self.masks[i].astype(np.uint8), np.ones((2 * CORE_PX + 1,) * 2, np.uint8))
        return FramePixels(
            pixel=torch.from_numpy(pixel.astype(np.int32)),
            target=torch.from_numpy(self.pictures[i].reshape(-1, 3)[pixel]),
            background=torch.from_numpy(self.background.reshape(-1, 3)[pixel]),
            is_core=torch.from_numpy(core.astype(bool).reshape(-1)[pixel]),
            is_lower_face=torch.from_numpy(inside("face") & (row >= boxes["mouth"].top)),
            lips=boxes["lips"],
            regions={k: torch.from_numpy(np.flatnonzero(v)) for k, v in chosen.items()},
        )


def read_clip(folder: Path) -> Clip:
    """Read the fixture."""
    meta = json.loads((folder / "clip/meta.json").read_text())
    frames, camera = meta["frames"], np.array(meta["C"])
    intrinsics = Intrinsics(meta["f"], meta["f"], SIZE / 2, SIZE / 2)
    poses = np.stack([convert_pose(np.linalg.inv(np.array(f["H"])) @ camera) for f in frames])
    plate, torso = read_rgb(folder / "plate_bg.png"), read_rgba(folder / "torso_rgba.png")
    alpha = torso[:, :, 3:] / 255.0
    background = np.rint(plate * (1 - alpha) + torso[:, :, :3] * alpha).astype(np.uint8)
    pictures = [read_rgb(folder / f"clip/{i:03d}.png") for i in range(len(frames))]
    names = sorted({name for f in frames for name in f["w"]})
    mouth = [n for n in names if n not in EYE_UNITS and not n.startswith("eyeWide")]
    units = torch.tensor([[f["w"].get(n, 0.0) for n in mouth] for f in frames])
    spread = torch.randn(len(mouth), 512, generator=torch.Generator().manual_seed(0))
    features = torch.cat([torch.zeros(4, 512), torch.relu(units @ spread), torch.zeros(4, 512)])
    return Clip(
        pictures=pictures,
        background=background,
        masks=[_mask(picture, background, alpha[:, :, 0] > 0) for picture in pictures],
        boxes=[_boxes(pose, intrinsics) for pose in poses],
        poses=poses,
        intrinsics=intrinsics,
        windows=torch.stack([features[i : i + 8] for i in range(len(frames))]),
        eyes=torch.tensor([[f["w"].get(n, 0.0) for n in EYE_UNITS] for f in frames]),
    )


def _mask(picture: np.ndarray, background: np.ndarray, is_torso: np.ndarray) -> np.ndarray:
    """What differs from the picture without a head: the largest piece, its holes filled."""
    differs = np.abs(picture.astype(int) - background).max(axis=2) > np.where(is_torso, 10, 3)
    _, labels, sizes, _ = cv2.connectedComponentsWithStats(differs.astype(np.uint8))
    piece = (labels == 1 + sizes[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)
    contours, _ = cv2.findContours(piece, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(piece, contours, -1, 1, cv2.FILLED)).astype(bool)


def _boxes(pose: np.ndarray, camera: Intrinsics) -> dict[str, Rectangle]:
    boxes = {}
    for name, ((x, y, z), (half_width, half_height)) in BOXES.items():
        point = 4 * np.array([y, z, x])  # the field's axes
        u, v, depth = (point - pose[:3, 3]) @ pose[:3, :3]
        column = round(camera.fx * u / depth + camera.cx)
        row = round(camera.fy * v / depth + camera.cy)
        boxes[name] = Rectangle(row - half_height, row + half_height, column - half_width,
                                column + half_width)  # fmt: skip
    return boxes
