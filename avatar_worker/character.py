"""A character ready to be shown, loaded from a bundle.

    character = load_bundle(Path("characters/mira"))
    renderer = character.renderer(device="cpu")

`trained.open_trained` makes one straight from a data folder and a workspace.
Everything in it is read-only and shared by all sessions of the character in a process.
"""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors.torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor

from avatar_worker.audio.encoder import AveEncoder
from avatar_worker.audio.errors import AudioError
from avatar_worker.audio.features import AudioModel
from avatar_worker.audio.hubert import fitting_hubert
from avatar_worker.audio.pooling import AudioNetworks
from avatar_worker.audio.window import AttentionMode
from avatar_worker.bundle_files import (
    MANIFEST,
    BundleContentError,
    BundleError,
    BundleFiles,
    BundleUnreadableError,
    UnsafeBundleError,
    open_files,
)
from avatar_worker.bundle_manifest import Engine, Manifest, read_manifest
from avatar_worker.plain_files import ZIP_ERRORS, decode_array, read_entry
from avatar_worker.render.backdrop import premultiplied
from avatar_worker.render.checkpoint_layout import Flavour, check_state, detect_flavour
from avatar_worker.render.data_folder import MAX_PX
from avatar_worker.render.errors import RenderError, UnsupportedCharacterError
from avatar_worker.render.finer_grid import FinerGrid, read_finer_grid
from avatar_worker.render.head import HeadWeights
from avatar_worker.render.painters import choose_painter
from avatar_worker.render.pictures import decode_grey, decode_rgb, decode_rgba, resize
from avatar_worker.render.rays import Intrinsics
from avatar_worker.render.renderer import PORTRAIT_CAP, Precision, Renderer
from avatar_worker.render.scene import SCENE_CACHE_BYTES, Scene, SceneCache, SceneSource, Track
from avatar_worker.render.style import Style

__all__ = [
    "BundleContentError",
    "BundleError",
    "BundleUnreadableError",
    "Character",
    "UnsafeBundleError",
    "bundle_head_state",
    "load_bundle",
]

TENSORS: Final = "tensors.safetensors"
TRACKS: Final = "tracks.npz"
FINER_GRID: Final = "finer_grid.npz"
"""May be absent: the character is then drawn without."""

MAX_TRACK_BYTES: Final = 64 * 1024**2
MASKED: Final = "masked"
"""Backgrounds are kept only where the mask shows them: portraits only."""


@dataclass(frozen=True, slots=True)
class Character:
    """Who is shown.

    Attributes:
        name: identifier.
        engine: what draws the character.
        width: of its pictures in pixels.
        height: likewise.
        options: of the engine.
        licence: of the character's data.
        consent: reference of the consent record.
        fingerprint: sha256 that changes with any file; empty for a data folder.
        head: tensors of the head; None for engines without one.
        audio: what turns sound into vectors; None likewise.
        scenes: pose track and pictures; None likewise.
        portrait: the head is blended into the original frames.
        finer: spares the compiled kernel empty samples; None where it is not known which are.
        fps: always 25.
    """

    name: str
    engine: Engine
    width: int
    height: int
    options: Mapping[str, Any] = field(default_factory=dict)
    licence: str = ""
    consent: str = ""
    fingerprint: str = ""
    head: HeadWeights | None = field(default=None, repr=False)
    audio: AudioModel | None = field(default=None, repr=False)
    scenes: SceneSource | None = field(default=None, repr=False)
    portrait: bool = False
    finer: FinerGrid | None = field(default=None, repr=False)
    fps: int = 25

    def renderer(
        self, *, device: str = "auto", precision: Precision = "auto", threads: int | None = None
    ) -> Renderer:
        """A renderer of this character, to be shared by its sessions.

        Portraits drawn by the fast path are capped (`PORTRAIT_CAP`); `fp32` follows the rule of
        the whole picture.

        Raises:
            UnsupportedCharacterError: the engine has no head, or an option cannot be.
        """
        if self.head is None or self.scenes is None:
            raise UnsupportedCharacterError(f"character {self.name} has no head to draw")
        painter = choose_painter(
            self.head, device=device, precision=precision, threads=threads, finer=self.finer
        )
        is_fast = precision != "fp32"
        cap = PORTRAIT_CAP if self.portrait and is_fast else None
        scenes = self.styled(Style.of(self.options, portrait=self.portrait))
        return Renderer(painter, scenes, portrait=self.portrait, cap=cap)

    def styled(self, style: Style) -> SceneSource:
        """The scenes in this style; the character's own scenes where it changes nothing.

        Raises:
            UnsupportedCharacterError: the character cannot be drawn so.
        """
        if self.scenes is None:
            raise UnsupportedCharacterError(f"character {self.name} has no pictures")
        return style.applied_to(self.scenes, masked=self.options.get("backgrounds") == MASKED)


def load_bundle(
    path: Path,
    *,
    width: int | None = None,
    height: int | None = None,
    portrait: bool | None = None,
    hubert: Path | None = None,
    cache_bytes: int = SCENE_CACHE_BYTES,
) -> Character:
    """Verify a bundle and load it.

    Args:
        path: folder or zip archive.
        width: draw at this width instead of the bundle's; pictures and camera are scaled.
        height: likewise.
        portrait: instead of what the bundle says.
        hubert: file of a HuBERT model, for characters that listen to one; None: these can be
            driven by feature files only.
        cache_bytes: memory for pictures that were used lately, per character.

    Raises:
        BundleError: absent, damaged, unsafe or not a character.
    """
    files = open_files(path)
    try:
        manifest = read_manifest(files)
        fingerprint = hashlib.sha256(files.read(MANIFEST)).hexdigest()
        width, height = width or manifest.width, height or manifest.height
        common: dict[str, Any] = {
            "name": manifest.name,
            "engine": manifest.engine,
            "width": width,
            "height": height,
            "options": manifest.options,
            "licence": manifest.licence,
            "consent": manifest.consent,
            "fingerprint": fingerprint,
        }
        if manifest.engine != "synctalk":
            return Character(**common)
        state = _tensors(files, TENSORS)
        flavour = detect_flavour(state)
        check_state(state, flavour)
        scenes = BundleScenes(files, manifest, width, height, portrait, cache_bytes)
        if scenes.n_eye != flavour.n_eye:
            raise BundleContentError(
                f"{TRACKS} has {scenes.n_eye} expression components; the head expects "
                f"{flavour.n_eye}"
            )
        sigmoid = bool(manifest.options.get("eye_sigmoid", False))
        head = HeadWeights.from_state(state, eye_sigmoid=sigmoid)
        has_finer = FINER_GRID in manifest.files
        return Character(
            **common,
            head=head,
            audio=_bundle_audio(files, manifest, state, flavour, hubert),
            scenes=scenes,
            portrait=scenes.portrait,
            finer=read_finer_grid(files.read(FINER_GRID), head) if has_finer else None,
        )
    except BundleError as error:
        raise type(error)(f"bundle {path}: {error}") from None
    except (RenderError, AudioError) as error:
        raise BundleContentError(f"bundle {path}: {error}") from None


def bundle_head_state(path: Path) -> dict[str, Tensor]:
    """The head's tensors of a bundle, under a checkpoint's names; of the codes row 0 only.

    Raises:
        BundleError: absent, damaged, unsafe or without a head.
    """
    files = open_files(path)
    try:
        manifest = read_manifest(files)
        if manifest.engine != "synctalk":
            raise BundleContentError(f"it is drawn by the engine {manifest.engine}, without a head")
        state = _tensors(files, TENSORS)
        check_state(state, detect_flavour(state))
    except BundleError as error:
        raise type(error)(f"bundle {path}: {error}") from None
    except RenderError as error:
        raise BundleContentError(f"bundle {path}: {error}") from None
    return state


def _bundle_audio(
    files: BundleFiles,
    manifest: Manifest,
    state: Mapping[str, Tensor],
    flavour: Flavour,
    hubert: Path | None,
) -> AudioModel:
    wanted = manifest.options.get("attention", 2)
    if wanted not in (0, 1, 2):
        raise BundleContentError(f"attention is {wanted!r}; expected 0, 1 or 2")
    mode: AttentionMode = wanted if flavour.has_attention else 0
    networks = AudioNetworks(state)
    if flavour.audio == "hubert":
        return AudioModel(fitting_hubert(hubert, networks) if hubert else None, networks, mode)
    name = manifest.audio.get("encoder", "")
    if manifest.files.get(name) is None or manifest.files[name] != manifest.audio.get("sha256"):
        raise BundleContentError("the audio encoder is not the one the character was trained with")
    return AudioModel(AveEncoder(_tensors(files, name)), networks, mode)


def _tensors(files: BundleFiles, name: str) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(files.read(name))
    except (SafetensorError, ValueError, KeyError) as error:
        raise BundleContentError(f"{name} cannot be read: {error}") from None


class BundleScenes:
    """Pose track and pictures of a bundle; pictures are decoded when they are needed.

    `pictures/<n>.original.*`, `.background.*` and `.mask.png`, n from 00000 on; `.torso.*` with
    transparency where there are no portraits (bundles from before it was kept lack it).
    """

    def __init__(
        self,
        files: BundleFiles,
        manifest: Manifest,
        width: int,
        height: int,
        portrait: bool | None,
        cache_bytes: int,
    ) -> None:
        self._files = files
        self._stored = (manifest.width, manifest.height)
        self._size = (width, height)
        self._poses, self._eyes, self._intrinsics = _read_tracks(files)
        self.portrait = bool(manifest.options.get("portrait")) if portrait is None else portrait
        if not self.portrait and manifest.options.get("backgrounds") == MASKED:
            raise BundleContentError("this bundle holds portraits only")
        self._pictures = self._find_pictures()
        self._cache = SceneCache(self._load, cache_bytes)

    @property
    def n_eye(self) -> int:
        """Length of the expression vectors."""
        return int(self._eyes.shape[1])

    @property
    def n_scenes(self) -> int:
        """Length of the pose track."""
        return len(self._poses)

    @property
    def track(self) -> Track:
        """Poses and expression of every scene, without their pictures."""
        return Track(self._poses, self._eyes)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self._size

    @property
    def size_bytes(self) -> int:
        """Memory of the pictures kept now; it grows with use, up to `cache_bytes`."""
        return self._cache.size_bytes

    def scene(self, index: int) -> Scene:
        """Scene `index`."""
        return self._cache(index)

    def torso(self, index: int) -> NDArray[np.float32]:
        """See `render.backdrop.LayeredScenes`."""
        name = self._pictures[index].get("torso")
        if name is None:
            raise UnsupportedCharacterError(
                "this bundle does not hold its torso by itself: import the character anew, "
                "without portrait"
            )
        picture = decode_rgba(self._files.read(name), name)
        self._check_size(picture, name)
        return resize(premultiplied(picture), *self._size).clip(0.0, 1.0)

    def _find_pictures(self) -> list[dict[str, str]]:
        """For each scene: kind → file name."""
        kinds = ("original", "background", "mask") if self.portrait else ("background",)
        by_stem = {name.rpartition(".")[0]: name for name in self._files.names()}
        pictures = []
        for index in range(self.n_scenes):
            stems = {kind: f"pictures/{index:05d}.{kind}" for kind in kinds}
            absent = [stem for stem in stems.values() if stem not in by_stem]
            if absent:
                raise BundleContentError(f"the picture {absent[0]} is missing")
            torso = by_stem.get(f"pictures/{index:05d}.torso")
            pictures.append({kind: by_stem[stem] for kind, stem in stems.items()})
            if torso is not None:
                pictures[-1]["torso"] = torso
        return pictures

    def _load(self, index: int) -> Scene:
        names = self._pictures[index]
        width, height = self._size
        return Scene(
            pose=self._poses[index],
            intrinsics=self._intrinsics.scaled(width / self._stored[0], height / self._stored[1]),
            eye=self._eyes[index],
            background=self._picture(names["background"]),
            original=self._picture(names["original"]) if self.portrait else None,
            mask=self._picture(names["mask"], is_grey=True) if self.portrait else None,
        )

    def _picture(self, name: str, *, is_grey: bool = False) -> NDArray[np.uint8]:
        content = self._files.read(name)
        picture = decode_grey(content, name) if is_grey else decode_rgb(content, name)
        self._check_size(picture, name)
        return np.ascontiguousarray(resize(picture, *self._size))

    def _check_size(self, picture: NDArray[np.uint8], name: str) -> None:
        if picture.shape[1::-1] != self._stored:
            raise BundleContentError(
                f"{name} is {picture.shape[1]} × {picture.shape[0]} px; expected "
                f"{self._stored[0]} × {self._stored[1]}"
            )


def _read_tracks(
    files: BundleFiles,
) -> tuple[NDArray[np.float32], NDArray[np.float32], Intrinsics]:
    content = files.read(TRACKS)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_TRACK_BYTES:
                raise UnsafeBundleError(
                    f"{TRACKS} would unpack to more than {MAX_TRACK_BYTES} bytes"
                )
            poses, eyes, camera = (
                _track(archive, name) for name in ("poses", "eyes", "intrinsics")
            )
    except ZIP_ERRORS as error:
        raise BundleContentError(f"{TRACKS} cannot be read: {error}") from None
    n = poses.shape[0] if poses.ndim else 0
    if (
        n == 0
        or poses.shape != (n, 4, 4)
        or eyes.shape[:1] != (n,)
        or eyes.ndim != 2
        or (camera.shape != (4,))
    ):
        raise BundleContentError(
            f"{TRACKS} holds poses {poses.shape}, eyes {eyes.shape}, intrinsics {camera.shape}; "
            "expected [n, 4, 4], [n, n_eye], [4]"
        )
    with np.errstate(over="ignore"):
        poses, eyes = poses.astype(np.float32), eyes.astype(np.float32)
    if not (np.isfinite(poses).all() and np.isfinite(eyes).all() and np.isfinite(camera).all()):
        raise BundleContentError(f"{TRACKS} holds values that are not finite numbers")
    if min(camera[:2]) < 1.0 or np.abs(camera).max() > MAX_PX:
        raise BundleContentError(f"{TRACKS} has the camera {camera.tolist()}, which cannot be")
    return poses, eyes, Intrinsics(*camera.tolist())


def _track(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    try:
        return decode_array(
            bytes(read_entry(archive, archive.getinfo(f"{name}.npy"), MAX_TRACK_BYTES))
        )
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
