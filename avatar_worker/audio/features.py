"""Sound in, one audio vector per video frame out; in pieces of any length.

    stream = AudioFeatureStream(model)
    for chunk in chunks:                      # float32 mono 16 kHz, any length
        for enc_a in stream.push(chunk): ...  # frames 0, 1, 2 … of this segment
    for enc_a in stream.flush(): ...          # the rest; the stream is then used up

The k-th vector belongs to samples 640·k … 640·k + 639. It becomes certain at most 252.5 ms after
the first of them (`window.LOOK_AHEAD_SAMPLES`; with HuBERT 525 ms). Cost per frame and memory are
constant, and the vectors do not depend on how the sound was cut, to the last bit.

A segment has edges. `file` treats them as the original treats a whole file: features of zeros
before the start and after the end, first and last feature repeated, about one frame more than
the sound is long. `silence` takes the segment for speech between silences, which is what a
character hears in a conversation: exactly ⌈samples / 640⌉ frames, and the first frames see
the features of silence instead of zeros that no training has ever seen.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from avatar_worker.audio.encoder import AveEncoder
from avatar_worker.audio.errors import FeatureError
from avatar_worker.audio.hubert import HubertEncoder, HubertFeatures
from avatar_worker.audio.mel_features import MelFeatures
from avatar_worker.audio.pooling import AudioNetworks
from avatar_worker.audio.window import (
    ABSENT,
    FRAME_SAMPLES,
    MIN_SAMPLES,
    AttentionMode,
    attention_window,
)

Edges = Literal["file", "silence"]

AudioVector = Float[np.ndarray, "32"]
Encoder = AveEncoder | HubertEncoder
DEAF: Final = (
    "the character listens to HuBERT features: name the file of a HuBERT model, in "
    "AVATAR_HUBERT_MODEL for a worker, with --hubert for a command"
)


class FeatureStream(Protocol):
    """Turns sound into features, one for each frame. `MelFeatures` and `HubertFeatures` are two."""

    @property
    def silent_frames(self) -> int:
        """Silence around a `silence` segment: as much as any feature can hear or vector see, and
        so much that features fall as in a whole file."""

    def copy(self) -> Self:
        """State that goes on from here by itself."""

    def push(self, samples: Float[np.ndarray, "n"]) -> Iterator[Tensor]:
        """Features that became certain with these samples; all of them are to be taken."""

    def finish(self) -> Iterator[Tensor]:
        """Features up to the end of the sound, by the rule of whole files."""


def feature_stream(encoder: Encoder | None) -> FeatureStream:
    """A fresh one, at the beginning of a sound.

    Raises:
        FeatureError: there is nothing to hear with.
    """
    if encoder is None:
        raise FeatureError(DEAF)
    if isinstance(encoder, HubertEncoder):
        return HubertFeatures(encoder)
    return MelFeatures(encoder)


@dataclass(frozen=True, slots=True)
class AudioModel:
    """What turns sound into the vectors of one character.

    Attributes:
        encoder: shared by all characters trained on its features; None for one that listens to
            HuBERT while no model is named: it is driven by feature files only.
        networks: the character's own.
        mode: which features a frame sees; 0 for characters without attention.
    """

    encoder: Encoder | None
    networks: AudioNetworks
    mode: AttentionMode = 2
    _primed: "dict[str, _Progress]" = field(default_factory=dict, repr=False, compare=False)

    def on(self, device: torch.device) -> "AudioModel":
        """The same with the encoder, which is most of the work, where pictures are drawn.

        A HuBERT model stays where its file puts it.
        """
        if device.type == "cpu" or not isinstance(self.encoder, AveEncoder):
            return self
        return AudioModel(self.encoder.on(device), self.networks, self.mode)

    def silence(self) -> AudioVector:
        """The vector of lasting digital silence: the mouth at rest."""
        return self.lead_in().silence.copy()

    def lead_in(self) -> "_Progress":
        """Progress after `silent_frames` of silence; made once, copied for every segment."""
        if "silence" not in self._primed:
            progress = _Progress(self)
            silent = np.zeros(progress.silent_frames * FRAME_SAMPLES, np.float32)
            silence = progress.push(np.concatenate((silent, silent)))[-1]
            progress = _Progress(self)
            progress.push(silent)
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
            self._skip = self._progress.silent_frames - self._progress.n_given
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
        tail = np.zeros(self._progress.silent_frames * FRAME_SAMPLES, np.float32)
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
    """The pipeline's state: what the features need, and steps that a frame still needs."""

    def __init__(self, model: AudioModel) -> None:
        self._model = model
        self._features = feature_stream(model.encoder)
        self._steps: deque[Tensor] = deque()  # of features `_first_step` …
        self._first_step = 0
        self._absent = model.networks.absent()
        self.silent_frames = self._features.silent_frames
        self.n_given = 0
        self.silence = np.zeros(32, np.float32)

    def copy(self) -> "_Progress":
        """State that goes on from here by itself."""
        other = object.__new__(_Progress)
        other.__dict__.update(self.__dict__)
        other._features = self._features.copy()
        other._steps = self._steps.copy()
        return other

    @property
    def _n_features(self) -> int:
        return self._first_step + len(self._steps)

    def push(self, samples: Float[np.ndarray, "n"]) -> list[AudioVector]:
        """Vectors that became certain with these samples."""
        vectors: list[AudioVector] = []
        for feature in self._features.push(samples):
            self._steps.append(self._model.networks.step(feature))
            vectors += self._ready()
        return vectors

    def finish(self) -> list[AudioVector]:
        """Vectors up to the end of the sound, by the rule of whole files."""
        self._steps.extend(self._model.networks.step(f) for f in self._features.finish())
        vectors: list[AudioVector] = []
        while self.n_given < self._n_features:
            vectors.append(self._vector(self._n_features))
        return vectors

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
