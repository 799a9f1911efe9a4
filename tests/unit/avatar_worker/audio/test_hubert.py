"""HuBERT features through windows of fixed places: files and live sound have the same."""

from pathlib import Path

import numpy as np
import pytest

from avatar_worker.__main__ import main
from avatar_worker.audio import hubert
from avatar_worker.audio.errors import EncoderError, FeatureError
from avatar_worker.audio.features import AudioFeatureStream, AudioModel, whole_file
from avatar_worker.audio.hubert import HubertEncoder, HubertFeatures, HubertSound
from avatar_worker.audio.pooling import AudioNetworks
from avatar_worker.audio.sequence import vectors
from avatar_worker.audio.sound import read_sound
from avatar_worker.character import load_bundle
from avatar_worker.engines.base import EngineError
from avatar_worker.engines.synctalk import SyncTalkEngine
from avatar_worker.render.checkpoint import find_checkpoint, read_checkpoint
from avatar_worker.streaming import StreamingInference
from avatar_worker.trained import open_trained
from tests.unit.avatar_worker import hubert_models, mini

pytestmark = pytest.mark.unit

VOICE = np.tile(mini.golden("audio")["cross_wav"], 3)[:52_000]
"""3.25 s: windows that begin with the sound, windows in its middle, and those at its end."""


@pytest.fixture(scope="module")
def model_file(tmp_path_factory) -> Path:
    return hubert_models.write_onnx(tmp_path_factory.mktemp("hubert") / "rows.onnx")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    return hubert_models.write_workspace(tmp_path_factory.mktemp("trial"))


@pytest.fixture(scope="module")
def model(model_file: Path, workspace: Path) -> AudioModel:
    state = read_checkpoint(find_checkpoint(workspace)).state
    return AudioModel(HubertEncoder(model_file), AudioNetworks(state))


def streamed(model: AudioModel, lengths: list[int], edges: str) -> list[np.ndarray]:
    stream = AudioFeatureStream(model, edges)
    found, start = [], 0
    for length in lengths:
        found += stream.push(VOICE[start : start + length])
        start += length
    return found + stream.push(VOICE[start:]) + stream.flush()


def imported(workspace: Path, folder: Path) -> Path:
    """A bundle of the head, two poses long."""
    who = ["--data", str(mini.DATA), "--workspace", str(workspace), "--split", "val"]
    bundle = folder / "mini.zip"
    assert main(["import", *who, "--loop", "0", "2", "--out", str(bundle), "--name", "mini"]) == 0
    return bundle


@pytest.mark.parametrize("edges", ["file", "silence"])
@pytest.mark.parametrize(
    "lengths",
    [[1] * 3000, [640] * 80, [1281] * 40, [3279, 1, 3200, 1, 0, 9999], [22_480, 3200], [51_999]],
)
def test_vectors_do_not_depend_on_how_the_voice_is_cut(model, lengths, edges) -> None:
    assert np.array_equal(streamed(model, lengths, edges), streamed(model, [], edges))


def test_live_sound_has_the_features_of_the_whole_file_to_the_last_bit(model) -> None:
    whole = HubertSound(model.encoder, VOICE)
    # (52,000 − 80) / 320 = 162 rows, two for each frame
    assert len(whole) == 81
    stream = HubertFeatures(model.encoder)
    live = [f for at in range(0, len(VOICE), 777) for f in stream.push(VOICE[at : at + 777])]
    live += stream.finish()
    assert len(live) == 81
    assert all(np.array_equal(a, b) for a, b in zip(live, whole, strict=True))
    drawn = list(vectors(model.networks, whole, model.mode))
    assert np.array_equal(drawn, whole_file(model, VOICE))


def test_a_feature_hears_a_second_before_its_block_and_a_fifth_behind_it_and_no_more(
    model,
) -> None:
    # Block 10: samples 32,000 … 35,199, heard from 16,000 to 38,479.
    own = [HubertSound(model.encoder, VOICE)[frame] for frame in (50, 54)]
    for at, is_heard in ((15_999, False), (16_000, True), (38_479, True), (38_480, False)):
        other = VOICE.copy()
        other[at] += 0.5
        changed = [HubertSound(model.encoder, other)[frame] for frame in (50, 54)]
        assert [not np.array_equal(a, b) for a, b in zip(own, changed, strict=True)] == [
            is_heard
        ] * 2


def test_a_vector_is_certain_when_its_look_ahead_has_been_heard(model) -> None:
    stream, given = AudioFeatureStream(model, "file"), 0
    for start in range(0, 40_000, 80):
        given += len(stream.push(VOICE[start : start + 80]))
        heard = start + 80
        assert given >= max(0, (heard - hubert.LOOK_AHEAD_SAMPLES) // 640 + 1)
    assert given <= 40_000 // 640


def test_memory_and_calls_of_the_model_do_not_grow_with_the_sound(model, monkeypatch) -> None:
    heard: list[int] = []
    rows = HubertEncoder.rows
    monkeypatch.setattr(
        HubertEncoder,
        "rows",
        lambda self, samples: (heard.append(len(samples)), rows(self, samples))[1],
    )
    stream = AudioFeatureStream(model, "file")
    for _ in range(20):
        stream.push(VOICE[:16_000])
        assert stream._progress._features._samples.size <= 16_000 + 6480 + 3200
        assert len(stream._progress._steps) <= 16
    assert len(heard) == 20 * 16_000 // 3200 - 2  # once for each block whose end was heard
    assert max(heard) == 22_480


def test_between_silences_speech_has_one_vector_for_each_40_ms(model) -> None:
    stream = AudioFeatureStream(model, "silence")
    found = stream.push(VOICE[:10_000]) + stream.flush()
    assert len(found) == 16  # 15.6 frames
    silent = AudioFeatureStream(model, "silence")
    for vector in silent.push(np.zeros(12_800, np.float32)) + silent.flush():
        assert np.array_equal(vector, model.silence())


def test_a_sound_shorter_than_a_row_still_has_vectors(model) -> None:
    stream = AudioFeatureStream(model, "file")
    found = stream.push(VOICE[:100]) + stream.flush()
    # lengthened with silence to 3,000 samples: 9 rows, 4 frames
    assert np.array_equal(
        found, list(vectors(model.networks, HubertSound(model.encoder, VOICE[:100]), 2))
    )
    assert len(found) == 4


def test_torchscript_and_onnx_give_the_same(model, tmp_path) -> None:
    scripted = HubertEncoder(hubert_models.write_torchscript(tmp_path / "rows.pt"))
    assert scripted.channels == hubert_models.CHANNELS
    np.testing.assert_allclose(
        scripted.rows(VOICE[:9000]), model.encoder.rows(VOICE[:9000]), atol=1e-5
    )


@pytest.mark.parametrize("name", ["rows.onnx", "rows.pt"])
def test_a_file_that_is_no_model_is_refused(name, tmp_path) -> None:
    with pytest.raises(EncoderError, match="no such file"):
        HubertEncoder(tmp_path / name)
    (tmp_path / name).write_bytes(b"nothing of the kind")
    with pytest.raises(EncoderError, match=f"{name} cannot be read as"):
        HubertEncoder(tmp_path / name)


def test_a_model_of_other_channels_is_refused(workspace, tmp_path) -> None:
    small = hubert_models.write_onnx(tmp_path / "base.onnx", channels=768)
    trained = open_trained(mini.DATA, workspace)
    with pytest.raises(EncoderError, match="768 channels; the head listens to 1024"):
        trained.encoder(None, small)


def test_a_head_of_another_kind_has_no_use_for_it(model_file) -> None:
    with pytest.raises(FeatureError, match="listens to ave features, not hubert"):
        open_trained(mini.DATA, mini.WORKSPACE).encoder(None, model_file)


def test_without_a_model_the_sentence_names_both_ways(workspace) -> None:
    with pytest.raises(FeatureError, match="--features, or the file of a HuBERT model"):
        open_trained(mini.DATA, workspace).encoder(None)


def test_streamed_pictures_are_those_of_the_whole_file(model_file, workspace, tmp_path) -> None:
    inference = StreamingInference(
        mini.DATA, workspace, W=64, H=64, device="cpu", precision="fp32", hubert=model_file
    )
    sound = read_sound(mini.CROSS_WAV).mono()
    pictures = inference.process_audio_chunk(sound[:6479])
    assert not pictures  # the first block reaches one sample further
    pictures = inference.process_audio_chunk(sound[6479:7000])
    assert len(pictures) == 2  # of 5 features, those that see three more
    out = tmp_path / "whole.npz"
    assert main(["render", "--data", str(mini.DATA), "--workspace", str(workspace), "--audio",
                 str(mini.CROSS_WAV), "--hubert", str(model_file), "--width", "64", "--height",
                 "64", "--device", "cpu", "--frames", "2", "--out", str(out)]) == 0  # fmt: skip
    with np.load(out) as drawn:
        assert np.array_equal(drawn["frames"], pictures)


def test_a_bundle_holds_no_model_and_speaks_with_the_operators(
    model_file, workspace, tmp_path
) -> None:
    bundle, out = imported(workspace, tmp_path), tmp_path / "drawn.npz"
    deaf = load_bundle(bundle)
    assert deaf.audio is not None
    with pytest.raises(EngineError, match="AVATAR_HUBERT_MODEL"):
        SyncTalkEngine(deaf, device="cpu", threads=1)
    engine = SyncTalkEngine(load_bundle(bundle, hubert=model_file), device="cpu", threads=1)
    hearing = engine.open({}).listen()
    hearing.push(np.tile(VOICE, 2)[: 2 * 24_000])
    assert 30 <= hearing.frames < 50  # 2 s, of which half a second is not certain yet
    render = ["render", "--character", str(bundle), "--audio", str(mini.CROSS_WAV), "--frames", "1",
              "--device", "cpu", "--out", str(out)]  # fmt: skip
    assert main(render) == 2
    assert main([*render, "--hubert", str(model_file)]) == 0


def test_features_in_a_file_drive_a_bundle_without_a_model(workspace, tmp_path) -> None:
    bundle, out = imported(workspace, tmp_path), tmp_path / "drawn.npz"
    np.save(tmp_path / "aud_hu.npy", np.zeros((9, 2, 1024), np.float32))
    assert main(["render", "--character", str(bundle), "--features", str(tmp_path / "aud_hu.npy"),
                 "--frames", "1", "--device", "cpu", "--out", str(out)]) == 0  # fmt: skip
