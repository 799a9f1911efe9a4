"""Which parts of the occupied cells can ever hold anything: spares the kernel empty samples.

The occupancy grid is coarse, and training marks the cells around what is filled as well, so that a
ray meets samples in front of the face where nothing ever is. Here every occupied cell is split into
eight small cells; one of them is empty if no point in it or near it holds anything at any of the
character's moments (`find_empty`).

Which samples a ray is offered is still said by the occupancy grid alone (`march.next_round`): those
before its first one in a filled small cell count, but are not evaluated. Only the compiled kernel
uses this; the exact painter never does.
"""

import io
import logging
import os
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import numpy as np
from jaxtyping import Bool, Float, UInt8

from avatar_worker.plain_files import ZIP_ERRORS, decode_array, read_entry
from avatar_worker.render.errors import FinerGridError
from avatar_worker.render.head import HeadWeights
from avatar_worker.render.occupancy import GRID_SIZE, dense_cells

FINE_SIZE: Final = 2 * GRID_SIZE

VERSION: Final = 1
"""Of the stored form. A grid of another version is left aside: the character is drawn without."""

MAX_BYTES: Final = 4 * 1024**2
"""Unpacked: one byte an occupied cell, of which there are two million at most."""

MOMENTS: Final = 96
"""As many as are tried. In 80 pictures of sounds they were not taken from, 16 million samples, the
shipped character lost none of weight 0.001; with 64 moments one of 0.004."""

LEAST_OPACITY: Final = 1e-4
"""Of a step, from which on it shows: a fortieth of a level of 255."""

MARGIN: Final = 0.25
"""Points are tried up to this far outside of a small cell, in its sides. With half of it a tenth
more samples are spared, and in the same pictures one of weight 0.02 was lost. A whole small cell
would be too much: what lies in front of the face is two or three of them deep."""

LEAST_EMPTY: Final = 0.05
"""A smaller share of empty small cells gains nothing worth a file: foggy characters have none."""

PART: Final = 2048
"""Occupied cells that a thread tries together: 131 thousand points."""

log = logging.getLogger(__name__)

_OCTANTS: Final = np.indices((2, 2, 2)).reshape(3, -1).T  # [8, 3], z fastest


class Moment(NamedTuple):
    """Something a character does.

    Attributes:
        enc_a: what is said. float32 [32]
        eye: how brows and eyes are held. float32 [n_eye]
    """

    enc_a: Float[np.ndarray, "32"]
    eye: Float[np.ndarray, "n_eye"]


class Density(Protocol):
    """A head that can be asked; `kernels.cpu.PackedHead` is one. Called by several threads."""

    def opacities(
        self,
        points: Float[np.ndarray, "n 3"],
        enc_a: Float[np.ndarray, "32"],
        eye: Float[np.ndarray, "n_eye"],
    ) -> Float[np.ndarray, "n"]:
        """Opacity of one step at each point, in [0, 1]."""


@dataclass(frozen=True, slots=True)
class FinerGrid:
    """The small cells of a head that are not empty.

    Attributes:
        halves: a byte for every occupied cell, in the order of [x, y, z]; bit 4x + 2y + z is the
            small cell in the upper half of x, y, z where these are 1. uint8 [n_occupied]
    """

    halves: UInt8[np.ndarray, "n_occupied"]

    @property
    def filled_share(self) -> float:
        """Share of the occupied cells' small cells that are not empty."""
        return float(np.unpackbits(self.halves).mean()) if len(self.halves) else 1.0

    def require_of(self, head: HeadWeights) -> None:
        """There is a byte for each occupied cell of this head.

        Raises:
            FinerGridError: it was made for another head.
        """
        n_occupied = int(np.unpackbits(head.density_bitfield.numpy()).sum())
        if len(self.halves) != n_occupied:
            raise FinerGridError(
                f"the finer grid has {len(self.halves)} cells; the head has {n_occupied} occupied"
            )

    def small_cells(self, head: HeadWeights) -> Bool[np.ndarray, "256 256 256"]:
        """One truth value a small cell, indexed [x, y, z]; false outside of occupied cells.

        Raises:
            FinerGridError: it was made for another head.
        """
        self.require_of(head)
        cells = dense_cells(head.density_bitfield.numpy())
        bits = np.unpackbits(self.halves, bitorder="little").astype(bool).reshape(-1, 2, 2, 2)
        small = np.zeros((GRID_SIZE, 2) * 3, bool)
        x, y, z = np.nonzero(cells)
        small[x, :, y, :, z, :] = bits
        return small.reshape((FINE_SIZE,) * 3)

    def to_bytes(self) -> bytes:
        """A file of it, the same for the same grid: tens of kilobytes."""
        content = io.BytesIO()
        np.savez_compressed(content, version=np.uint8(VERSION), halves=self.halves)
        return content.getvalue()


def read_finer_grid(content: bytes, head: HeadWeights) -> FinerGrid | None:
    """The inverse of `FinerGrid.to_bytes`; None for a version that is not known here.

    Raises:
        FinerGridError: it cannot be read, or was made for another head.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            version, halves = (
                decode_array(bytes(read_entry(archive, archive.getinfo(f"{name}.npy"), MAX_BYTES)))
                for name in ("version", "halves")
            )
    except ZIP_ERRORS as error:
        raise FinerGridError(f"the finer grid cannot be read: {error}") from None
    if version.shape != () or int(version) != VERSION:
        log.info("the finer grid has version %s, not %d: it is left aside", version, VERSION)
        return None
    if halves.dtype != np.uint8 or halves.ndim != 1:
        raise FinerGridError(
            f"the finer grid holds {halves.dtype} {halves.shape}; expected uint8 [n]"
        )
    grid = FinerGrid(halves)
    grid.require_of(head)
    return grid


def choose_moments(
    vectors: Float[np.ndarray, "n 32"],
    eyes: Float[np.ndarray, "m n_eye"],
    n: int = MOMENTS,
) -> list[Moment]:
    """The moments that differ most: each the farthest from all that were chosen before.

    Args:
        vectors: what the character can say, the first for certain.
        eyes: how it can hold its eyes, likewise; every choice goes with an arbitrary one of them.
        n: how many to choose at most.
    """
    chosen, held = _farthest(vectors, n), _farthest(eyes, n)
    pairing = np.random.default_rng(0).permutation(np.resize(held, len(chosen)))
    said = np.ascontiguousarray(vectors[chosen], np.float32)
    seen = np.ascontiguousarray(eyes[pairing], np.float32)
    return [Moment(*moment) for moment in zip(said, seen, strict=True)]


def _farthest(points: Float[np.ndarray, "n d"], n: int) -> list[int]:
    chosen, distance = [0], np.linalg.norm(points - points[0], axis=1)
    while len(chosen) < n and distance.max() > 0:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return chosen


def find_empty(head: HeadWeights, density: Density, moments: Sequence[Moment]) -> FinerGrid:
    """Try every small cell at eight places, one in each octant, at every moment.

    The shipped character takes 12 s of a core with AVX-512 BF16, 40 s with AVX2.

    What was found filled is not tried again. The places differ from moment to moment; the result
    does not depend on the number of threads.

    Args:
        head: the character.
        density: what the head says of points.
        moments: what it does; see `choose_moments`.
    """
    cells = np.argwhere(dense_cells(head.density_bitfield.numpy()))
    filled = np.zeros((len(cells), 8), bool)

    def try_part(first: int) -> None:
        part = slice(first, first + PART)
        small = 2 * cells[part, None] + _OCTANTS  # [n, 8, 3]
        random = np.random.default_rng(first)
        for moment in moments:
            empty = np.nonzero(~filled[part])
            found = density.opacities(_places(small[empty], random), *moment)
            # Not a number is not empty.
            filled[part][empty] = ~(found.reshape(-1, 8).max(axis=1) <= LEAST_OPACITY)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(try_part, range(0, len(cells), PART)))
    return FinerGrid(np.packbits(filled, axis=1, bitorder="little")[:, 0])


def _places(
    small_cells: Float[np.ndarray, "n 3"], random: np.random.Generator
) -> Float[np.ndarray, "n*8 3"]:
    """Eight random points in and around each small cell."""
    within = (_OCTANTS + random.random((len(small_cells), 8, 3), np.float32)) / 2
    within = within * (1 + 2 * MARGIN) - MARGIN
    points = (small_cells[:, None] + within) * (2.0 / FINE_SIZE) - 1.0
    return points.clip(-1.0, 1.0).astype(np.float32).reshape(-1, 3)
