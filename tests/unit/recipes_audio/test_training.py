"""Training, its resumption, the scores and the exported file."""

import hashlib
import io
import json

import numpy as np
import pytest
import torch

from avatar_worker.audio.encoder import AveEncoder, expected_tensors
from avatar_worker.recipes.audio_encoder.corpus import load_line, speak_set
from avatar_worker.recipes.audio_encoder.feature_step import sound_windows
from avatar_worker.recipes.audio_encoder.gate_step import (
    FILES,
    GateError,
    encoder_file,
    export,
    verdict,
)
from avatar_worker.recipes.audio_encoder.live_check import live_difference
from avatar_worker.recipes.audio_encoder.mouth import CLOSE
from avatar_worker.recipes.audio_encoder.network import Encoder
from avatar_worker.recipes.audio_encoder.noise_bank import noise_bank
from avatar_worker.recipes.audio_encoder.plan import Line, SpeechSet
from avatar_worker.recipes.audio_encoder.readout import Readout
from avatar_worker.recipes.audio_encoder.scores import EventScore, Score, event_score, score
from avatar_worker.recipes.audio_encoder.silence_check import Stillness
from avatar_worker.recipes.audio_encoder.train_step import Trainer, TrainingPlan, mouth_loss
from avatar_worker.recipes.speech.utterance import Mark, Utterance

pytestmark = pytest.mark.unit

PLAN = TrainingPlan(total_windows=24, batch_windows=4)


@pytest.fixture(scope="module")
def trainer_of():
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.05, 32_000).astype(np.float32)
    curves = np.clip(rng.normal(0.3, 0.2, (401, 9)), 0, 1)
    windows = sound_windows(samples, curves, rng.integers(0, 38, 401).astype(np.uint8))
    noise = torch.from_numpy(noise_bank([], seconds_each=1.0))
    return lambda: Trainer(windows, noise, PLAN)


def test_a_resumed_run_ends_where_an_unbroken_one_does(trainer_of, tmp_path):
    whole = trainer_of()
    for _ in range(4):
        expected = whole.train_step()
    broken = trainer_of()
    for _ in range(2):
        broken.train_step()
    torch.save(broken.state(), tmp_path / "training.pt")
    resumed = trainer_of()
    resumed.restore(torch.load(tmp_path / "training.pt", weights_only=True))
    resumed.train_step()
    assert resumed.train_step() == pytest.approx(expected, rel=1e-4)
    assert resumed.drawn == 16


def test_learning_rate_warms_up_and_falls_to_one_percent():
    plan = TrainingPlan(total_windows=100_000)
    assert plan.rate_at(0) == pytest.approx(0.05 * plan.learning_rate)
    assert plan.rate_at(15_000) > 0.9 * plan.learning_rate
    assert plan.rate_at(100_000) == pytest.approx(0.01 * plan.learning_rate)


def test_a_missed_closure_costs_more_than_a_missed_open_mouth():
    target = torch.zeros(1, 3, 9)
    target[0, 1, CLOSE] = 1
    open_instead = torch.zeros(1, 3, 9)
    closed_instead = torch.zeros(1, 3, 9)
    closed_instead[0, 1, CLOSE] = 1
    missed = mouth_loss(open_instead, target)
    invented = mouth_loss(closed_instead, torch.zeros(1, 3, 9))
    assert missed == pytest.approx(1.6 * invented)


def test_the_exported_file_has_the_names_and_shapes_characters_are_driven_by():
    content = encoder_file(Encoder().state_dict())
    state = torch.load(io.BytesIO(content), weights_only=True)
    learnt = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    assert {k: tuple(v.shape) for k, v in learnt.items()} == expected_tensors()
    assert {v.dtype for v in learnt.values()} == {torch.float16}
    assert sum(k.endswith("num_batches_tracked") for k in state) == 13
    assert 5_600_000 < len(content) < 5_800_000
    assert AveEncoder(state).encode(np.zeros((16, 80))).min() >= 0


def test_the_trained_encoder_is_the_live_one_in_small_pieces():
    torch.manual_seed(1)
    samples = np.random.default_rng(1).normal(0, 0.1, 12_000).astype(np.float32)
    assert live_difference(Encoder().state_dict(), samples) < 1e-5


def test_a_linear_fit_recovers_a_linear_truth():
    rng = np.random.default_rng(2)
    features = rng.normal(size=(2000, 512)).astype(np.float32)
    truth = (features @ rng.normal(size=(512, 9)) / 22 + 0.3).astype(np.float32)
    assert np.abs(Readout.fitted(features, truth)(features) - truth).max() < 0.05


def test_a_late_prediction_is_found_out():
    rng = np.random.default_rng(3)
    smooth = np.apply_along_axis(lambda x: np.convolve(x, np.ones(4) / 4), 0, rng.random((400, 9)))
    labels = smooth.astype(np.float32)
    sounds = np.zeros(len(labels), np.int32)
    found = score(labels, np.roll(labels, 2, axis=0), sounds)
    assert found.lag_frames == 2
    assert found.lag_ms == pytest.approx(80, abs=8)
    perfect = score(labels, labels, sounds)
    assert perfect.mean_r == pytest.approx(1)
    assert perfect.r2 == pytest.approx(1)


def test_closures_count_as_events_with_a_frame_of_play():
    labels = np.zeros(40, np.float32)
    labels[[5, 6, 20, 35]] = 1
    heard = np.zeros(40, np.float32)
    heard[[7, 20, 28]] = 0.6  # one frame late, right, invented; the last is missed
    found = event_score(labels, heard, np.zeros(40, np.int32))
    assert (found.recall, found.precision) == (pytest.approx(2 / 3), pytest.approx(2 / 3))


def joe(r: float = 0.8, f1: float = 0.85, lag_frames: int = 0) -> Score:
    event = EventScore(f1, f1)
    return Score(100, (r,) * 9, 0.6, event, event, lag_frames, 40.0 * lag_frames)


def still(std: float) -> dict[str, Stillness]:
    return {name: Stillness(0.01, std) for name in ("white -50 dBFS", "pink -50 dBFS")}


@pytest.mark.parametrize(
    ("good", "reason"),
    [
        ((joe(r=0.74), still(0.01), 1e-7), "r 0.740"),
        ((joe(f1=0.79), still(0.01), 1e-7), "closure F1"),
        ((joe(lag_frames=1), still(0.01), 1e-7), "lag of 1"),
        ((joe(), still(0.03), 1e-7), "σ 0.030"),
        ((joe(), still(0.01), 1e-4), "live differs"),
    ],
)
def test_the_gate_names_each_bound_that_is_broken(good, reason):
    [failure] = verdict(*good)
    assert failure.startswith(reason)


def test_the_gate_lets_a_good_encoder_pass():
    assert verdict(joe(), still(0.01), 1e-7) == []


def test_only_judged_files_are_exported(tmp_path):
    with pytest.raises(GateError, match="judged"):
        export(tmp_path)
    candidate = tmp_path / "candidate"
    candidate.mkdir()
    for name in FILES:
        (candidate / name).write_bytes(name.encode())
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in FILES}
    report = {"failures": [], "sha256": digests}
    (candidate / "gate.json").write_text(json.dumps({**report, "sha256": digests | {FILES[1]: ""}}))
    with pytest.raises(GateError, match="gate"):
        export(tmp_path)
    (candidate / "gate.json").write_text(json.dumps(report))
    folder = export(tmp_path)
    assert all((folder / name).read_bytes() == name.encode() for name in FILES)
    assert f"{digests[FILES[0]]}  {FILES[0]}\n" in (folder / "SHA256SUMS").read_text()


class _Engine:
    """Counts how often it speaks; refuses one text."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.spoken: list[str] = []
        monkeypatch.setattr(Line, "speak", lambda line: self.speak(line))

    def speak(self, line: Line) -> Utterance:
        if line.text == "bad":
            raise ValueError("cannot say that")
        self.spoken.append(line.text)
        sound = np.sin(np.arange(22_050) / 9).astype(np.float32)
        return Utterance(sound, 22_050, (Mark("a", 0.0, 1.0),))


def test_speech_goes_on_where_it_was_interrupted(tmp_path, monkeypatch):
    engine = _Engine(monkeypatch)
    texts = ["one", "bad", "two", "three", "four"]
    speech_set = SpeechSet(
        "train-x", 3 / 60, True, lambda: (Line("joe", "joe", text) for text in texts)
    )
    run = speak_set(tmp_path, speech_set)
    next(run)
    run.close()
    assert engine.spoken == ["one"]
    assert [minutes * 60 for _, minutes in speak_set(tmp_path, speech_set)] == [2.0, 3.0]
    assert engine.spoken == ["one", "two", "three"]
    assert list(speak_set(tmp_path, speech_set)) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["00000.npz", "00002.npz", "00003.npz"]


def test_a_spoken_line_comes_back_at_16_khz_and_minus_6_dbfs(tmp_path, monkeypatch):
    _Engine(monkeypatch)
    speech_set = SpeechSet("test-x", 1 / 60, False, lambda: iter([Line("joe", "joe", "one")]))
    list(speak_set(tmp_path, speech_set))
    line = load_line(tmp_path / "00000.npz")
    assert (line.voice, line.text) == ("joe", "one")
    assert len(line.utterance.samples) == pytest.approx(16_000, abs=2)
    assert np.abs(line.utterance.samples).max() == pytest.approx(0.5, abs=1e-3)
    assert [mark.phone for mark in line.utterance.marks] == ["a"]
