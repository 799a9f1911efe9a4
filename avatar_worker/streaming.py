"""A face for sound that is still arriving.

    inference = StreamingInference("data/May", "model/trial_may")
    for chunk in chunks:                                   # float32 mono 16 kHz, any length
        for picture in inference.process_audio_chunk(chunk): ...
    for picture in inference.flush(): ...

Picture k shows samples 640·k … 640·k + 639 and comes out at most 252.5 ms of sound after the
first of them (525 ms with HuBERT, see `audio.hubert`). The pictures do not depend on how the sound
was cut, and the cost of a picture and the memory do not grow with time.
"""

from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from avatar_worker.audio.errors import FeatureError
from avatar_worker.audio.features import AudioFeatureStream, AudioModel, AudioVector, Edges
from avatar_worker.audio.window import FRAME_RATE_HZ, AttentionMode
from avatar_worker.character import Character
from avatar_worker.render.data_folder import Split
from avatar_worker.render.errors import UnsupportedCharacterError
from avatar_worker.render.renderer import FrameRequest, Precision, Renderer
from avatar_worker.render.scene import SceneSource, mirror_index
from avatar_worker.trained import open_trained

Picture = NDArray[np.uint8]


class StreamingInference:
    """Draws one character to one stream of sound.

    Args:
        data_path: SyncTalk data folder.
        workspace: folder with `checkpoints/`.
        portrait: blend the head into the original frames.
        torso: draw the neural torso of the checkpoint; then there are no portraits.
        W: width of the pictures in pixels; camera and footage are scaled.
        H: height likewise.
        fps: 25; any other rate is refused.
        device: `auto`, `cpu` or `cuda`.
        precision: `fp32` for the exact pictures, `auto` for the fast path.
        split: frames of which split are the pose track.
        checkpoint: `latest`, `best` or a file.
        encoder: audio-visual encoder; None looks in and beside the data folder.
        hubert: file of a HuBERT model, ONNX or TorchScript, for heads that listen to one.
        attention: audio window mode of the head.
        edges: what lies around a segment, see `audio.features`. `file` gives the pictures of
            whole-file rendering, `silence` suits a conversation.
        fix_eye: hold brows and eyes at this value.

    Raises:
        RenderError: checkpoint, data folder or options are refused.
        AudioError: the audio encoder is absent or refused.
    """

    def __init__(
        self,
        data_path: str | Path,
        workspace: str | Path,
        *,
        portrait: bool = True,
        torso: bool = False,
        W: int = 512,
        H: int = 512,
        fps: int = 25,
        device: str = "auto",
        precision: Precision = "auto",
        split: Split = "val",
        checkpoint: str = "latest",
        encoder: str | Path | None = None,
        hubert: str | Path | None = None,
        attention: AttentionMode = 2,
        edges: Edges = "file",
        fix_eye: float | None = None,
    ) -> None:
        if fps != FRAME_RATE_HZ:
            raise UnsupportedCharacterError(
                f"{fps} frames a second are not possible: features and windows count 40 ms"
            )
        trained = open_trained(
            Path(data_path),
            Path(workspace),
            torso=torso,
            split=split,
            checkpoint=checkpoint,
            attention=attention,
        )
        audio = trained.audio_model(
            Path(encoder) if encoder else None, Path(hubert) if hubert else None
        )
        character = trained.character(
            portrait=portrait and not torso, width=W, height=H, audio=audio
        )
        self._begin(
            character, character.renderer(device=device, precision=precision), edges, fix_eye
        )

    @classmethod
    def from_character(
        cls,
        character: Character,
        *,
        renderer: Renderer | None = None,
        edges: Edges = "file",
        fix_eye: float | None = None,
    ) -> Self:
        """Draw a loaded character, with a renderer that may be shared."""
        inference = cls.__new__(cls)
        inference._begin(  # noqa: SLF001 – our own
            character, renderer or character.renderer(), edges, fix_eye
        )
        return inference

    def _begin(
        self, character: Character, renderer: Renderer, edges: Edges, fix_eye: float | None
    ) -> None:
        self._audio, self._scenes = parts_of(character)
        self._renderer = renderer
        self._edges = edges
        self._eye = None if fix_eye is None else np.array([fix_eye], np.float32)
        self._stream = AudioFeatureStream(self._audio, edges)
        self._n_drawn = 0

    @property
    def n_drawn(self) -> int:
        """Pictures drawn since the last reset; the pose track goes on over segments."""
        return self._n_drawn

    def process_audio_chunk(self, chunk: NDArray[np.float32]) -> list[Picture]:
        """Take samples of any number (1280 = two pictures); return the pictures now certain.

        Raises:
            FeatureError: not float32 mono samples.
        """
        chunk = np.asarray(chunk)
        if chunk.ndim != 1 or chunk.dtype != np.float32:
            raise FeatureError(
                f"a chunk is {chunk.dtype} {chunk.shape}; expected float32 [n], 16 kHz mono"
            )
        return [self._draw(vector) for vector in self._stream.push(chunk)]

    def flush(self) -> list[Picture]:
        """The segment is over: its last pictures. The next chunk begins another segment."""
        pictures = [self._draw(vector) for vector in self._stream.flush()]
        self._stream = AudioFeatureStream(self._audio, self._edges)
        return pictures

    def reset_streaming_buffers(self) -> None:
        """Forget everything: the sound that waits and the place in the pose track."""
        self._stream = AudioFeatureStream(self._audio, self._edges)
        self._n_drawn = 0

    def _draw(self, vector: AudioVector) -> Picture:
        pose_index = mirror_index(self._n_drawn, self._scenes.n_scenes)
        self._n_drawn += 1
        return self._renderer.render(FrameRequest(vector, pose_index, self._eye))


def parts_of(character: Character) -> tuple[AudioModel, SceneSource]:
    """Audio model and scenes of a character that has both.

    Raises:
        UnsupportedCharacterError: it has not.
    """
    if character.audio is None or character.scenes is None:
        raise UnsupportedCharacterError(f"character {character.name} cannot be driven by sound")
    return character.audio, character.scenes
