"""The exact painter in plain PyTorch: reference for the compiled kernels, and the fallback."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from avatar_worker.render.compositor import blend_into, over_background, quantise
from avatar_worker.render.errors import UnsupportedCharacterError
from avatar_worker.render.field import HeadField
from avatar_worker.render.head import HeadWeights
from avatar_worker.render.march import MAX_SAMPLES, Rays, Sums, composite, occupied_points
from avatar_worker.render.occupancy import GRID_SIZE, OccupancyGrid
from avatar_worker.render.rays import box_interval, ray_directions
from avatar_worker.render.scene import Frame, Scene
from avatar_worker.render.tiles import one_thread


class TorchPainter:
    """Draws heads on one device with PyTorch.

    Args:
        head: the character's tensors.
        device: `cpu` or `cuda`.
        dtype: of the small networks; float32 is exact.

    Raises:
        UnsupportedCharacterError: the occupancy grid is not the one of a box of half size 1.
    """

    max_batch = 1
    """It draws one after the other."""

    def __init__(
        self,
        head: HeadWeights,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._device = torch.device(device)
        if head.density_bitfield.numel() * 8 != GRID_SIZE**3:
            raise UnsupportedCharacterError("only heads with one occupancy cascade are drawn")
        self._field = HeadField(head, self._device, dtype)
        self._occupancy = OccupancyGrid(head.density_bitfield, self._device)
        self._aabb = head.aabb.to(self._device)

    @property
    def n_eye(self) -> int:
        """Length of the eye vector."""
        return self._field.n_eye

    def pictures(
        self, frames: Sequence[Frame], *, portrait: bool, cap: int | None
    ) -> list[UInt8[np.ndarray, "H W 3"]]:
        """See `renderer.HeadPainter`."""
        return [self._draw(frame, portrait=portrait, cap=cap) for frame in frames]

    def picture(
        self,
        scene: Scene,
        enc_a: Float[np.ndarray, "32"],
        eye: Float[np.ndarray, "n_eye"],
        *,
        portrait: bool,
        cap: int | None,
    ) -> UInt8[np.ndarray, "H W 3"]:
        """A single one."""
        return self.pictures([Frame(scene, enc_a, eye)], portrait=portrait, cap=cap)[0]

    def _draw(self, frame: Frame, *, portrait: bool, cap: int | None) -> UInt8[np.ndarray, "H W 3"]:
        pixels = self.drawn_pixels(frame.scene, portrait=portrait, cap=cap)
        sums = self.sums(*frame, pixels=pixels, cap=cap)
        return self.finish(frame.scene, sums, portrait=portrait, cap=cap)

    @staticmethod
    def drawn_pixels(
        scene: Scene, *, portrait: bool, cap: int | None
    ) -> Int[np.ndarray, "n"] | None:
        """Pixels that must be drawn: those a portrait shows, or None for all."""
        if not portrait or scene.original is None or scene.mask is None or cap is None:
            return None
        return np.flatnonzero(scene.mask)

    def finish(
        self, scene: Scene, sums: Sums, *, portrait: bool, cap: int | None
    ) -> UInt8[np.ndarray, "H W 3"]:
        """The picture, from the sums of the pixels that had to be drawn."""
        if not portrait or scene.original is None or scene.mask is None:
            image = self._over_scene(scene, sums)
            return quantise(image).cpu().numpy().reshape(scene.background.shape)
        shown = np.flatnonzero(scene.mask)
        there = slice(None) if cap is not None else torch.from_numpy(shown).to(self._device)
        background, original, mask = (
            torch.from_numpy(values).to(self._device)
            for values in (
                scene.background_levels.reshape(-1, 3)[shown],
                scene.original.reshape(-1, 3)[shown],
                scene.mask.reshape(-1)[shown],
            )
        )
        image = over_background(sums.rgb[there], sums.weight[there], background.float() / 255.0)
        blended = quantise(blend_into(image, original.float() / 255.0, mask))
        picture = scene.original.copy()
        picture.reshape(-1, 3)[shown] = blended.cpu().numpy()
        return picture

    def image(
        self,
        scene: Scene,
        enc_a: Float[np.ndarray, "32"],
        eye: Float[np.ndarray, "n_eye"],
        *,
        cap: int | None = None,
    ) -> Float[Tensor, "n 3"]:
        """Head over its background, in [0, 1], not yet quantised; n = H · W."""
        return self._over_scene(scene, self.sums(scene, enc_a, eye, cap=cap))

    def layer(
        self, scene: Scene, enc_a: Float[np.ndarray, "32"], eye: Float[np.ndarray, "n_eye"]
    ) -> Float[np.ndarray, "H W 4"]:
        """See `renderer.HeadPainter`."""
        sums = self.sums(scene, enc_a, eye)
        layer = torch.cat((sums.rgb, sums.weight[:, None]), dim=1)  # [n, 4]
        return layer.cpu().numpy().reshape(*scene.background.shape[:2], 4)

    def _over_scene(self, scene: Scene, sums: Sums) -> Float[Tensor, "n 3"]:
        background = torch.from_numpy(scene.background.reshape(-1, 3)).to(self._device)
        if background.dtype == torch.uint8:
            background = background.float() / 255.0
        return over_background(sums.rgb, sums.weight, background)

    @torch.inference_mode()
    def sums(
        self,
        scene: Scene,
        enc_a: Float[np.ndarray, "32"],
        eye: Float[np.ndarray, "n_eye"],
        *,
        pixels: Int[np.ndarray, "n"] | None = None,
        cap: int | None = None,
    ) -> Sums:
        """Everything that is accumulated along the rays.

        Raises:
            ValueError: a part of the picture is asked for without a cap.
        """
        if pixels is not None and cap is None:
            raise ValueError("the rule of the whole picture needs all pixels: give a cap")
        if cap is not None:
            cap = min(cap, MAX_SAMPLES)
        rays = self.rays(scene, pixels)
        audio = torch.from_numpy(enc_a).to(self._device)
        eye_vector = torch.from_numpy(eye).to(self._device)
        with one_thread():
            lattice = occupied_points(rays, self._occupancy)
            return composite(rays, lattice, self._field, audio, eye_vector, cap=cap)

    def rays(self, scene: Scene, pixels: Int[np.ndarray, "n"] | None = None) -> Rays:
        """Rays through the pixels asked for, or through all."""
        height, width = scene.background.shape[:2]
        pose = torch.from_numpy(np.ascontiguousarray(scene.pose)).to(self._device)
        if pixels is None:
            index = torch.arange(height * width, device=self._device)
        else:
            index = torch.from_numpy(pixels.astype(np.int64)).to(self._device)
        directions = ray_directions(pose, scene.intrinsics, width=width, pixels=index)
        origin = pose[:3, 3]
        near, far = box_interval(origin, directions, self._aabb)
        return Rays(origin, directions, near, far)
