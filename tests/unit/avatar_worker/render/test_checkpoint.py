import copy
import os
import zipfile
from contextlib import suppress

import pytest
import torch

from avatar_worker.render.checkpoint import find_checkpoint, read_checkpoint
from avatar_worker.render.checkpoint_layout import check_state, detect_flavour, expected_shapes
from avatar_worker.render.errors import (
    CheckpointContentError,
    CheckpointError,
    CheckpointUnreadableError,
    UnsafeCheckpointError,
    UnsupportedCharacterError,
)
from avatar_worker.render.torch_file import load_tensors
from tests.unit.avatar_worker import mini

pytestmark = pytest.mark.unit

REFUSED = {
    "truncated": (CheckpointUnreadableError, "cut short"),
    "empty": (CheckpointUnreadableError, "is empty"),
    "nan_sigma_net": (CheckpointContentError, "sigma_net.net.1.weight holds values"),
    "inf_grid": (CheckpointContentError, "encoder_xz.embeddings holds values"),
    "missing_key": (CheckpointContentError, "sigma_net.net.1.weight is missing"),
    "wrong_shape": (CheckpointContentError, "sigma_net.net.0.weight has shape .64, 72."),
    "wrong_offsets": (CheckpointContentError, "encoder_xy.offsets are"),
    "not_a_dict": (CheckpointContentError, "holds a list"),
    "not_a_dict_plain_pickle": (CheckpointUnreadableError, "torch file"),
    "unexpected_global": (UnsafeCheckpointError, "os.getcwd"),
    "unexpected_global_plain_pickle": (UnsafeCheckpointError, "os.getcwd"),
}


def test_a_trained_head_is_read_and_its_flavour_told():
    found = mini.checkpoint()
    assert str(found.flavour) == "SyncTalk head, ave audio features, upper expression"
    assert found.epoch == 3
    assert found.head().n_eye == 7


def test_a_skeleton_with_all_tensors_is_accepted():
    assert read_checkpoint(mini.MALFORMED / "skeleton_ok.pth").flavour.eye == "upper"


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_malformed_checkpoint_is_refused_with_one_sentence(name, monkeypatch):
    kind, sentence = REFUSED[name]
    called: list[str] = []
    monkeypatch.setattr(os, "getcwd", lambda: called.append("getcwd") or "/")
    with pytest.raises(kind, match=sentence) as refusal:
        read_checkpoint(mini.MALFORMED / f"{name}.pth")
    assert "\n" not in str(refusal.value)
    assert not called


def test_every_malformed_file_is_covered():
    names = {path.stem for path in mini.MALFORMED.glob("*.pth")}
    assert names == set(REFUSED) | {"skeleton_ok"}


def test_an_absent_file_is_refused():
    with pytest.raises(CheckpointUnreadableError, match="no such file"):
        read_checkpoint(mini.MALFORMED / "nothing.pth")


def test_an_archive_that_unpacks_to_something_huge_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(3_000_000))
    monkeypatch.setattr("avatar_worker.render.torch_file.MAX_UNPACKED_BYTES", 1_000_000)
    with pytest.raises(CheckpointUnreadableError, match="would unpack"):
        load_tensors(path)


def test_a_bare_state_dict_is_accepted(tmp_path):
    path = tmp_path / "bare.pth"
    torch.save(dict(mini.checkpoint().state), path)
    assert read_checkpoint(path).epoch == 0


def test_random_damage_is_refused_and_never_crashes(tmp_path):
    content = bytearray((mini.MALFORMED / "skeleton_ok.pth").read_bytes())
    path = tmp_path / "damaged.pth"
    for position in range(0, len(content), len(content) // 40):
        damaged = bytearray(content)
        damaged[position : position + 16] = b"\xff" * 16
        path.write_bytes(damaged)
        # Damage may hit nothing that matters; anything but a refusal fails the test.
        with suppress(CheckpointError, UnsupportedCharacterError):
            read_checkpoint(path)


def test_latest_is_the_last_name_and_best_is_preferred_when_asked_for(tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in ("ngp_ep0009.pth", "ngp_ep0010.pth", "ngp_ep0100.pth", "other.pth"):
        (folder / name).write_bytes(b"x")
    assert find_checkpoint(tmp_path).name == "ngp_ep0100.pth"
    assert find_checkpoint(tmp_path, "best").name == "ngp_ep0100.pth"
    (folder / "ngp.pth").write_bytes(b"x")
    assert find_checkpoint(tmp_path, "best").name == "ngp.pth"
    assert find_checkpoint(tmp_path, "elsewhere.pth").name == "elsewhere.pth"


@pytest.mark.parametrize("make_folder", [False, True])
def test_a_workspace_without_checkpoints_is_refused(tmp_path, make_folder):
    if make_folder:
        (tmp_path / "checkpoints").mkdir()
    with pytest.raises(CheckpointUnreadableError, match="checkpoints"):
        find_checkpoint(tmp_path)


def variant(**changes: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """The reference head with some tensors of other shapes."""
    state = dict(mini.checkpoint().state)
    for key, shape in changes.items():
        state[key.replace("__", ".")] = torch.zeros(shape)
    return state


@pytest.mark.parametrize(
    ("eye", "n_eye", "hidden"), [("single", 4, 64), ("eye", 2, 64), ("au45", 1, 16)]
)
def test_other_expression_areas_are_recognised(eye, n_eye, hidden):
    state = variant(
        eye_att_net__net__0__weight=(hidden, 36),
        eye_att_net__net__1__weight=(n_eye, hidden),
        sigma_net__net__0__weight=(64, 68 + n_eye),
    )
    flavour = detect_flavour(state)
    assert flavour.eye == eye
    check_state(state, flavour)


def test_ten_thousand_codes_and_eye_closure_mean_er_nerf():
    state = variant(
        eye_att_net__net__0__weight=(16, 36),
        eye_att_net__net__1__weight=(1, 16),
        sigma_net__net__0__weight=(64, 69),
        individual_codes=(10_000, 4),
    )
    assert detect_flavour(state).is_er_nerf


@pytest.mark.parametrize(
    ("audio", "dim"), [("deepspeech", 29), ("hubert", 1024), ("esperanto", 44)]
)
def test_convolutional_audio_families_are_recognised(audio, dim):
    state = {k: v for k, v in mini.checkpoint().state.items() if not k.startswith("audio_net.")}
    state["audio_net.encoder_conv.0.weight"] = torch.zeros(32, dim, 3)
    flavour = detect_flavour(state)
    assert flavour.audio == audio
    missing = set(expected_shapes(flavour)) - set(state)
    assert "audio_net.encoder_conv.6.bias" in missing
    assert "audio_net.encoder_fc1.2.weight" in missing


def test_a_head_without_expression_is_refused():
    with pytest.raises(UnsupportedCharacterError, match="without expression"):
        detect_flavour(variant(sigma_net__net__0__weight=(64, 68)))


def test_tensors_of_another_type_are_refused():
    state = dict(mini.checkpoint().state)
    state["sigma_net.net.1.weight"] = state["sigma_net.net.1.weight"].double()
    with pytest.raises(CheckpointContentError, match="float64"):
        check_state(state, mini.checkpoint().flavour)


def test_a_box_outside_the_cube_is_refused():
    state = dict(mini.checkpoint().state)
    state["aabb_infer"] = torch.tensor([-1.0, -0.5, -1.0, 1.0, 0.5, 3.0])
    with pytest.raises(CheckpointContentError, match="aabb_infer"):
        check_state(state, mini.checkpoint().flavour)


def test_entries_that_are_no_tensors_are_refused(tmp_path):
    content = {"model": copy.copy(dict(mini.checkpoint().state)) | {"surprise": "text"}}
    torch.save(content, tmp_path / "text.pth")
    with pytest.raises(CheckpointContentError, match="surprise"):
        read_checkpoint(tmp_path / "text.pth")


@pytest.mark.parametrize(
    ("encoder", "said"),
    [
        ([1], "audio_encoder is a list; expected a dictionary of tensors"),
        ({"0.conv_block.0.bias": 1.0}, "conv_block.0.bias' is a float; expected a tensor"),
    ],
)
def test_an_encoder_that_is_none_is_refused(encoder, said, tmp_path):
    content = {"model": dict(mini.checkpoint().state), "audio_encoder": encoder}
    torch.save(content, tmp_path / "deaf.pth")
    with pytest.raises(CheckpointContentError, match=said):
        read_checkpoint(tmp_path / "deaf.pth")
