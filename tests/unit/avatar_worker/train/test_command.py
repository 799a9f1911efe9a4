"""`python -m avatar_worker train`: what it refuses, and that it does what it is told."""

from pathlib import Path

import numpy as np
import pytest

from avatar_worker.__main__ import main as avatar_worker
from avatar_worker.character import bundle_head_state
from avatar_worker.import_bundle import ENCODER
from avatar_worker.render.checkpoint import find_checkpoint, read_checkpoint
from avatar_worker.slots import SHIPPED_CHARACTER
from avatar_worker.train.checkpoints import read_scores
from avatar_worker.train.command import main
from avatar_worker.train.errors import TrainingError
from tests.unit.avatar_worker import mini
from tests.unit.avatar_worker.train.test_resuming import compiled

pytestmark = pytest.mark.unit

needs_training_files = pytest.mark.skipif(
    not mini.HAS_TRAINING_FILES, reason="what only training reads is not among the committed data"
)


MIRAS = SHIPPED_CHARACTER / ENCODER


def call(workspace: Path, *more: str) -> int:
    return main(["--data", str(mini.DATA), "--ave", str(mini.ENCODER), "--workspace",
                 str(workspace), "--threads", "1", *more])  # fmt: skip


@needs_training_files
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--steps", "0"), "--steps must be 1 or more"),
        (("--minutes", "nan"), "--minutes must be more than 0"),
        (("--patience", "0"), "--patience must be 1 or more"),
        (("--save-every", "nan"), "--save-every"),
        (("--head-ckpt", "x"), "--head-ckpt belongs to --torso"),
        (("--from", "nowhere", "--steps", "1"), "expected a checkpoint, a workspace or a"),
        (("--torso", "--steps", "1"), "--ears and --ave belong to the training of a head"),
    ],
)
def test_options_that_cannot_be_are_refused_in_a_sentence(
    options: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert call(tmp_path / "w", *options) == 2
    assert said in capsys.readouterr().err


def test_without_a_gpu_none_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert call(tmp_path, "--device", "cuda") == 2
    assert "finds no GPU" in capsys.readouterr().err


@needs_training_files
def test_without_a_compiled_step_training_goes_on_in_pytorch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise TrainingError("no C++ compiler")

    monkeypatch.setattr("avatar_worker.train.command.load_trainer", refuse)
    caplog.set_level("INFO")
    assert call(tmp_path, "--steps", "1", "--from", str(mini.WORKSPACE)) == 0
    assert "no C++ compiler: training goes on in PyTorch" in caplog.text
    assert "training kernel: PyTorch on cpu" in caplog.text
    assert "tensors taken over" in caplog.text
    # It began with a trained head: after one step it is still one.
    (line,) = read_scores(tmp_path)
    assert line["face_db"] > 18


@needs_training_files
def test_a_new_face_hears_with_the_ears_of_a_shipped_character(tmp_path: Path):
    compiled(threads=1)
    options = ("--data", str(mini.DATA), "--threads", "1", "--ears", "mira")
    assert main([*options, "--workspace", str(tmp_path), "--steps", "2"]) == 0
    assert main([*options[:4], "--workspace", str(tmp_path), "--steps", "3"]) == 0  # remembers
    state = read_checkpoint(find_checkpoint(tmp_path)).state
    mira = bundle_head_state(SHIPPED_CHARACTER)
    name = "audio_net.encoder_fc1.0.weight"
    learned = (state[name].float() - mira[name].float()).abs().mean()
    assert learned < 0.25 * mira[name].float().abs().mean()  # a voice, not another ear


@needs_training_files
def test_what_was_trained_hears_with_its_own_encoder_whatever_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    compiled(threads=1)
    data, workspace = ("--data", str(mini.DATA)), ("--workspace", str(tmp_path / "head"))
    assert main([*data, *workspace, "--threads", "1", "--ears", "mira", "--steps", "1"]) == 0
    who = [*data, *workspace, "--split", "val"]
    pictures = []
    for more in ((), ("--ave", str(MIRAS)), ("--ave", str(mini.ENCODER))):
        out = tmp_path / "drawn.npz"
        assert avatar_worker(["render", *who, *more, "--frames", "1", "--device", "cpu",
                              "--out", str(out)]) == 0  # fmt: skip
        with np.load(out) as drawn:
            pictures.append(drawn["frames"][0])
        said = f"{mini.ENCODER} is another audio encoder than the one that {tmp_path}"
        assert (said in caplog.text) == (more[-1:] == (str(mini.ENCODER),))
    assert all(np.array_equal(picture, pictures[0]) for picture in pictures)
    bundle = tmp_path / "me"
    assert avatar_worker(["import", *who, "--loop", "0", "1", "--name", "me",
                          "--out", str(bundle)]) == 0  # fmt: skip
    assert (bundle / ENCODER).read_bytes() == MIRAS.read_bytes()


@needs_training_files
def test_ears_that_nobody_has_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    options = ("--data", str(mini.DATA), "--workspace", str(tmp_path), "--ears", "nobody")
    assert main(options) == 2
    assert "nobody" in capsys.readouterr().err


@needs_training_files
def test_a_torso_needs_its_head(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["--data", str(mini.DATA), "--workspace", str(tmp_path), "--torso"]) == 2
    assert "--torso needs --head-ckpt" in capsys.readouterr().err


def test_what_to_begin_with_is_looked_at_before_the_folder_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    options = ["--data", str(tmp_path), "--workspace", str(tmp_path / "w"), "--from", "nix"]
    assert main(options) == 2
    said = "error: --from nix: expected a checkpoint, a workspace or a character bundle\n"
    assert capsys.readouterr().err == said


def test_a_broken_folder_is_refused_with_its_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["--data", str(tmp_path), "--workspace", str(tmp_path / "w")]) == 2
    said = capsys.readouterr().err
    assert "cannot be trained on" in said
    for name in ("transforms_train.json is absent", "bc.jpg is absent", "aud.wav is absent"):
        assert f"\n  - {name}" in said
    assert not (tmp_path / "w").exists()
