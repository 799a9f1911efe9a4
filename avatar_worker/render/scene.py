"""One moment of the footage that a frame is drawn into: camera, eyes and pictures.

A character has as many scenes as its pose track has entries. Output frame i uses scene
`mirror_index(i, n_scenes)`: the track runs forth and back, end scenes twice at each turn.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Final, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from avatar_worker.render.rays import Intrinsics

SCENE_CACHE_BYTES: Final = 512 * 1024**2
"""Pictures kept per character: about 290 portrait scenes of 512 × 512."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Scene:
    """What is around the head at one pose; two scenes are equal only if they are the same one.

    Attributes:
        pose: camera to world in the field's axes (see `rays.convert_pose`). float32 [4, 4]
        intrinsics: for pictures of this size, in pixels.
        eye: brows and blinks of the footage at this pose. float32 [n_eye]
        background: what shows behind the head, RGB; float32 in [0, 1] where it was drawn and
            not read, and eight bits would show in the result. [H, W, 3]
        original: the frame of the footage, RGB; None unless portraits are drawn. [H, W, 3]
        mask: share of the drawn picture in a portrait, 255 = all; None like `original`. [H, W]
    """

    pose: Float[np.ndarray, "4 4"]
    intrinsics: Intrinsics
    eye: Float[np.ndarray, "n_eye"]
    background: UInt8[np.ndarray, "H W 3"] | Float[np.ndarray, "H W 3"]
    original: UInt8[np.ndarray, "H W 3"] | None = None
    mask: UInt8[np.ndarray, "H W"] | None = None

    @property
    def background_levels(self) -> UInt8[np.ndarray, "H W 3"]:
        """The background in eight bits, whatever it is stored in."""
        if self.background.dtype == np.uint8:
            return self.background
        return np.rint(self.background.clip(0.0, 1.0) * 255.0).astype(np.uint8)

    @property
    def size_bytes(self) -> int:
        """Memory of the pictures."""
        pictures = (self.background, self.original, self.mask)
        return sum(picture.nbytes for picture in pictures if picture is not None)


class Frame(NamedTuple):
    """One picture wanted of a head.

    Attributes:
        scene: camera and pictures, with original and mask for portraits.
        enc_a: what is said. float32 [32]
        eye: brows and blinks. float32 [n_eye]
    """

    scene: Scene
    enc_a: Float[np.ndarray, "32"]
    eye: Float[np.ndarray, "n_eye"]


class SceneSource(Protocol):
    """Scenes by number; all of one size. Safe to ask from several threads."""

    @property
    def n_scenes(self) -> int:
        """Length of the pose track."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of every scene, in pixels."""

    def scene(self, index: int) -> Scene:
        """Scene number `index`, 0 ≤ index < n_scenes."""


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """What is known of all scenes without their pictures.

    Attributes:
        poses: see `Scene`. float32 [n, 4, 4]
        eyes: see `Scene`. float32 [n, n_eye]
    """

    poses: Float[np.ndarray, "n 4 4"]
    eyes: Float[np.ndarray, "n n_eye"]


@runtime_checkable
class TrackedScenes(Protocol):
    """Scenes that know their track."""

    @property
    def track(self) -> Track:
        """Poses and eyes of every scene."""


def track_of(scenes: SceneSource) -> Track:
    """The track of scenes; where they do not know it, every one of them is loaded."""
    if isinstance(scenes, TrackedScenes):
        return scenes.track
    loaded = [scenes.scene(index) for index in range(scenes.n_scenes)]
    return Track(np.stack([s.pose for s in loaded]), np.stack([s.eye for s in loaded]))


def mirror_index(frame_index: int, n_scenes: int) -> int:
    """Scene of an output frame: 0 … n−1, n−1 … 0, 0 … n−1, and so on."""
    turn, rest = divmod(frame_index, n_scenes)
    return rest if turn % 2 == 0 else n_scenes - 1 - rest


class SceneCache:
    """Keeps the scenes used last, up to a number of bytes.

    Args:
        load: makes scene `index`; may be called twice for one index by two threads at once.
        max_bytes: memory of the pictures kept; one scene is always kept.
    """

    def __init__(self, load: Callable[[int], Scene], max_bytes: int) -> None:
        self._load = load
        self._max_bytes = max_bytes
        self._scenes: OrderedDict[int, Scene] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    @property
    def size_bytes(self) -> int:
        """Memory of the pictures kept now."""
        return self._bytes

    def __call__(self, index: int) -> Scene:
        """Scene `index`, from memory if it was used lately."""
        with self._lock:
            if index in self._scenes:
                self._scenes.move_to_end(index)
                return self._scenes[index]
        scene = self._load(index)
        with self._lock:
            if index not in self._scenes:
                self._scenes[index] = scene
                self._bytes += scene.size_bytes
            while self._bytes > self._max_bytes and len(self._scenes) > 1:
                _, dropped = self._scenes.popitem(last=False)
                self._bytes -= dropped.size_bytes
        return scene


class MadeScenes:
    """Scenes made from others, each when it is first asked for.

    Args:
        scenes: as many, and as large.
        make: makes scene `index`. No method of whoever holds these scenes: a cycle would keep the
            pictures when nobody wants them any more.
        cache_bytes: memory for scenes that were used lately.
    """

    def __init__(self, scenes: SceneSource, make: Callable[[int], Scene], cache_bytes: int) -> None:
        self._scenes = scenes
        self._cache = SceneCache(make, cache_bytes)

    @property
    def n_scenes(self) -> int:
        """Length of the pose track."""
        return self._scenes.n_scenes

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self._scenes.size

    def scene(self, index: int) -> Scene:
        """Scene `index`."""
        return self._cache(index)
