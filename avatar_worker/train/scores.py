"""How good a head is on frames that it was not trained on."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from avatar_worker.render.data_folder import Footage, FootageScenes
from avatar_worker.render.head import HeadWeights
from avatar_worker.render.kernels import Camera, PackedHead, load_kernel, order_pixels
from avatar_worker.render.pictures import read_rgb
from avatar_worker.render.renderer import FrameRequest, Renderer
from avatar_worker.render.scene import Scene
from avatar_worker.render.twin import TorchPainter
from avatar_worker.train.footage import Rectangle, face_rectangles, read_landmarks

MAX_FRAMES: Final = 5
PARTS: Final = ("face", "mouth")


@dataclass(frozen=True, slots=True)
class Scores:
    """Means over the frames looked at.

    Attributes:
        picture_db: PSNR of whole pictures, 8 bits a colour.
        face_db: PSNR of the rectangle around the landmarks.
        mouth_db: PSNR around the lips.
        used_samples: composited samples of a picture, what drawing costs; 0 where unknown.
    """

    picture_db: float
    face_db: float
    mouth_db: float
    used_samples: int

    def __str__(self) -> str:
        used = f", {self.used_samples / 1000:.0f} k samples a picture" if self.used_samples else ""
        return (
            f"held-out face {self.face_db:.2f} dB, mouth {self.mouth_db:.2f} dB, "
            f"picture {self.picture_db:.2f} dB{used}"
        )


class HeldOut:
    """Frames of the val split, spread over it.

    Args:
        footage: the split.
        windows: audio features that each of its frames sees. [n, 8, 512]
        threads: to draw with.
    """

    def __init__(self, footage: Footage, windows: Float[Tensor, "n 8 512"], threads: int) -> None:
        n = len(footage.image_ids)
        self._chosen = sorted({round(k) for k in np.linspace(0, n - 1, min(n, MAX_FRAMES))})
        self._scenes = FootageScenes(footage, portrait=False)
        self.windows: Final = windows[self._chosen]
        self._threads = threads
        self._kernel = load_kernel()
        self._truth = []
        for index in self._chosen:
            image_id = footage.image_ids[index]
            target = read_rgb(footage.folder / f"gt_imgs/{image_id}.jpg")
            landmarks = read_landmarks(footage.folder / f"ori_imgs/{image_id}.lms")
            self._truth.append((target, face_rectangles(landmarks, *target.shape[1::-1])))

    def score(self, head: HeadWeights, audio: Float[Tensor, "n 32"]) -> Scores:
        """Draw the frames and compare.

        Args:
            head: as drawing knows it.
            audio: what is said in each frame of `windows`.
        """
        packed = self._kernel.pack(head) if self._kernel else None
        errors: dict[str, list[float]] = {"picture": [], "face": [], "mouth": []}
        used = 0
        for index, enc_a, (target, rectangles) in zip(
            self._chosen, audio.numpy(), self._truth, strict=True
        ):
            drawn, n_used = self._draw(packed, head, self._scenes.scene(index), enc_a)
            used += n_used
            errors["picture"].append(psnr_db(drawn, target))
            for part in PARTS:
                where = rectangles[part]
                errors[part].append(psnr_db(_cut(drawn, where), _cut(target, where)))
        means = {name: float(np.mean(values)) for name, values in errors.items()}
        return Scores(means["picture"], means["face"], means["mouth"], used // len(self._chosen))

    def _draw(
        self, packed: PackedHead | None, head: HeadWeights, scene: Scene,
        enc_a: Float[np.ndarray, "32"],
    ) -> tuple[UInt8[np.ndarray, "H W 3"], int]:  # fmt: skip
        enc_a = np.ascontiguousarray(enc_a)
        if packed is None:
            renderer = Renderer(TorchPainter(head), None, portrait=False)
            with torch.inference_mode():
                return renderer.render(FrameRequest(enc_a, scene=scene)), 0
        height, width = scene.background.shape[:2]
        out = np.empty_like(scene.background)
        counts = packed.paint(
            Camera(scene.pose, scene.intrinsics, height, width), enc_a, scene.eye,
            background=scene.background, out=out, pixels=order_pixels(height, width),
            threads=self._threads,
        )  # fmt: skip
        return out, counts.used


def psnr_db(first: UInt8[np.ndarray, "..."], second: UInt8[np.ndarray, "..."]) -> float:
    """Peak signal-to-noise ratio of 8-bit pictures; at most 100."""
    error = np.mean((first.astype(np.float64) - second) ** 2) / 255.0**2
    return float(-10 * np.log10(max(error, 1e-10)))


def _cut(picture: UInt8[np.ndarray, "H W 3"], r: Rectangle) -> UInt8[np.ndarray, "h w 3"]:
    return picture[r.top : r.bottom, r.left : r.right]
