"""The engine `synctalk`: our renderer, driven by sound.

The head is drawn for one audio vector per picture. Between utterances that is the vector of
lasting silence, likewise where a segment holds nothing louder than a room, and around speech the
two are blended. Pose, gaze and blinks follow the character's own track all the time, back and
forth (`idle_walk`), as the session's options want them (`expression`); how pictures
are put together they may say too (`render.style`).
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final
from weakref import WeakValueDictionary

import numpy as np
import soxr
from numpy.typing import NDArray

from avatar_contracts.audio import FRAME_SAMPLES, SAMPLE_RATE_HZ
from avatar_worker.audio.errors import AudioError
from avatar_worker.audio.features import AudioFeatureStream, AudioModel
from avatar_worker.audio.gate import NoiseGate
from avatar_worker.audio.mel import SAMPLE_RATE_HZ as HEARD_RATE_HZ
from avatar_worker.character import BundleError, BundleScenes, Character
from avatar_worker.engines.base import (
    EngineError,
    Face,
    FrameRequest,
    OptionError,
    Rgb,
    Samples,
)
from avatar_worker.engines.expression import Expression, ExpressionOptions
from avatar_worker.engines.idle_walk import IdleWalk
from avatar_worker.render.errors import RenderError
from avatar_worker.render.motion import head_speed, scene_between
from avatar_worker.render.painters import choose_device
from avatar_worker.render.renderer import FrameRequest as RenderRequest
from avatar_worker.render.scene import SceneSource, track_of
from avatar_worker.render.style import Style
from avatar_worker.streaming import parts_of

NETWORKS_BYTES: Final = 35 * 10**6
"""Head, as read and as packed, and ears: measured, Mira's resident memory without pictures, and a
finer grid of 2 MB."""
OPTIONS: Final = frozenset(
    (
        "background",
        "blend_width",
        "blend_feather",
        *(field.name for field in fields(ExpressionOptions)),
    )
)
"""What a session may ask for; `[options]` of a bundle say more of how it was made."""
_RESAMPLING: Final = "HQ"
"""As for whole files, so that both give the same pictures."""


class SyncTalkHearing:
    """One segment's audio vectors, one per picture; at rest where there is only room noise."""

    def __init__(self, audio: AudioModel) -> None:
        self.vectors: list[NDArray[np.float32]] = []
        self._rest = audio.silence()
        self._features = AudioFeatureStream(audio, "silence")
        self._gate = NoiseGate(FRAME_SAMPLES)
        self._resampler = soxr.ResampleStream(
            SAMPLE_RATE_HZ, HEARD_RATE_HZ, 1, dtype="float32", quality=_RESAMPLING
        )

    @property
    def frames(self) -> int:
        return len(self.vectors)

    def push(self, samples: Samples) -> None:
        self._gate.push(samples)
        self._add(self._features.push(self._resampler.resample_chunk(samples)))

    def finish(self) -> None:
        self._gate.finish()
        self._add(
            self._features.push(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        )
        self._add(self._features.flush())

    def _add(self, vectors: list[NDArray[np.float32]]) -> None:
        for vector in vectors:
            opening = np.float32(self._gate.opening(len(self.vectors)))
            is_open = opening == 1.0
            self.vectors.append(vector if is_open else self._rest + opening * (vector - self._rest))


class SyncTalkFace:
    """One session: access to the character's ears, how its brows and lids are to move, and the
    scenes it is drawn into."""

    def __init__(self, audio: AudioModel, expression: Expression, scenes: SceneSource) -> None:
        self.expression = expression
        self.scenes = scenes
        self._audio = audio

    def listen(self) -> SyncTalkHearing:
        return SyncTalkHearing(self._audio)


class SyncTalkEngine:
    """A loaded SyncTalk character.

    Args:
        character: from a bundle or a data folder.
        device: `auto`, `cpu` or `cuda`.
        threads: that draw one picture together.

    Raises:
        EngineError: the character cannot be drawn here.
    """

    name = "synctalk"

    def __init__(self, character: Character, *, device: str, threads: int) -> None:
        try:
            audio, scenes = parts_of(character)
            self._scenes = scenes
            self._track = track_of(scenes)
            self._walk = IdleWalk(head_speed(self._track.poses))
            self._renderer = character.renderer(device=device, threads=threads)
            self._audio = audio.on(choose_device(device))
            self._rest = self._audio.silence()
        except (RenderError, AudioError) as error:
            raise EngineError(str(error)) from error
        self._character = character
        self._options = character.options
        self._styled: WeakValueDictionary[Style, SceneSource] = WeakValueDictionary()
        try:  # refused when the character is loaded, not later
            ExpressionOptions.of(self._options)
        except OptionError as error:
            raise EngineError(f"character {character.name}: {error}") from error

    @property
    def max_batch(self) -> int:
        return self._renderer.max_batch

    @property
    def size_bytes(self) -> int:
        pictures = self._scenes.size_bytes if isinstance(self._scenes, BundleScenes) else 0
        return NETWORKS_BYTES + pictures * 9 // 8  # each with its pixels in drawing order

    def open(self, options: dict[str, Any]) -> SyncTalkFace:
        """See `engines.base`.

        Raises:
            OptionError: an option of `expression` cannot be, or there is none of this name.
        """
        if unknown := sorted(set(options) - OPTIONS):
            raise OptionError(
                f"there is no option {unknown[0]!r}; expected {', '.join(sorted(OPTIONS))}"
            )
        wanted = {**self._options, **options}
        try:
            scenes = self._scenes_in(Style.of(wanted, portrait=self._character.portrait))
        except (RenderError, BundleError) as error:
            raise OptionError(str(error)) from error
        expression = Expression(self._track.eyes, ExpressionOptions.of(wanted))
        return SyncTalkFace(self._audio, expression, scenes)

    def _scenes_in(self, style: Style) -> SceneSource:
        """One for all sessions that want the same; forgotten with the last of them."""
        scenes = self._styled.get(style)
        if scenes is None:
            scenes = self._styled[style] = self._character.styled(style)
        return scenes

    def draw(self, wanted: Sequence[tuple[Face, FrameRequest]]) -> list[Rgb]:
        try:
            return self._renderer.render_all([self._request(face, one) for face, one in wanted])
        except (RenderError, BundleError) as error:
            raise EngineError(str(error)) from error

    def close(self) -> None:
        return

    def _request(self, face: Face, request: FrameRequest) -> RenderRequest:
        vector = self._rest
        if isinstance(request.hearing, SyncTalkHearing) and request.hearing.vectors:
            spoken = request.hearing.vectors[min(request.frame, request.hearing.frames - 1)]
            vector = self._rest + np.float32(request.weight) * (spoken - self._rest)
        at = self._walk(request.slot)
        assert isinstance(face, SyncTalkFace), "a face of another engine"
        scene = face.scenes.scene(at.index)
        if at.share:
            scene = scene_between(scene, face.scenes.scene(at.index + 1), at.share)
        return RenderRequest(vector, at.index, face.expression(request.slot, at), scene)
