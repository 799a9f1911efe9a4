"""A SyncTalk data folder: cameras, expression track and pictures of one person.

`read_split` reads the small files and says which frames there are; pictures are read when a
scene is asked for.

Layout: `transforms_{train,val}.json`, `bs.npy` or `au.csv`, `bc.jpg`, `torso_imgs/<id>.png`,
`gt_imgs/<id>.jpg`, and for portraits `ori_imgs/<id>.jpg` and `parsing/<id>_face.png`.
"""

import csv
import io
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from jaxtyping import Float, UInt8

from avatar_worker.plain_files import decode_array, read_plain
from avatar_worker.render.backdrop import colour_of, premultiplied
from avatar_worker.render.checkpoint_layout import EyeMode
from avatar_worker.render.errors import DataFolderError
from avatar_worker.render.pictures import MAX_PIXELS, read_rgb, read_rgba, resize
from avatar_worker.render.rays import Intrinsics, convert_pose
from avatar_worker.render.scene import SCENE_CACHE_BYTES, Scene, SceneCache
from avatar_worker.render.torso import TorsoField

Split = Literal["train", "val"]

EYE_COLUMNS: Final[dict[str, tuple[int, ...]]] = {
    "upper": (0, 1, 2, 3, 4, 8, 9),
    "single": (0, 2, 3, 8),
    "eye": (8, 9),
}
"""Columns of bs.npy: 0–4 brows, 8 and 9 blinks (ARKit order, neutral removed)."""

MAX_TABLE_BYTES: Final = 64 * 1024**2
"""Of cameras or a track: 90,000 frames, one hour, have 40 MB."""

MAX_PX: Final = 1e6
"""Of focal length and principal point."""

MAX_TURN_ERROR: Final = 0.1
MAX_DISTANCE: Final = 1e4


@dataclass(frozen=True, slots=True)
class Footage:
    """The frames of one split, in the order they are played.

    Attributes:
        folder: the data folder.
        image_ids: number in the file names, a frame each.
        audio_ids: which audio feature belongs to the frame in the footage's own sound.
        poses: cameras in the field's axes. float32 [n, 4, 4]
        eyes: expression vectors. float32 [n, n_eye]
        intrinsics: for the stored size.
        width: stored pictures' width in pixels.
        height: stored pictures' height in pixels.
    """

    folder: Path
    image_ids: tuple[int, ...]
    audio_ids: tuple[int, ...]
    poses: Float[np.ndarray, "n 4 4"]
    eyes: Float[np.ndarray, "n n_eye"]
    intrinsics: Intrinsics
    width: int
    height: int

    def part(self, start: int, stop: int | None) -> "Footage":
        """Frames start … stop − 1 only, as if the split held no others."""
        chosen = slice(start, stop)
        if not self.image_ids[chosen]:
            raise DataFolderError(f"{self.folder} has no frames from {start} to {stop}")
        return replace(
            self,
            image_ids=self.image_ids[chosen],
            audio_ids=self.audio_ids[chosen],
            poses=self.poses[chosen],
            eyes=self.eyes[chosen],
        )


def read_split(
    folder: Path,
    split: Split,
    eye: EyeMode | None,
    *,
    scale: float = 4.0,
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Footage:
    """Read cameras and tracks of one split; frames without `gt_imgs` picture do not exist.

    Without an `eye` mode no expression track is needed, and the vectors are empty.

    Raises:
        DataFolderError: a file is absent or malformed.
    """
    if not folder.is_dir():
        raise DataFolderError(f"data folder {folder} does not exist")
    path = folder / f"transforms_{split}.json"
    transforms = read_transforms(path)
    try:
        intrinsics, width, height = camera_of(transforms)
        frames = [
            (frame_number(f["img_id"]), frame_number(f["aud_id"]), f["transform_matrix"])
            for f in transforms["frames"]
            if (folder / "gt_imgs" / f"{frame_number(f['img_id'])}.jpg").is_file()
        ]
        matrices = np.array([matrix for _, _, matrix in frames], dtype=np.float64)
        matrices = matrices.reshape(len(frames), 4, 4)
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise DataFolderError(f"{path} is not as expected: {error!r}") from None
    if not frames:
        raise DataFolderError(f"{path} names no frame that has a picture in gt_imgs")
    check_cameras(path, matrices)
    poses = np.stack([convert_pose(m, scale=scale, offset=offset) for m in matrices])
    image_ids = tuple(frame[0] for frame in frames)
    return Footage(
        folder=folder,
        image_ids=image_ids,
        audio_ids=tuple(frame[1] for frame in frames),
        poses=poses,
        eyes=np.zeros((len(frames), 0), np.float32)
        if eye is None
        else read_eyes(folder, eye, image_ids),
        intrinsics=intrinsics,
        width=width,
        height=height,
    )


def frame_number(value: Any) -> int:
    """A number of a picture or of a piece of sound."""
    number = int(value)
    if not 0 <= number < 2**31:
        raise ValueError("a frame's number is negative or huge")
    return number


def check_cameras(path: Path, matrices: Float[np.ndarray, "n 4 4"]) -> None:
    """Refuse what is no camera: the renderer turns such matrices round."""
    if not np.isfinite(matrices).all():
        raise DataFolderError(f"{path} holds a camera that is not finite")
    turns, positions = matrices[:, :3, :3].clip(-10.0, 10.0), matrices[:, :3, 3]
    error = np.abs(turns @ turns.transpose(0, 2, 1) - np.eye(3)).max()
    if error > MAX_TURN_ERROR or np.abs(positions).max() > MAX_DISTANCE:
        raise DataFolderError(
            f"{path} holds a camera that is not a turn and a place: rows differ from unit vectors "
            f"at right angles by {error:.2g}, the place is {np.abs(positions).max():.2g} away"
        )


def read_transforms(path: Path) -> dict[str, Any]:
    """What `transforms_*.json` says.

    Raises:
        DataFolderError: absent, too large, or no JSON object.
    """
    try:
        text = read_plain(path, MAX_TABLE_BYTES)
    except ValueError as error:
        raise DataFolderError(f"{path} cannot be read: {error}") from None
    try:
        content = json.loads(text.decode())
    except (ValueError, RecursionError):
        raise DataFolderError(f"{path} is not JSON") from None
    if not isinstance(content, dict):
        raise DataFolderError(f"{path} holds no object")
    return content


def camera_of(transforms: dict[str, Any]) -> tuple[Intrinsics, int, int]:
    """Intrinsics, width and height that a transforms file states in one of three ways.

    Raises:
        KeyError, TypeError, ValueError, ArithmeticError: it states none, or one that cannot be.
    """
    if "h" in transforms and "w" in transforms:
        height, width = int(transforms["h"]), int(transforms["w"])
    else:
        height, width = int(transforms["cy"]) * 2, int(transforms["cx"]) * 2
    if "focal_len" in transforms:
        fx = fy = float(transforms["focal_len"])
    elif "fl_x" in transforms or "fl_y" in transforms:
        fx = float(transforms["fl_x" if "fl_x" in transforms else "fl_y"])
        fy = float(transforms.get("fl_y", fx))
    else:
        angles = {axis: transforms.get(f"camera_angle_{axis}") for axis in "xy"}
        if angles["x"] is None and angles["y"] is None:
            raise ValueError("no focal length: focal_len, fl_x or camera_angle_x expected")
        fx_of = None if angles["x"] is None else width / (2 * math.tan(float(angles["x"]) / 2))
        fy_of = None if angles["y"] is None else height / (2 * math.tan(float(angles["y"]) / 2))
        fx = fx_of if fx_of is not None else float(fy_of or 0)
        fy = fy_of if fy_of is not None else fx
    cx = float(transforms.get("cx", width / 2))
    cy = float(transforms.get("cy", height / 2))
    if min(width, height) <= 0 or width * height > MAX_PIXELS:
        raise ValueError(f"camera of {width} × {height} px; at most {MAX_PIXELS} are accepted")
    if not (1.0 <= min(fx, fy) <= max(fx, fy, abs(cx), abs(cy)) <= MAX_PX) or cx != cx or cy != cy:
        raise ValueError(f"camera with focal lengths {fx} and {fy}, centre {cx}, {cy} px")
    return Intrinsics(fx, fy, cx, cy), width, height


def read_eyes(
    folder: Path, eye: EyeMode, image_ids: tuple[int, ...]
) -> Float[np.ndarray, "n n_eye"]:
    """Expression vectors of some frames.

    Raises:
        DataFolderError: the track is absent, too short, or not as expected.
    """
    if eye == "au45":
        track = _read_au45(folder / "au.csv")
    else:
        path = folder / "bs.npy"
        try:
            track = decode_array(read_plain(path, MAX_TABLE_BYTES))
        except ValueError as error:
            raise DataFolderError(f"{path} cannot be read: {error}") from None
        if track.ndim != 2 or track.shape[1] <= max(EYE_COLUMNS[eye]):
            raise DataFolderError(f"{path} has shape {track.shape}; expected [frames, 52]")
        track = track[:, EYE_COLUMNS[eye]]
    if max(image_ids) >= len(track):
        raise DataFolderError(
            f"{folder}: the expression track has {len(track)} rows; frame {max(image_ids)} has none"
        )
    with np.errstate(over="ignore"):
        track = track.astype(np.float32)
    if not np.isfinite(track).all():
        raise DataFolderError(f"{folder}: the expression track holds values that are not finite")
    return track[list(image_ids)]


def _read_au45(path: Path) -> Float[np.ndarray, "n 1"]:
    """OpenFace's eye closure, 0 … 5, limited to 2 and scaled to 1."""
    try:
        content = read_plain(path, MAX_TABLE_BYTES)
    except ValueError as error:
        raise DataFolderError(f"{path} cannot be read: {error}") from None
    try:
        lines = io.StringIO(content.decode(), newline="")
        rows = csv.DictReader(lines, skipinitialspace=True)
        closure = np.array([float(row["AU45_r"]) for row in rows])
    except (KeyError, TypeError, ValueError, csv.Error):
        raise DataFolderError(f"{path} has no usable column AU45_r") from None
    return (closure.clip(0.0, 2.0) / 2.0)[:, None]


class FootageScenes:
    """The scenes of a split, pictures read on demand and scaled to the size wanted.

    Args:
        footage: frames of the split.
        portrait: also read originals and masks.
        width: of the scenes, in pixels; None for the stored width.
        height: likewise.
        background: a picture file instead of bc.jpg, or a colour: `#rrggbb`, `white`, `black`.
        torso: draws neck and shoulders; None for the pictures of the folder.
        cache_bytes: memory for scenes that were used lately.

    Raises:
        DataFolderError: a picture is absent or another size than the cameras say.
    """

    def __init__(
        self,
        footage: Footage,
        *,
        portrait: bool,
        width: int | None = None,
        height: int | None = None,
        background: str | None = None,
        torso: TorsoField | None = None,
        cache_bytes: int = SCENE_CACHE_BYTES,
    ) -> None:
        self._footage = footage
        self._torso = torso
        self._portrait = portrait
        self._width, self._height = width or footage.width, height or footage.height
        if portrait:
            self._check_masks()
        self._still = self._read_still(background)
        self._cache = SceneCache(self._load, cache_bytes)

    @property
    def n_scenes(self) -> int:
        """Frames of the split."""
        return len(self._footage.image_ids)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self._width, self._height

    def scene(self, index: int) -> Scene:
        """Scene `index`, read from disk unless it was used lately."""
        return self._cache(index)

    def torso(self, index: int) -> Float[np.ndarray, "H W 4"]:
        """See `backdrop.LayeredScenes`."""
        if self._torso is not None:
            return self._torso.layer(self._footage.poses[index], self._height, self._width)
        return resize(premultiplied(self._torso_picture(index)), self._width, self._height).clip(
            0.0, 1.0
        )

    def _check_masks(self) -> None:
        folder = self._footage.folder
        absent = [
            i for i in self._footage.image_ids if not (folder / f"parsing/{i}_face.png").is_file()
        ]
        if absent:
            raise DataFolderError(
                f"{folder} lacks the face mask parsing/{absent[0]}_face.png "
                f"({len(absent)} absent in all), which a portrait needs"
            )

    def _read_still(self, background: str | None) -> UInt8[np.ndarray, "H W 3"]:
        footage = self._footage
        if background is not None and (colour := colour_of(background)) is not None:
            return np.full((footage.height, footage.width, 3), colour, np.uint8)
        picture = read_rgb(Path(background) if background else footage.folder / "bc.jpg")
        return resize(picture, footage.width, footage.height)

    def _load(self, index: int) -> Scene:
        footage, folder = self._footage, self._footage.folder
        image_id = footage.image_ids[index]
        original = mask = None
        if self._portrait:
            original = read_rgb(folder / f"ori_imgs/{image_id}.jpg")
            original = self._sized(self._fitting(original, "original", image_id))
            painted = read_rgb(folder / f"parsing/{image_id}_face.png")
            mask = self._sized(255 - self._fitting(painted, "mask", image_id)[:, :, 1])
        return Scene(
            pose=footage.poses[index],
            intrinsics=footage.intrinsics.scaled(
                self._width / footage.width, self._height / footage.height
            ),
            eye=footage.eyes[index],
            background=self._background(index),
            original=original,
            mask=mask,
        )

    def _background(self, index: int) -> UInt8[np.ndarray, "H W 3"] | Float[np.ndarray, "H W 3"]:
        if self._torso is not None:
            still = self._sized(self._still).astype(np.float32) / np.float32(255.0)
            return self._torso.over(self._footage.poses[index], still)
        return self._sized(lay_over(self._torso_picture(index), self._still))

    def _torso_picture(self, index: int) -> UInt8[np.ndarray, "H W 4"]:
        image_id = self._footage.image_ids[index]
        path = self._footage.folder / f"torso_imgs/{image_id}.png"
        return self._fitting(read_rgba(path), "torso", image_id)

    def _fitting(
        self, picture: UInt8[np.ndarray, "..."], kind: str, image_id: int
    ) -> UInt8[np.ndarray, "..."]:
        expected = (self._footage.height, self._footage.width)
        if picture.shape[:2] != expected:
            raise DataFolderError(
                f"{self._footage.folder}: the {kind} picture of frame {image_id} is "
                f"{picture.shape[1]} × {picture.shape[0]} px; "
                f"expected {expected[1]} × {expected[0]}"
            )
        return picture

    def _sized(self, picture: UInt8[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
        return np.ascontiguousarray(resize(picture, self._width, self._height))


def lay_over(
    top: UInt8[np.ndarray, "H W 4"], below: UInt8[np.ndarray, "H W 3"]
) -> UInt8[np.ndarray, "H W 3"]:
    """A transparent picture over an opaque one; exact where alpha is 0 or 255."""
    alpha = top[:, :, 3:].astype(np.float32) / 255.0
    blended = top[:, :, :3] * alpha + below * (1.0 - alpha)
    return np.asarray(np.rint(blended), dtype=np.uint8)
