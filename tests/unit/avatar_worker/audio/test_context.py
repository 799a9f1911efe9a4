"""An encoder whose features are read with the seven before them: live, in files, in bundles."""

from functools import cache

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from avatar_worker.audio.context import context_tensors
from avatar_worker.audio.encoder import AveEncoder
from avatar_worker.audio.errors import EncoderError
from avatar_worker.audio.features import AudioFeatureStream, AudioModel, whole_file
from avatar_worker.audio.pooling import AudioNetworks
from avatar_worker.audio.sequence import sound_features, vectors
from avatar_worker.audio.window import frame_count
from avatar_worker.import_bundle import BundleOptions, write_bundle
from avatar_worker.recipes.audio_encoder.network import TrainedContext
from avatar_worker.trained import open_trained, read_encoder
from tests.unit.avatar_worker import mini

pytestmark = pytest.mark.unit

WHOLE_VOICE = mini.golden("audio")["cross_wav"]
VOICE = WHOLE_VOICE[5000:14_300]


def encoder_state() -> dict[str, torch.Tensor]:
    """The small character's encoder with a context of weights as training begins with."""
    torch.manual_seed(3)
    return read_encoder(mini.ENCODER) | TrainedContext().tensors()


@cache
def model() -> AudioModel:
    return AudioModel(AveEncoder(encoder_state()), AudioNetworks(mini.checkpoint().state))


def streamed(samples: np.ndarray, edges: str, piece: int) -> np.ndarray:
    stream = AudioFeatureStream(model(), edges)
    found = []
    for start in range(0, len(samples), piece):
        found += stream.push(samples[start : start + piece])
    return np.stack(found + stream.flush())


@pytest.mark.parametrize("edges", ["file", "silence"])
@pytest.mark.parametrize("piece", [200, 1281, 4999])
def test_vectors_do_not_depend_on_how_the_voice_is_cut(edges, piece):
    whole = streamed(VOICE, edges, len(VOICE))
    assert np.array_equal(streamed(VOICE, edges, piece), whole)


def test_live_and_file_hear_the_same():
    features = sound_features(model().encoder, VOICE)
    assert len(features) == frame_count(len(VOICE))
    from_file = np.stack(list(vectors(model().networks, features, 2)))
    assert np.array_equal(from_file, whole_file(model(), VOICE))
    assert torch.equal(features[9], sound_features(model().encoder, VOICE)[9])  # in any order


def test_a_segment_between_silences_is_the_middle_of_a_file_with_silence_around():
    n_silent = model().lead_in().silent_frames
    silence = np.zeros(n_silent * 640, np.float32)
    padded = whole_file(model(), np.concatenate((silence, VOICE, silence)))
    found = streamed(VOICE, "silence", 1280)
    assert np.array_equal(found, padded[n_silent : n_silent + len(found)])


def test_lasting_silence_has_the_vector_of_silence():
    for vector in streamed(np.zeros(16_000, np.float32), "silence", 1280):
        assert np.array_equal(vector, model().silence())


def test_nothing_is_heard_later_than_without():
    stream = AudioFeatureStream(model(), "silence")
    given = 0
    for start in range(0, 9200, 40):
        given += len(stream.push(VOICE[start : start + 40]))
        assert given >= max(0, (start + 40 - 4040) // 640 + 1)


def test_a_feature_hears_seven_before_it_and_no_more():
    plain = AveEncoder(read_encoder(mini.ENCODER))
    changed = WHOLE_VOICE.copy()
    changed[:6400] = 0.0
    before, after = (sound_features(plain, voice) for voice in (WHOLE_VOICE, changed))
    differs = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    last = max(np.flatnonzero(differs))
    before, after = (sound_features(model().encoder, voice) for voice in (WHOLE_VOICE, changed))
    assert not torch.equal(before[last + 7], after[last + 7])
    assert torch.equal(before[last + 8], after[last + 8])


def test_what_is_trained_is_what_is_used():
    torch.manual_seed(4)
    trained = TrainedContext()
    trained(torch.rand(32, 20, 512))  # moves the statistics
    state = read_encoder(mini.ENCODER) | trained.tensors()
    features = torch.rand(2, 11, 512)
    context = AveEncoder(state).context
    assert context is not None
    with torch.inference_mode():
        expected = trained(features)
    torch.testing.assert_close(context.read(features), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        context.last(list(features[1, 3:])), expected[1, 3], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda s: s.pop("context.3.bias"), "context.3.bias is missing"),
        (
            lambda s: s.update({"context.1.weight": torch.zeros(2, 2)}),
            r"context\.1\.weight is torch\.float32 \(2, 2\); expected floats \(192, 192, 3\)",
        ),
        (lambda s: s["context.0.bias"].fill_(torch.nan), "not finite"),
    ],
)
def test_a_damaged_context_is_refused(change, sentence):
    state = encoder_state()
    change(state)
    with pytest.raises(EncoderError, match=sentence):
        AveEncoder(state)


def test_a_bundle_keeps_it(tmp_path):
    path = tmp_path / "encoder.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in encoder_state().items()}, path)
    trained = open_trained(mini.DATA, mini.WORKSPACE, split="train", part=(0, 2))
    options = BundleOptions(name="mini", licence="Apache-2.0", consent="drawn, nobody")
    write_bundle(trained, tmp_path / "mini", options, encoder=path)
    kept = load_file(tmp_path / "mini/audio_encoder.safetensors")
    assert context_tensors().keys() <= kept.keys()
