from itertools import pairwise

import numpy as np
import pytest
import torch

from avatar_worker.audio import encoder, pooling
from avatar_worker.audio.encoder import AveEncoder, expected_tensors
from avatar_worker.audio.errors import EncoderError, FeatureError
from avatar_worker.audio.pooling import AudioNetworks
from avatar_worker.audio.sequence import SoundFeatures, read_features, vectors
from avatar_worker.audio.window import ABSENT
from avatar_worker.slots import SHIPPED_CHARACTER
from avatar_worker.trained import open_trained, read_encoder
from tests.unit.avatar_worker import mini

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("voice", ["own", "cross"])
def test_features_are_those_of_the_original(voice):
    reference = mini.golden("audio")
    features = SoundFeatures(mini.audio_model().encoder, reference[f"{voice}_wav"])
    expected = reference[f"{voice}_ave_features"]
    assert len(features) == len(expected)
    found = np.stack([features[i].numpy() for i in range(len(features))])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert found.min() >= 0.0


@pytest.mark.parametrize("voice", ["val", "train", "cross"])
def test_audio_networks_say_what_the_original_says(voice):
    reference = mini.golden("audio")
    features = reference["cross_ave_features" if voice == "cross" else "own_ave_features"]
    offset = 24 if voice == "val" else 0  # the val split holds the features of frames 24 … 31
    networks = mini.audio_model().networks
    rows = range(0, len(reference[f"{voice}_enc_a"]), 3)
    for row in rows:
        numbers = reference[f"{voice}_window_index"][row]
        steps = torch.stack([
            networks.absent() if n == ABSENT else networks.step(mini.tensor(features[n + offset]))
            for n in numbers
        ])  # fmt: skip
        np.testing.assert_allclose(steps, reference[f"{voice}_audio_net_out"][row], atol=1e-4)
        shares = networks.attention(steps)
        np.testing.assert_allclose(shares, reference[f"{voice}_attention_weights"][row], atol=1e-5)
        pooled = networks.pool(list(steps))
        np.testing.assert_allclose(pooled, reference[f"{voice}_enc_a"][row], atol=1e-4)


def test_hearing_stays_on_one_thread_and_leaves_torch_its_own(monkeypatch):
    """On a busy machine two threads made the audio networks five times as slow as one."""
    used = []

    def noting(layer):
        def call(*arguments, **options):
            used.append(torch.get_num_threads())
            return layer(*arguments, **options)

        return call

    for module, layer in ((encoder, "conv2d"), (pooling, "conv1d"), (pooling, "linear")):
        monkeypatch.setattr(module, layer, noting(getattr(module, layer)))
    usual = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        model = mini.audio_model()
        step = model.networks.step(model.encoder.encode(np.zeros((16, 80))))
        model.networks.pool([step] * 8)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(usual)
    assert len(used) > 13
    assert set(used) == {1}


@pytest.mark.parametrize("split", ["val", "train"])
def test_the_footages_own_sound_gives_the_vectors_of_the_original(split):
    trained = open_trained(mini.DATA, mini.WORKSPACE, split=split)
    features = trained.own_features(mini.ENCODER)
    found = np.stack(list(vectors(trained.networks, features, trained.mode)))
    np.testing.assert_allclose(found, mini.golden("audio")[f"{split}_enc_a"], atol=1e-4)


def test_smoothed_lips_keep_a_share_of_the_vector_before():
    trained = open_trained(mini.DATA, mini.WORKSPACE)
    features = trained.own_features(mini.ENCODER)
    found = list(vectors(trained.networks, features, 2, smooth_lips=True))
    np.testing.assert_allclose(found, mini.golden("variants")["smooth_lips_enc_a"], atol=1e-4)
    later = list(vectors(trained.networks, features, 2, start=5, smooth_lips=True))
    assert np.array_equal(later, found[5:])


def test_vectors_can_begin_anywhere():
    features = [mini.tensor(row) for row in mini.golden("audio")["cross_ave_features"]]
    networks = mini.audio_model().networks
    whole = list(vectors(networks, features, 2))
    assert np.array_equal(list(vectors(networks, features, 2, start=17)), whole[17:])


def test_an_encoder_in_half_precision_is_read():
    state = {key: value.half() if value.is_floating_point() else value
             for key, value in read_encoder(mini.ENCODER).items()}  # fmt: skip
    feature = AveEncoder(state).encode(np.zeros((16, 80)))
    assert feature.dtype == torch.float32
    assert feature.shape == (512,)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda s: s.pop("4.conv_block.0.bias"), "4.conv_block.0.bias is missing"),
        (
            lambda s: s.update({"0.conv_block.0.weight": torch.zeros(32, 1, 5, 5)}),
            "expected floats",
        ),
        (lambda s: s["12.conv_block.1.running_var"].fill_(float("nan")), "not finite"),
        (lambda s: s.update({"0.conv_block.0.bias": torch.zeros(32, dtype=torch.int32)}), "int32"),
    ],
)
def test_a_damaged_encoder_is_refused(change, sentence):
    state = {key: value.clone() for key, value in read_encoder(mini.ENCODER).items()}
    assert set(expected_tensors()) <= set(state)
    change(state)
    with pytest.raises(EncoderError, match=sentence):
        AveEncoder(state)


def test_the_shipped_encoder_serves_for_training_too(tmp_path):
    AveEncoder(read_encoder(SHIPPED_CHARACTER / "audio_encoder.safetensors"))
    half = tmp_path / "half.safetensors"
    half.write_bytes((SHIPPED_CHARACTER / "audio_encoder.safetensors").read_bytes()[:1_000_000])
    with pytest.raises(EncoderError, match="cannot be read as safetensors"):
        read_encoder(half)
    with pytest.raises(EncoderError, match="cannot be read as safetensors"):
        read_encoder(tmp_path / "absent.safetensors")


def conv_state(channels: int) -> dict[str, torch.Tensor]:
    """A small convolutional audio network with known random weights."""
    torch.manual_seed(5)
    state = {}
    widths = (channels, 32, 32, 64, 64)
    for index, (n_in, n_out) in enumerate(pairwise(widths)):
        state[f"audio_net.encoder_conv.{2 * index}.weight"] = torch.randn(n_out, n_in, 3) * 0.1
        state[f"audio_net.encoder_conv.{2 * index}.bias"] = torch.randn(n_out)
    for index, (n_in, n_out) in enumerate(((64, 64), (64, 32))):
        state[f"audio_net.encoder_fc1.{2 * index}.weight"] = torch.randn(n_out, n_in) * 0.1
        state[f"audio_net.encoder_fc1.{2 * index}.bias"] = torch.randn(n_out)
    return state


@pytest.mark.parametrize(("channels", "columns"), [(29, 16), (1024, 2)])
def test_convolutional_networks_take_features_of_their_kind(channels, columns, tmp_path):
    networks = AudioNetworks(conv_state(channels))
    stored = np.random.default_rng(1).normal(size=(5, columns, channels))
    np.save(tmp_path / "features.npy", stored)
    features = read_features(tmp_path / "features.npy", networks)
    found = list(vectors(networks, features, 2))
    assert not networks.has_attention
    assert len(found) == 5
    # Without attention a frame is its own step; the same with an ordinary layer stack:
    layers = []
    for n in (0, 2, 4, 6):
        weight = conv_state(channels)[f"audio_net.encoder_conv.{n}.weight"]
        layer = torch.nn.Conv1d(weight.shape[1], weight.shape[0], 3, stride=2, padding=1)
        layer.weight.data = weight
        layer.bias.data = conv_state(channels)[f"audio_net.encoder_conv.{n}.bias"]
        layers += [layer, torch.nn.LeakyReLU(0.02)]
    hidden = torch.nn.Sequential(*layers)(mini.tensor(stored[2].T.astype(np.float32))[None])
    state = conv_state(channels)
    dense = torch.nn.functional.leaky_relu(
        hidden.reshape(-1) @ state["audio_net.encoder_fc1.0.weight"].T
        + state["audio_net.encoder_fc1.0.bias"], 0.02)  # fmt: skip
    expected = dense @ state["audio_net.encoder_fc1.2.weight"].T
    expected = expected + state["audio_net.encoder_fc1.2.bias"]
    np.testing.assert_allclose(found[2], expected.detach(), atol=1e-4)


def test_stored_features_drive_a_head_like_the_sound_they_come_from(tmp_path):
    reference = mini.golden("audio")
    np.save(tmp_path / "ave.npy", reference["cross_ave_features"])
    networks = mini.audio_model().networks
    found = list(vectors(networks, read_features(tmp_path / "ave.npy", networks), 2))
    np.testing.assert_allclose(found, reference["cross_enc_a"], atol=1e-4)


@pytest.mark.parametrize(
    "array", [np.zeros((4, 29, 16)), np.zeros((0, 512)), np.full((3, 512), np.inf), np.zeros(512)]
)
def test_features_of_another_kind_are_refused(tmp_path, array):
    np.save(tmp_path / "other.npy", array)
    with pytest.raises(FeatureError):
        read_features(tmp_path / "other.npy", mini.audio_model().networks)
