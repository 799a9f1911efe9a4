"""A contact sheet and a film of what is drawn, for a look at it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np

from avatar_worker.recipes.people.camera import FPS
from avatar_worker.recipes.people.draw import Drawings
from avatar_worker.recipes.people.plan import Frame

COLUMNS, TILE_PX = 8, 192
FACE = slice(130, 410), slice(116, 396)


def contact_sheet(frames: Sequence[Frame], work: Path, path: Path, tiles: int = 40) -> None:
    """Faces of evenly chosen frames."""
    chosen = [
        frames[at] for at in np.linspace(0, len(frames) - 1, min(tiles, len(frames)), dtype=int)
    ]
    drawn = []
    for frame in chosen:
        face = cv2.imread(str(Drawings(work).picture(frame.index)))[FACE]
        tile = cv2.resize(face, (TILE_PX, TILE_PX), interpolation=cv2.INTER_AREA)
        label = str(frame.index)
        cv2.putText(tile, label, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1)
        drawn.append(tile)
    drawn += [np.zeros_like(drawn[0])] * (-len(drawn) % COLUMNS)
    rows = [np.hstack(drawn[at : at + COLUMNS]) for at in range(0, len(drawn), COLUMNS)]
    cv2.imwrite(str(path), np.vstack(rows))


def silent_film(frames: Sequence[Frame], work: Path, path: Path) -> None:
    """The drawn frames in order of time, without sound (frames not drawn yet are left out)."""
    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=FPS, options={"crf": "16"})
        stream.width = stream.height = 512
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            picture = cv2.imread(str(Drawings(work).picture(frame.index)))
            target.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        target.mux(stream.encode(None))
