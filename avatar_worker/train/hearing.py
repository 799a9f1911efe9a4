"""What a head in training listens with: an encoder, and audio networks if they are borrowed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from torch import Tensor

from avatar_worker.audio.encoder import AveEncoder
from avatar_worker.audio.errors import EncoderError
from avatar_worker.bundle_files import MANIFEST
from avatar_worker.character import bundle_head_state, load_bundle
from avatar_worker.render.checkpoint import find_checkpoint, read_checkpoint
from avatar_worker.trained import ENCODER_FILE, read_encoder

NETWORKS_FILE: Final = "audio_networks.safetensors"
CONTEXT_ENCODER_FILE: Final = "audio_encoder.safetensors"


@dataclass(frozen=True, slots=True)
class Hearing:
    """Encoder, and networks on top of it.

    Attributes:
        encoder: makes features of sound.
        networks: to begin with, under their names in a checkpoint; None if the head trains its
            own from nothing.
    """

    encoder: AveEncoder
    networks: Mapping[str, Tensor] | None = None


def open_hearing(folder: Path, encoder: Path | None = None, ears: Path | None = None) -> Hearing:
    """Find out what to listen with.

    Args:
        folder: data folder.
        encoder: its file; None for `audio_visual_encoder.pth` in or beside the data folder.
        ears: a character bundle, the workspace of a head, or a folder with
            `audio_encoder.safetensors` and `audio_networks.safetensors`: both are taken from there.

    Raises:
        EncoderError: there is no encoder, or something is refused.
        RenderError: a file cannot be read safely.
        BundleError: a bundle is refused.
    """
    if ears is None:
        return Hearing(open_encoder(folder, encoder))
    if (ears / NETWORKS_FILE).is_file():
        return Hearing(
            open_encoder(ears, ears / CONTEXT_ENCODER_FILE), read_encoder(ears / NETWORKS_FILE)
        )
    if (ears / "checkpoints").is_dir():
        head = read_checkpoint(find_checkpoint(ears))
        if not head.encoder:
            raise EncoderError(f"{head.path} does not hold the audio encoder that it hears with")
        return Hearing(AveEncoder(head.encoder), head.state)
    if not ears.is_file() and not (ears / MANIFEST).is_file():
        raise EncoderError(
            f"{ears} is neither a bundle ({MANIFEST}), nor a workspace with checkpoints/, nor an "
            f"export folder of the encoder's recipe ({NETWORKS_FILE})"
        )
    audio = load_bundle(ears).audio
    if audio is None or not isinstance(audio.encoder, AveEncoder):
        raise EncoderError(f"{ears} does not hear with an audio-visual encoder")
    return Hearing(audio.encoder, bundle_head_state(ears))


def open_encoder(folder: Path, given: Path | None) -> AveEncoder:
    """The encoder file given, else `audio_visual_encoder.pth` in or beside the data folder.

    Raises:
        EncoderError: there is none, or it is refused.
        RenderError: it cannot be read safely.
    """
    candidates = [given] if given else [folder / ENCODER_FILE, folder.parent / ENCODER_FILE]
    for path in candidates:
        if path.is_file():
            return AveEncoder(read_encoder(path))
    raise EncoderError(
        f"no audio encoder: {candidates[0]} is expected, or --ave FILE, or --ears CHARACTER"
    )
