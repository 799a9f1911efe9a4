"""Sound in, one audio vector per video frame out; in pieces of any length.

    stream = AudioFeatureStream(model)
    for chunk in chunks:                      # float32 mono 16 kHz, any length
        for enc_a in stream.push(chunk): ...  # frames 0, 1, 2 … of this segment
    for enc_a in stream.flush(): ...          # the rest; the stream is then used up

The k-th vector belongs to samples 640·k … 640·k + 639. It becomes certain at most 252.5 ms after
the first of them (`window.LOOK_AHEAD_SAMPLES`). Cost per frame and memory are constant, and the
vectors do not depend on how the sound was cut, to the last bit.

A segment has edges. `file` treats them as the original treats a whole file: features of zeros
before the start and after the end, first and last feature repeated, about one frame more than
the sound is long. `silence` takes the segment for speech between silences, which is what a
character hears in a conversation: exactly ⌈samples / 640⌉ frames, and the first frames see
the features of silence instead of zeros that no training has ever seen.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from avatar_worker.audio.encoder import AveEncoder
from avatar_worker.audio.mel import N_BANDS, MelStream
from avatar_worker.audio.pooling import AudioNetworks
from avatar_worker.audio.window import (
    ABSENT,
    FEATURE_SHIFT_FRAMES,
    FRAME_SAMPLES,
    MIN_SAMPLES,
    WINDOW_COLUMNS,
    AttentionMode,
    attention_window,
    frame_count,
    window_count,
    window_start,
)

Edges = Literal["file", "silence"]

SILENT_FRAMES: Final = 10
"""Silence around a `silence` segment: more than shift (2) and attention (4 before, 3 after), and
a multiple of 5 frames = 16 mel columns, so that columns and windows fall as in a whole file."""

AudioVector = Float[np.ndarray, "32"]


@dataclass(frozen=True, slots=True)
class AudioModel:
    """What turns sound into the vectors of one character.

    Attributes:
        encoder: shared by all characters trained on its features.
        networks: the character's own.
        mode: which features a frame sees; 0 for characters without attention.
    """

    encoder: AveEncoder
    networks: AudioNetworks
    mode: AttentionMode = 2
    _primed: "dict[str, _Progress]" = field(default_factory=dict, repr=False, compare=False)

    def on(self, device: torch.device) -> "AudioModel":
        """The same with the encoder, which is most of the work, where pictures are drawn."""
        if device.type == "cpu":
            return self
        return AudioModel(self.encoder.on(device), self.networks, self.mode)

    def silence(self) -> AudioVector:
        """The vector of lasting digital silence: the mouth at rest."""
        return self.lead_in().silence.copy()

    def lead_in(self) -> "_Progress":
        """Progress after `SILENT_FRAMES` of silence; made once, copied for every segment."""
        if "silence" not in self._primed:
            progress = _Progress(self)
            vectors = progress.push(np.zeros(2 * SILENT_FRAMES * FRAME_SAMPLES, np.float32))
            silence = vectors[-1]
            progress = _Progress(self)
            progress.push(np.zeros(SILENT_FRAMES * FRAME_SAMPLES, np.float32))
            progress.silence = silence
            self._primed["silence"] = progress
        return self._primed["silence"]


class AudioFeatureStream:
    """Audio vectors of one segment; one object per segment, not shared between threads.

    Args:
        model: encoder and networks.
        edges: what lies before and after the segment, see above.
    """

    def __init__(self, model: AudioModel, edges: Edges = "silence") -> None:
        self._edges = edges
        self._n_samples = 0
        self._n_given = 0
        if edges == "silence":
            self._progress = model.lead_in().copy()
            self._skip = SILENT_FRAMES - self._progress.n_given
        else:
            self._progress = _Progress(model)
            self._skip = 0

    @property
    def n_frames(self) -> int:
        """Vectors given so far."""
        return self._n_given

    def push(self, samples: Float[np.ndarray, "n"]) -> list[AudioVector]:
        """Take float32 mono 16 kHz samples in [−1, 1]; return the vectors that became certain."""
        self._n_samples += len(samples)
        return self._given(self._progress.push(samples))

    def flush(self) -> list[AudioVector]:
        """The segment is over: the vectors that were still waiting for sound."""
        if self._n_samples == 0:
            return []
        if self._edges == "file":
            missing = max(0, MIN_SAMPLES - self._n_samples)
            vectors = self._progress.push(np.zeros(missing, np.float32))
            return self._given(vectors + self._progress.finish())
        wanted = -(-self._n_samples // FRAME_SAMPLES) - self._n_given
        tail = np.zeros(SILENT_FRAMES * FRAME_SAMPLES, np.float32)
        return self._given(self._progress.push(tail), wanted)

    def _given(self, vectors: list[AudioVector], wanted: int | None = None) -> list[AudioVector]:
        """Leave out the vectors of the silence in front, and those beyond the number wanted."""
        skipped = min(self._skip, len(vectors))
        self._skip -= skipped
        vectors = vectors[skipped:][:wanted]
        self._n_given += len(vectors)
        return vectors


def whole_file(model: AudioModel, samples: Float[np.ndarray, "n"]) -> Float[np.ndarray, "f 32"]:
    """All vectors of a sound, as the original computes them for a file. f = `frame_count(n)`."""
    stream = AudioFeatureStream(model, edges="file")
    vectors = stream.push(samples) + stream.flush()
    return np.stack(vectors) if vectors else np.zeros((0, 32), np.float32)


class _Progress:
    """The pipeline's state: mel columns, then features, then steps that a frame still needs."""

    def __init__(self, model: AudioModel) -> None:
        self._model = model
        self._mel = MelStream()
        self._columns = np.zeros((0, N_BANDS))  # from column `_first_column` on
        self._first_column = 0
        self._n_windows = 0
        self._steps: deque[Tensor] = deque()  # of features `_first_step` …
        self._first_step = 0
        self._absent = model.networks.absent()
        self.n_given = 0
        self.silence = np.zeros(32, np.float32)

    def copy(self) -> "_Progress":
        """State that goes on from here by itself."""
        other = object.__new__(_Progress)
        other.__dict__.update(self.__dict__)
        other._mel = self._mel.copy()
        other._columns = self._columns.copy()
        other._steps = self._steps.copy()
        return other

    @property
    def _n_features(self) -> int:
        return self._first_step + len(self._steps)

    def push(self, samples: Float[np.ndarray, "n"]) -> list[AudioVector]:
        """Vectors that became certain with these samples."""
        self._columns = np.concatenate((self._columns, self._mel.push(samples)))
        vectors: list[AudioVector] = []
        while self._has_window(self._n_windows):
            self._encode(self._n_windows)
            vectors += self._ready()
        return vectors

    def finish(self) -> list[AudioVector]:
        """Vectors up to the end of the sound, by the rule of whole files."""
        self._columns = np.concatenate((self._columns, self._mel.flush()))
        n_columns = self._first_column + len(self._columns)
        n_windows = window_count(n_columns)
        vectors: list[AudioVector] = []
        while self._n_windows < n_windows:
            self._encode(self._n_windows, n_columns)
            vectors += self._ready()
        for _ in range(FEATURE_SHIFT_FRAMES):
            self._steps.append(self._steps[-1])
        n_frames = frame_count(self._mel.n_samples)
        while self.n_given < n_frames:
            vectors.append(self._vector(self._n_features))
        return vectors

    def _has_window(self, window: int) -> bool:
        end = window_start(window) + WINDOW_COLUMNS
        return end <= self._first_column + len(self._columns)

    def _encode(self, window: int, n_columns: int | None = None) -> None:
        """Encode the next window; near the end of a file it is moved back to end with it."""
        start = window_start(window)
        if n_columns is not None:
            start = min(start, n_columns - WINDOW_COLUMNS)
        first = start - self._first_column
        feature = self._model.encoder.encode(self._columns[first : first + WINDOW_COLUMNS])
        step = self._model.networks.step(feature)
        copies = 1 + FEATURE_SHIFT_FRAMES if window == 0 else 1
        self._steps.extend([step] * copies)
        self._n_windows += 1
        # A last window may be moved back by up to a whole window: keep that many columns.
        keep_from = min(window_start(self._n_windows) - WINDOW_COLUMNS, start)
        if keep_from > self._first_column:
            self._columns = self._columns[keep_from - self._first_column :]
            self._first_column = keep_from

    def _ready(self) -> list[AudioVector]:
        """Vectors of frames all of whose features are known."""
        reach = {0: 0, 1: -1, 2: 3}[self._model.mode]
        vectors = []
        while self.n_given + reach < self._n_features:
            vectors.append(self._vector(self._n_features))
        return vectors

    def _vector(self, n_features: int) -> AudioVector:
        """The vector of the next frame; forgets the steps no later frame sees."""
        numbers = attention_window(self.n_given, n_features, self._model.mode)
        steps = [
            self._absent if n == ABSENT else self._steps[n - self._first_step] for n in numbers
        ]
        self.n_given += 1
        while self._first_step < self.n_given - 8 and len(self._steps) > 1:
            self._steps.popleft()
            self._first_step += 1
        return self._model.networks.pool(steps).numpy()
