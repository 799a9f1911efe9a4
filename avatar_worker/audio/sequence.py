"""Audio vectors of frames whose features all lie ready: a file's own, or a stored array.

This is the way of the original's test run. The live path is `features.AudioFeatureStream`; both
give the same vectors for a whole file.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from avatar_worker.audio.context import CONTEXT_FEATURES
from avatar_worker.audio.encoder import AveEncoder
from avatar_worker.audio.errors import FeatureError
from avatar_worker.audio.features import DEAF, Encoder
from avatar_worker.audio.hubert import HubertEncoder, HubertSound
from avatar_worker.audio.mel import log_mel
from avatar_worker.audio.pooling import AudioNetworks
from avatar_worker.audio.window import (
    ABSENT,
    MIN_SAMPLES,
    WINDOW_COLUMNS,
    AttentionMode,
    attention_window,
    frame_count,
    window_count,
    window_of_feature,
    window_start,
)
from avatar_worker.plain_files import decode_array, read_plain

MAX_FEATURE_BYTES: Final = 1024**3
"""A quarter of an hour of the largest kind (HuBERT: 2 × 1024 numbers a frame) has 180 MB."""

LIP_INERTIA: Final = 0.35
"""Share of the previous vector where lips are smoothed."""


class SoundFeatures(Sequence[Tensor]):
    """Features of a whole sound, encoded when they are asked for. n = `frame_count`."""

    def __init__(self, encoder: AveEncoder, samples: Float[np.ndarray, "n"]) -> None:
        missing = max(0, MIN_SAMPLES - len(samples))
        samples = np.concatenate((samples, np.zeros(missing, np.float32)))
        self._encoder = encoder
        self._columns = log_mel(samples)
        self._n_windows = window_count(len(self._columns))
        self._n_features = frame_count(len(samples))
        self._encoding = lru_cache(maxsize=2 * CONTEXT_FEATURES)(self._encode)

    def __len__(self) -> int:
        return self._n_features

    def window_columns(self, feature: int) -> tuple[int, int]:
        """First mel column of a feature's window, and the one after its last."""
        window = window_of_feature(feature, self._n_windows)
        start = min(window_start(window), len(self._columns) - WINDOW_COLUMNS)
        return start, start + WINDOW_COLUMNS

    def __getitem__(self, feature: int) -> Tensor:  # type: ignore[override]  # no slices
        if not 0 <= feature < self._n_features:
            raise IndexError(feature)
        if self._encoder.context is None:
            return self._encoding(feature)
        seen = range(feature + 1 - CONTEXT_FEATURES, feature + 1)
        return self._encoder.context.last([self._encoding(max(0, number)) for number in seen])

    def _encode(self, feature: int) -> Tensor:
        first, end = self.window_columns(feature)
        return self._encoder.encode(self._columns[first:end])


def sound_features(encoder: Encoder | None, samples: Float[np.ndarray, "n"]) -> Sequence[Tensor]:
    """Features of a whole sound, whatever the character listens to.

    Raises:
        FeatureError: there is nothing to hear with.
    """
    if encoder is None:
        raise FeatureError(DEAF)
    if isinstance(encoder, HubertEncoder):
        return HubertSound(encoder, samples)
    return SoundFeatures(encoder, samples)


def read_features(path: Path, networks: AudioNetworks) -> list[Tensor]:
    """Features stored one a frame: [n, 512] or [n, 1, 512], or [n, columns, channels].

    Raises:
        FeatureError: the file cannot be read or its features are of another kind.
    """
    try:
        array = decode_array(read_plain(path, MAX_FEATURE_BYTES))
    except ValueError as error:
        raise FeatureError(f"{path} cannot be read as an array: {error}") from None
    expected = networks.feature_shape
    if len(expected) == 1 and array.ndim == 3 and array.shape[1] == 1:
        array = array[:, 0]
    if len(expected) == 2 and array.ndim == 3:
        array = array.transpose(0, 2, 1)
    if array.ndim != 1 + len(expected) or array.shape[1] != expected[0] or len(array) == 0:
        raise FeatureError(f"{path} holds {array.shape}; one feature is expected to be {expected}")
    with np.errstate(over="ignore"):
        features = np.array(array, dtype=np.float32, order="C")
    if array.dtype.kind != "f" or not np.isfinite(features).all():
        raise FeatureError(f"{path} holds values that are not finite numbers")
    return list(torch.from_numpy(features))


def vectors(
    networks: AudioNetworks,
    features: Sequence[Tensor],
    mode: AttentionMode,
    *,
    start: int = 0,
    smooth_lips: bool = False,
) -> Iterator[Float[np.ndarray, "32"]]:
    """Audio vectors of frames start, start + 1 …; beyond either end features are zeros.

    With `smooth_lips` each vector keeps a share of the one before it, from frame 0 on.
    """
    n_features = len(features)
    absent = networks.absent()
    steps: dict[int, Tensor] = {ABSENT: absent}
    previous: Tensor | None = None
    mode = mode if networks.has_attention else 0
    for index in range(0 if smooth_lips else start, n_features):
        numbers = attention_window(index, n_features, mode)
        fresh = {n: networks.step(features[n]) for n in numbers if n not in steps}
        steps = {n: fresh.get(n, steps.get(n, absent)) for n in (*numbers, ABSENT)}
        vector = networks.pool([steps[n] for n in numbers])
        if smooth_lips and previous is not None:
            vector = LIP_INERTIA * previous + (1.0 - LIP_INERTIA) * vector
        previous = vector
        if index >= start:
            yield vector.numpy()
