"""A character's pictures for a sound, any frame of it: audio vector i at pose `mirror_index(i)`."""

import numpy as np
from numpy.typing import NDArray

from avatar_worker.audio.sequence import sound_features, vectors
from avatar_worker.character import load_bundle
from avatar_worker.commands.render import find_bundle
from avatar_worker.render.renderer import FrameRequest
from avatar_worker.render.scene import mirror_index
from tests.bench.spoken import Spoken


class DrawnSpeech:
    """Draws as the bundle says, with what the live path draws with.

    Args:
        character: see `find_bundle`.
        size: width and height of the pictures; None for the bundle's own.
        threads: to draw with.
        pose: scene of all frames; None for the loop.
    """

    def __init__(
        self, character: str, *, size: int | None = None, threads: int = 1, pose: int | None = None
    ) -> None:
        bundle = load_bundle(find_bundle(character), width=size, height=size)
        assert bundle.audio is not None, f"{character} has no head that listens"
        assert bundle.scenes is not None
        self.name = bundle.name
        self.size = (bundle.width, bundle.height)
        self._audio = bundle.audio
        self._n_scenes = bundle.scenes.n_scenes
        self._renderer = bundle.renderer(device="cpu", threads=threads)
        self._pose = pose
        self._vectors: list[NDArray[np.float32]] = []

    def hear(self, spoken: Spoken) -> None:
        """Take this sound from now on."""
        features = sound_features(self._audio.encoder, spoken.samples)
        self._vectors = list(vectors(self._audio.networks, features, self._audio.mode))

    def picture(self, frame: int) -> NDArray[np.uint8]:
        """One frame of it, RGB. [H, W, 3]"""
        vector = self._vectors[min(frame, len(self._vectors) - 1)]
        pose = mirror_index(frame, self._n_scenes) if self._pose is None else self._pose
        return self._renderer.render(FrameRequest(vector, pose))
