"""The public door: a frame request in, a picture out.

    renderer = Renderer(head, scenes, portrait=True)
    picture = renderer.render(FrameRequest(enc_a=vector, pose_index=17))   # uint8 [H, W, 3]

A renderer holds a character's tables and no state between frames; one serves any number of
sessions and threads. What draws the head itself is a `HeadPainter`: the PyTorch twin
(`twin.TorchPainter`, exact) or the compiled kernel (`kernels`, live precision).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np
from jaxtyping import Float, UInt8

from avatar_worker.render.backdrop import cut_out, no_portrait, torso_of
from avatar_worker.render.errors import FrameRequestError
from avatar_worker.render.head import AUDIO_DIM
from avatar_worker.render.scene import Frame, Scene, SceneSource

Precision = Literal["auto", "fp32", "fp16", "bf16"]
"""fp32: the exact twin. bf16, fp16: the fast path. auto: the fast path where there is one."""

PORTRAIT_CAP: Final = 20
"""Samples a ray may have when only the mask's pixels are drawn and the rule of the whole picture
cannot be known: ≥ 48.9 dB against it on the worst of four foggy frames."""


@dataclass(frozen=True, slots=True)
class FrameRequest:
    """One picture wanted.

    Attributes:
        enc_a: what is said, from `audio.features`. float32 [32]
        pose_index: scene of the character (see `scene.mirror_index`).
        eye: brows and blinks instead of the scene's own; one number is used for all. [n_eye]
        scene: camera and pictures instead of the character's own; then `pose_index` is unused.
    """

    enc_a: Float[np.ndarray, "32"]
    pose_index: int = 0
    eye: Float[np.ndarray, "n"] | None = None
    scene: Scene | None = None


class HeadPainter(Protocol):
    """Draws pictures of one character; safe to use from several threads."""

    @property
    def n_eye(self) -> int:
        """Length of the eye vector."""

    @property
    def max_batch(self) -> int:
        """How many pictures are worth drawing in one call."""

    def pictures(
        self, frames: Sequence[Frame], *, portrait: bool, cap: int | None
    ) -> list[UInt8[np.ndarray, "H W 3"]]:
        """The finished pictures, RGB, in order; none depends on what is drawn beside it.

        Args:
            frames: what to draw.
            portrait: blend the head into the original frame with its mask.
            cap: samples a ray may have; None for the rule of the whole picture.
        """

    def layer(
        self, scene: Scene, enc_a: Float[np.ndarray, "32"], eye: Float[np.ndarray, "n_eye"]
    ) -> Float[np.ndarray, "H W 4"]:
        """The head before nothing, by the rule of the whole picture: colour · opacity, opacity."""


class Renderer:
    """Draws whole pictures of one character.

    Args:
        painter: draws the head.
        scenes: cameras and pictures; None if every request brings its own.
        portrait: blend the head into the original frame with its mask.
        cap: samples a ray may have. None means the rule of the whole picture: exact, and in
            portraits it costs drawing the parts that nobody sees. A number (`PORTRAIT_CAP`)
            draws only what the mask shows.
    """

    def __init__(
        self,
        painter: HeadPainter,
        scenes: SceneSource | None,
        *,
        portrait: bool,
        cap: int | None = None,
    ) -> None:
        self._painter = painter
        self._scenes = scenes
        self._portrait = portrait
        self._cap = cap

    @property
    def portrait(self) -> bool:
        """Whether pictures are blended into the original frames."""
        return self._portrait

    @property
    def max_batch(self) -> int:
        """How many pictures are worth drawing in one call."""
        return self._painter.max_batch

    def render(self, request: FrameRequest) -> UInt8[np.ndarray, "H W 3"]:
        """Draw one picture, RGB.

        Raises:
            FrameRequestError: no such scene, or vectors of the wrong length.
        """
        return self.render_all([request])[0]

    def render_all(self, requests: Sequence[FrameRequest]) -> list[UInt8[np.ndarray, "H W 3"]]:
        """Draw several pictures, in order; each is what it would be alone.

        Raises:
            FrameRequestError: as in `render`, for any of them.
        """
        frames = [self._frame(request) for request in requests]
        return self._painter.pictures(frames, portrait=self._portrait, cap=self._cap)

    def _frame(self, request: FrameRequest) -> Frame:
        scene = self._scene(request)
        if self._portrait and (scene.original is None or scene.mask is None):
            raise FrameRequestError("a portrait needs a scene with original and mask")
        return Frame(scene, self._enc_a(request), self._eye(request, scene))

    def render_cut_out(self, request: FrameRequest) -> UInt8[np.ndarray, "H W 4"]:
        """Draw head and torso alone, RGBA: what is behind them is transparent.

        Raises:
            FrameRequestError: see `render`; a request's own scene has no torso of its own.
            UnsupportedCharacterError: portraits, and scenes that do not know their torso alone.
        """
        if self._portrait:
            raise no_portrait("a transparent background")
        if request.scene is not None:
            raise FrameRequestError("a scene of the request does not say what is its torso")
        head = self._painter.layer(*self._frame(request))
        return cut_out(head, torso_of(self._scenes, request.pose_index))

    @staticmethod
    def _enc_a(request: FrameRequest) -> Float[np.ndarray, "32"]:
        enc_a = np.ascontiguousarray(request.enc_a, dtype=np.float32)
        if enc_a.shape != (AUDIO_DIM,) or not np.isfinite(enc_a).all():
            raise FrameRequestError(
                f"enc_a has shape {enc_a.shape}; expected {AUDIO_DIM} finite numbers"
            )
        return enc_a

    def _scene(self, frame: FrameRequest) -> Scene:
        if frame.scene is not None:
            return frame.scene
        if self._scenes is None:
            raise FrameRequestError("this renderer has no scenes; the request must bring one")
        if not 0 <= frame.pose_index < self._scenes.n_scenes:
            raise FrameRequestError(
                f"pose {frame.pose_index} does not exist; there are {self._scenes.n_scenes}"
            )
        return self._scenes.scene(frame.pose_index)

    def _eye(self, frame: FrameRequest, scene: Scene) -> Float[np.ndarray, "n_eye"]:
        eye = np.asarray(scene.eye if frame.eye is None else frame.eye, dtype=np.float32)
        n_eye = self._painter.n_eye
        if eye.size == 1:
            eye = np.full(n_eye, eye.item(), np.float32)
        if eye.shape != (n_eye,) or not np.isfinite(eye).all():
            raise FrameRequestError(
                f"eye vector has shape {eye.shape}; expected {n_eye} finite numbers"
            )
        return np.ascontiguousarray(eye)
