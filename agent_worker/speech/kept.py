"""Speech kept by content: what voice, text and speed made once is a file from then on.

Only lines that are written down somewhere anyway (greetings, persona answers) are kept; what is
said freely is not. Files are FLAC, about 24 kB for each second, under names that say nothing.
"""

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Final

import av
import numpy as np

from agent_worker.observability import log
from agent_worker.speech.voice import Pcm
from avatar_contracts.audio import SAMPLE_RATE_HZ

_FORMAT_VERSION: Final = 1
KEPT_MAX_BYTES: Final = 512 * 2**20


def content_key(identity: str, text: str, speed: float) -> str:
    """Name of the speech that this voice makes of this text; spaces between words do not count."""
    parts = [_FORMAT_VERSION, identity, " ".join(text.split()), round(speed, 3)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class KeptSpeech:
    """A folder of spoken lines. Several processes may share it."""

    def __init__(self, folder: Path, max_bytes: int = KEPT_MAX_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes

    def get(self, key: str) -> Pcm | None:
        """The line, or None; a file that cannot be read counts as absent and is removed."""
        path = self._path(key)
        if not path.is_file():
            return None
        try:
            pcm = _read_flac(path)
            os.utime(path)
        except (av.FFmpegError, OSError) as error:
            log().warning("kept speech is unreadable", error=type(error).__name__)
            path.unlink(missing_ok=True)
            return None
        return pcm

    def put(self, key: str, pcm: Pcm) -> None:
        """Keep a line; silence is not kept, and a full disk is logged, not raised."""
        if not len(pcm):
            return
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, draft = tempfile.mkstemp(dir=path.parent, suffix=".part")
            os.close(handle)
            _write_flac(Path(draft), pcm)
            Path(draft).replace(path)
        except (av.FFmpegError, OSError) as error:
            log().warning("speech cannot be kept", error=type(error).__name__)

    def trim(self) -> None:
        """Remove the lines unused for longest, until the folder is within its limit."""
        files = [(path, path.stat()) for path in self._folder.glob("*/*.flac")]
        total = sum(stat.st_size for _, stat in files)
        for path, stat in sorted(files, key=lambda item: item[1].st_mtime):
            if total <= self._max_bytes:
                break
            path.unlink(missing_ok=True)
            total -= stat.st_size

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.flac"


def _write_flac(path: Path, pcm: Pcm) -> None:
    with av.open(path, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE_HZ, layout="mono", format="s16")
        frame = av.AudioFrame.from_ndarray(pcm[np.newaxis, :], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE_HZ
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)


def _read_flac(path: Path) -> Pcm:
    with av.open(path, "r", format="flac") as container:
        blocks = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    if not blocks:
        raise OSError("there is no sound in it")
    return np.concatenate(blocks).astype(np.int16)
