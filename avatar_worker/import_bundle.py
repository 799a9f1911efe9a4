"""Data folder + workspace → character bundle.

Done once per character, possibly in a sandboxed process. Afterwards no checkpoint, hence no
pickle, is ever opened again to serve the character.
"""

import hashlib
import logging
import shutil
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import safetensors.torch
from numpy.typing import NDArray
from torch import Tensor

from avatar_worker.audio.errors import FeatureError
from avatar_worker.audio.features import AudioModel
from avatar_worker.bundle_files import MANIFEST
from avatar_worker.bundle_manifest import Manifest, manifest_text
from avatar_worker.character import FINER_GRID, MASKED, TENSORS, TRACKS, Character, load_bundle
from avatar_worker.only_run import only_run
from avatar_worker.render.checkpoint_layout import OPTIONAL, expected_shapes
from avatar_worker.render.renderer import FrameRequest
from avatar_worker.render.scene import Scene
from avatar_worker.sentence import reason
from avatar_worker.trained import TrainedFolder
from avatar_worker.whole_files import part_of

ENCODER: Final = "audio_encoder.safetensors"
PERSONA: Final = "persona.toml"
PREVIEW: Final = "preview.jpg"
ZIP_TIME: Final = (1980, 1, 1, 0, 0, 0)
"""One date for all entries: the same character gives the same archive."""

SPREAD_PX: Final = 4.0

log = logging.getLogger(__name__)
Progress = Callable[[Iterable[int]], Iterable[int]]


@dataclass(frozen=True, slots=True)
class BundleOptions:
    """What the bundle should say and hold.

    Attributes:
        name: identifier, lower case.
        licence: of the character's data.
        consent: reference of the consent record, or why none is needed.
        portrait: blend the head into the original frames; backgrounds then shrink to the mask.
        quality: of WebP pictures, 1 … 100; None stores them without loss (PNG).
        width: scale pictures to this width; None keeps the footage's.
        height: likewise.
        persona: a `persona.toml` that goes along: who the character is.
    """

    name: str
    licence: str
    consent: str
    portrait: bool = True
    quality: int | None = 90
    width: int | None = None
    height: int | None = None
    persona: Path | None = None


def write_bundle(
    trained: TrainedFolder,
    out: Path,
    options: BundleOptions,
    *,
    encoder: Path | None = None,
    progress: Progress = iter,
) -> Character:
    """Write a bundle and load it back.

    Args:
        trained: checkpoint and footage; the footage's frames are the pose loop.
        out: folder, or archive if it ends in `.zip`; it must not exist.
        options: see there.
        encoder: file of the audio-visual encoder the head was trained with, for checkpoints that
            do not hold it.
        progress: wraps the scene numbers, to show how far it is.

    Returns:
        The character as loaded from the new bundle.

    Raises:
        FileExistsError: `out` exists.
        FolderBusyError: another run is making it.
        OSError: no room, no right.
        RenderError: checkpoint or data folder are refused.
        AudioError: the encoder is refused, or the head listens to what only files can give.
        BundleError: the result cannot be loaded, e.g. because of its name.
    """
    if out.exists():
        raise FileExistsError(17, "exists already", str(out))
    part = part_of(out)
    try:
        with only_run(part):
            try:
                shutil.rmtree(part / "bundle", ignore_errors=True)  # of a run that was killed
                _write_files(trained, part / "bundle", options, encoder, progress)
                load_bundle(part / "bundle")
                _put(part, out)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        if error.filename is None or Path(error.filename).is_relative_to(part):
            raise OSError(error.errno, reason(error), str(out)) from None
        raise
    return load_bundle(out)


def _put(part: Path, out: Path) -> None:
    """What is complete, under its name."""
    made = part / "bundle"
    if out.suffix.lower() == ".zip":
        made = part / "bundle.zip"
        _pack(part / "bundle", made)
    made.replace(out)


def _write_files(
    trained: TrainedFolder,
    folder: Path,
    options: BundleOptions,
    encoder: Path | None,
    progress: Progress,
) -> None:
    (folder / "pictures").mkdir(parents=True)
    scenes = trained.scenes(
        portrait=options.portrait, width=options.width, height=options.height, cache_bytes=0
    )
    audio = _write_ears(trained, folder, encoder)
    (folder / TENSORS).write_bytes(safetensors.torch.save(_head_tensors(trained)))
    finer = trained.finer_grid(audio)
    if finer is not None:
        (folder / FINER_GRID).write_bytes(finer.to_bytes())
    intrinsics = scenes.scene(0).intrinsics
    np.savez(
        folder / TRACKS,
        poses=trained.footage.poses,
        eyes=trained.footage.eyes,
        intrinsics=np.array(intrinsics),
    )
    for index in progress(range(scenes.n_scenes)):
        _write_scene(folder / "pictures", index, scenes.scene(index), options.quality)
        if not options.portrait:
            torso = _straight(scenes.torso(index))
            _write(folder / "pictures" / f"{index:05d}.torso", torso, options.quality)
    character = trained.character(
        portrait=options.portrait, width=options.width, height=options.height, finer=finer
    )
    rest = trained.unheard() if audio is None else audio.silence()
    preview = character.renderer().render(FrameRequest(rest))
    (folder / PREVIEW).write_bytes(_encoded(preview, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, 92]))
    if options.persona is not None:
        (folder / PERSONA).write_bytes(options.persona.read_bytes())
    manifest = _manifest(trained, folder, scenes.size, options)
    (folder / MANIFEST).write_text(manifest_text(manifest))


def _write_ears(trained: TrainedFolder, folder: Path, encoder: Path | None) -> AudioModel | None:
    """What the head listens with; None for HuBERT's model, which is large and everybody's, and
    stays with the operator.
    """
    kind = trained.checkpoint.flavour.audio
    if kind == "hubert":
        return None
    if kind != "ave":
        raise FeatureError(
            f"{trained.checkpoint.path} listens to {kind} features, which come from files only: "
            "such a character can be rendered, not served"
        )
    heard_with = trained.ave_encoder(encoder)
    weights = {key: tensor.contiguous().clone() for key, tensor in heard_with.tensors.items()}
    (folder / ENCODER).write_bytes(safetensors.torch.save(weights))
    return AudioModel(heard_with, trained.networks, trained.mode)


def _manifest(
    trained: TrainedFolder, folder: Path, size: tuple[int, int], options: BundleOptions
) -> Manifest:
    flavour = trained.checkpoint.flavour
    sums = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return Manifest(
        name=options.name,
        engine="synctalk",
        width=size[0],
        height=size[1],
        licence=options.licence,
        consent=options.consent,
        options={
            "portrait": options.portrait,
            "eye": flavour.eye,
            "eye_sigmoid": flavour.is_er_nerf,
            "attention": trained.mode,
            "backgrounds": MASKED if options.portrait else "whole",
            "trained_epochs": trained.checkpoint.epoch,
        },
        audio={"encoder": ENCODER, "sha256": sums[ENCODER]} if ENCODER in sums else {},
        files=sums,
    )


def _head_tensors(trained: TrainedFolder) -> dict[str, Tensor]:
    """What drawing needs, under the checkpoint's own names; of the codes row 0 only."""
    state, flavour = trained.checkpoint.state, trained.checkpoint.flavour
    kept = {key: state[key] for key in expected_shapes(flavour) if key not in OPTIONAL}
    kept["individual_codes"] = kept["individual_codes"][:1]
    return {key: tensor.contiguous().clone() for key, tensor in kept.items()}


def _write_scene(folder: Path, index: int, scene: Scene, quality: int | None) -> None:
    background = scene.background_levels
    if scene.original is not None and scene.mask is not None:
        shown = cv2.dilate((scene.mask > 0).astype(np.uint8), np.ones((9, 9), np.uint8))
        background = background * shown[:, :, None]  # a margin, since WebP blurs the cut
        _write(folder / f"{index:05d}.original", scene.original, quality)
        _write(folder / f"{index:05d}.mask", scene.mask, None)
    _write(folder / f"{index:05d}.background", background, quality)


def _straight(layer: NDArray[np.float32]) -> NDArray[np.uint8]:
    """RGBA of a torso's layer. Where it is transparent the colours around go on, since WebP
    stores colours coarsely and those of the edge would take on what lies beside it."""
    spread = cv2.GaussianBlur(layer, (0, 0), SPREAD_PX)
    near = np.where(layer[:, :, 3:] > 0, layer, spread)
    colour = near[:, :, :3] / near[:, :, 3:].clip(1e-6)
    return np.rint(255.0 * np.dstack((colour, layer[:, :, 3])).clip(0.0, 1.0)).astype(np.uint8)


def _write(stem: Path, picture: NDArray[np.uint8], quality: int | None) -> None:
    if quality is None:
        content, suffix = _encoded(picture, ".png", [cv2.IMWRITE_PNG_COMPRESSION, 9]), ".png"
    else:
        content, suffix = _encoded(picture, ".webp", [cv2.IMWRITE_WEBP_QUALITY, quality]), ".webp"
    stem.with_name(stem.name + suffix).write_bytes(content)


def _encoded(picture: NDArray[np.uint8], suffix: str, parameters: list[int]) -> bytes:
    if picture.ndim == 3:
        order = [2, 1, 0, 3][: picture.shape[2]]
        picture = picture[:, :, order]  # OpenCV writes BGR
    is_written, content = cv2.imencode(suffix, np.ascontiguousarray(picture), parameters)
    if not is_written:
        raise OSError(f"a picture could not be written as {suffix}")
    return content.tobytes()


def _pack(folder: Path, archive: Path) -> None:
    """A zip archive of a folder; what is compressed already is only stored."""
    with zipfile.ZipFile(archive, "w") as target:
        for path in sorted(folder.rglob("*")):
            if not path.is_file():
                continue
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), ZIP_TIME)
            packed = path.suffix in (".webp", ".png", ".jpg")
            entry.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            target.writestr(entry, path.read_bytes())
