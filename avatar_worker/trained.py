"""A character straight from training: data folder and workspace, no bundle between.

Used by `render`, by `import`, and by whoever points the settings at a trained SyncTalk model.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from avatar_worker.audio.encoder import AveEncoder
from avatar_worker.audio.errors import AudioError, EncoderError, FeatureError
from avatar_worker.audio.features import AudioModel, AudioVector, Encoder
from avatar_worker.audio.hubert import fitting_hubert
from avatar_worker.audio.pooling import WINDOW_FEATURES, AudioNetworks
from avatar_worker.audio.sequence import read_features, sound_features, vectors
from avatar_worker.audio.sound import read_sound
from avatar_worker.audio.window import AttentionMode
from avatar_worker.character import Character
from avatar_worker.plain_files import read_plain
from avatar_worker.render.checkpoint import Checkpoint, find_checkpoint, read_checkpoint
from avatar_worker.render.data_folder import Footage, FootageScenes, Split, read_split
from avatar_worker.render.errors import (
    CheckpointContentError,
    DataFolderError,
    RenderError,
    UnsupportedCharacterError,
)
from avatar_worker.render.finer_grid import (
    LEAST_EMPTY,
    FinerGrid,
    Moment,
    choose_moments,
    find_empty,
)
from avatar_worker.render.motion import offset_cameras
from avatar_worker.render.painters import kernel
from avatar_worker.render.scene import SCENE_CACHE_BYTES
from avatar_worker.render.torch_file import load_tensors
from avatar_worker.render.torso import TorsoField

ENCODER_FILE: Final = "audio_visual_encoder.pth"
FEATURE_FILES: Final = {
    "deepspeech": "aud_ds.npy",
    "hubert": "aud_hu.npy",
    "esperanto": "aud_eo.npy",
    "other": "aud.npy",
}
"""Where a data folder keeps the features of its own sound, if they are not computed from it."""

MAX_ENCODER_BYTES: Final = 256 * 1024**2
"""Ours has 5.6 MB, the original's 11 MB in single precision."""

MOST_HEARD: Final = 5000
"""Frames of its own sound that say what a character can say: 200 s, half a minute of encoding."""

FURTHER: Final = 1.5
"""Other voices may take the mouth further from rest than its own: by so much. Without, three of 48
pictures of a voice never heard had up to 60 pixels that differed by more than 1, with 1.25 one
picture had two, with 1.5 none had any; 3 % fewer samples are spared."""

MAX_OFFSET: Final = 1e4
"""Degrees or units that training can have moved a camera by; more cannot be."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainedFolder:
    """A checkpoint and the footage it belongs to.

    Attributes:
        checkpoint: the head, checked.
        footage: frames of the chosen split.
        networks: the head's audio networks.
        mode: audio window mode.
        torso: what draws neck and shoulders; None for the pictures of the folder.
    """

    checkpoint: Checkpoint
    footage: Footage
    networks: AudioNetworks
    mode: AttentionMode
    torso: TorsoField | None = None

    def encoder(self, path: Path | None, hubert: Path | None = None) -> Encoder:
        """What the head listens with.

        Args:
            path: the audio-visual encoder's file, for checkpoints that do not hold theirs; None
                for one of the usual places.
            hubert: the file of a HuBERT model, for heads that listen to one.

        Raises:
            FeatureError: the head listens to features of another kind.
            EncoderError: there is no such file, or it is refused.
        """
        kind = self.checkpoint.flavour.audio
        if hubert is not None and kind != "hubert":
            raise FeatureError(f"{self.checkpoint.path} listens to {kind} features, not hubert")
        if kind == "hubert" and hubert is not None:
            return fitting_hubert(hubert, self.networks)
        if kind == "hubert":
            raise FeatureError(
                f"{self.checkpoint.path} listens to hubert features: give --features, or the file "
                "of a HuBERT model with --hubert"
            )
        if kind != "ave":
            raise FeatureError(
                f"{self.checkpoint.path} listens to {kind} features, "
                "which are read from a file: give --features"
            )
        return self.ave_encoder(path)

    def ave_encoder(self, given: Path | None) -> AveEncoder:
        """The encoder that the checkpoint holds, since it was trained with that one and no other.

        Else that of the file given, else `audio_visual_encoder.pth` in or beside data or workspace.

        Raises:
            EncoderError: there is none, or it is refused.
            RenderError: its file cannot be read safely.
        """
        if not self.checkpoint.encoder:
            return AveEncoder(read_encoder(self._encoder_file(given)))
        own = AveEncoder(self.checkpoint.encoder)
        if given is not None and not own.hears_like(AveEncoder(read_encoder(given))):
            log.warning(
                "%s is another audio encoder than the one that %s was trained with and holds; "
                "the latter is used", given, self.checkpoint.path,
            )  # fmt: skip
        return own

    def _encoder_file(self, given: Path | None) -> Path:
        data, checkpoints = self.footage.folder, self.checkpoint.path.parent
        near = (data, data.parent, checkpoints, checkpoints.parent, checkpoints.parent.parent)
        candidates = [given] if given else [folder / ENCODER_FILE for folder in near]
        for candidate in candidates:
            if candidate.is_file():
                return candidate
        raise EncoderError(
            f"no audio encoder: {candidates[0]} is expected, or another file named with --ave"
        )

    def audio_model(self, encoder: Path | None, hubert: Path | None = None) -> AudioModel:
        """Encoder and networks together, for the live path; see `encoder`."""
        return AudioModel(self.encoder(encoder, hubert), self.networks, self.mode)

    def own_features(self, encoder: Path | None, hubert: Path | None = None) -> Sequence[Tensor]:
        """Features of the footage's own sound, one for each frame of the split.

        A frame beyond the sound's end takes the last feature.
        """
        kind = self.checkpoint.flavour.audio
        if kind == "ave" or hubert is not None:
            sound = read_sound(self.footage.folder / "aud.wav")
            features = sound_features(self.encoder(encoder, hubert), sound.mono())
        else:
            features = read_features(self.footage.folder / FEATURE_FILES[kind], self.networks)
        return [features[min(number, len(features) - 1)] for number in self.footage.audio_ids]

    def unheard(self) -> AudioVector:
        """What features of zeros say: the mouth at rest where there is no sound to be silent."""
        n = WINDOW_FEATURES if self.networks.has_attention else 1
        return self.networks.pool([self.networks.absent()] * n).numpy()

    def moments(self, audio: AudioModel | None) -> list[Moment]:
        """What the character does in its footage and could do: for `finer_grid.find_empty`.

        Its own sound, the first minutes of it, as it is heard and `FURTHER` from rest, and silence;
        brows and eyes of all frames that the head was trained on, whatever part of them is played.

        Args:
            audio: what it listens with; None for the folder's own features.

        Raises:
            AudioError: the sound or its features are absent or refused.
        """
        heard: Sequence[Tensor]
        if audio is not None:
            sound = read_sound(self.footage.folder / "aud.wav")
            rest, heard = audio.silence(), sound_features(audio.encoder, sound.mono())
        else:
            features = FEATURE_FILES[self.checkpoint.flavour.audio]
            heard = read_features(self.footage.folder / features, self.networks)
            rest = self.unheard()
        said = np.stack([rest, *islice(vectors(self.networks, heard, self.mode), MOST_HEARD)])
        eyes = self.footage.eyes
        with suppress(DataFolderError):
            eye = self.checkpoint.flavour.eye
            eyes = np.concatenate((eyes, read_split(self.footage.folder, "train", eye).eyes))
        return choose_moments(np.concatenate((said, rest + FURTHER * (said - rest))), eyes)

    def finer_grid(self, audio: AudioModel | None) -> FinerGrid | None:
        """Which samples the compiled kernel may spare; None, and the log says why, if none.

        Args:
            audio: as in `moments`.
        """
        compiled = kernel()
        if compiled is None:
            log.warning("no finer grid: it is made with the compiled kernel")
            return None
        try:
            head, moments = self.checkpoint.head(), self.moments(audio)
            grid = find_empty(head, compiled.pack(head), moments)
        except (AudioError, RenderError) as error:
            log.warning("no finer grid: %s", error)
            return None
        if grid.filled_share > 1 - LEAST_EMPTY:
            log.info("no finer grid: %.1f %% of it would be filled", 100 * grid.filled_share)
            return None
        return grid

    def scenes(
        self,
        *,
        portrait: bool,
        width: int | None = None,
        height: int | None = None,
        background: str | None = None,
        cache_bytes: int = SCENE_CACHE_BYTES,
    ) -> FootageScenes:
        """Cameras and pictures of the footage, with the torso if there is one."""
        if portrait and self.torso is not None:
            raise UnsupportedCharacterError(
                "a portrait shows the neck of the footage: leave out torso or portrait"
            )
        return FootageScenes(
            self.footage,
            portrait=portrait,
            width=width,
            height=height,
            background=background,
            torso=self.torso,
            cache_bytes=cache_bytes,
        )

    def character(
        self,
        *,
        portrait: bool,
        width: int | None = None,
        height: int | None = None,
        background: str | None = None,
        audio: AudioModel | None = None,
        finer: FinerGrid | None = None,
        name: str = "default",
    ) -> Character:
        """The character, its pictures read from the data folder as they are needed.

        Raises:
            UnsupportedCharacterError: a portrait with a neural torso, which would not be seen.
        """
        scenes = self.scenes(portrait=portrait, width=width, height=height, background=background)
        flavour = self.checkpoint.flavour
        return Character(
            name=name,
            engine="synctalk",
            width=scenes.size[0],
            height=scenes.size[1],
            options={"portrait": portrait, "eye": flavour.eye, "attention": self.mode},
            head=self.checkpoint.head(),
            audio=audio,
            scenes=scenes,
            portrait=portrait,
            finer=finer,
        )


def open_trained(
    data: Path,
    workspace: Path,
    *,
    torso: bool = False,
    split: Split = "val",
    checkpoint: str = "latest",
    attention: AttentionMode = 2,
    part: tuple[int, int | None] = (0, None),
) -> TrainedFolder:
    """Read a checkpoint and the small files of its data folder.

    Args:
        data: data folder.
        workspace: folder with `checkpoints/`.
        torso: draw the neural torso of the checkpoint.
        split: whose frames are the pose track.
        checkpoint: `latest`, `best` or a file.
        attention: audio window mode the head was trained with; shapes do not tell 1 from 2.
        part: frames start … stop − 1 of the split, as if there were no others.

    Raises:
        RenderError: checkpoint or data folder are refused.
    """
    found = read_checkpoint(find_checkpoint(workspace, checkpoint))
    log.info("%s: %s, epoch %d", found.path, found.flavour, found.epoch)
    footage = read_split(data, split, found.flavour.eye)
    if split == "train":
        footage = _offset(footage, found)
    if part != (0, None):
        footage = footage.part(*part)
    mode: AttentionMode = attention if found.flavour.has_attention else 0
    field = TorsoField(found.torso()) if torso else None
    return TrainedFolder(found, footage, AudioNetworks(found.state), mode, field)


def _offset(footage: Footage, checkpoint: Checkpoint) -> Footage:
    """The split's cameras as training moved them, where it did (`--train_camera`)."""
    turns, shifts = (checkpoint.state.get(key) for key in ("camera_dR", "camera_dT"))
    if turns is None or shifts is None:
        return footage
    n = len(footage.image_ids)
    for name, tensor in (("camera_dR", turns), ("camera_dT", shifts)):
        if tensor.ndim != 2 or tensor.shape[1] != 3 or len(tensor) < n:
            raise CheckpointContentError(
                f"{checkpoint.path}: {name} has shape {tuple(tensor.shape)}; "
                f"expected 3 numbers for each of {n} frames"
            )
        if tensor.dtype != torch.float32 or float(tensor.abs().max()) > MAX_OFFSET:
            raise CheckpointContentError(
                f"{checkpoint.path}: {name} holds {tensor.dtype}, or more than a camera can have "
                f"moved; expected {torch.float32} up to {MAX_OFFSET:g}"
            )
    return offset_cameras(footage, turns.numpy(), shifts.numpy())


def read_encoder(path: Path) -> dict[str, Tensor]:
    """Tensors of an encoder file: a torch file, read with the restricted reader, or safetensors.

    Raises:
        RenderError: the file cannot be read safely.
        EncoderError: it holds no dictionary.
    """
    if path.suffix == ".safetensors":
        try:
            return dict(safetensors.torch.load(read_plain(path, MAX_ENCODER_BYTES)))
        except (ValueError, SafetensorError) as error:
            raise EncoderError(f"{path} cannot be read as safetensors: {error}") from None
    content = load_tensors(path)
    if not isinstance(content, Mapping):
        raise EncoderError(f"{path} holds a {type(content).__name__}; expected tensors by name")
    return {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
