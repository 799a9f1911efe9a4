"""The audio encoder on a GPU: the CPU's features, and still the same however the sound was cut."""

import numpy as np
import pytest
import torch

from avatar_worker.audio.features import AudioFeatureStream
from tests.unit.avatar_worker import mini

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]


def vectors(model, sound: np.ndarray, chunk: int) -> np.ndarray:
    stream = AudioFeatureStream(model)
    given = [v for i in range(0, len(sound), chunk) for v in stream.push(sound[i : i + chunk])]
    return np.stack(given + stream.flush())


def test_features_are_those_of_the_cpu_and_do_not_depend_on_the_cutting():
    rng = np.random.default_rng(5)
    sound = rng.normal(0, 0.1, 3 * 16_000).astype(np.float32)
    model = mini.audio_model()
    moved = model.on(torch.device("cuda"))
    expected, found = vectors(model, sound, 1280), vectors(moved, sound, 1280)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.array_equal(found, vectors(moved, sound, 777))
    assert np.array_equal(found, vectors(moved, sound, len(sound)))
