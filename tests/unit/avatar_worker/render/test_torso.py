"""The neural torso against the original's numbers."""

import numpy as np
import pytest
import torch

from avatar_worker.render.checkpoint import Checkpoint, find_checkpoint, read_checkpoint
from avatar_worker.render.checkpoint_layout import detect_flavour, torso_shapes
from avatar_worker.render.data_folder import FootageScenes
from avatar_worker.render.encodings import TiledGrid, level_offsets, octaves, torso_levels
from avatar_worker.render.errors import CheckpointContentError, UnsupportedCharacterError
from avatar_worker.render.pictures import read_rgb
from avatar_worker.render.renderer import FrameRequest, Renderer
from avatar_worker.render.scene import mirror_index
from avatar_worker.render.torso import TorsoField, TorsoWeights
from avatar_worker.render.twin import TorchPainter
from avatar_worker.trained import open_trained
from tests.unit.avatar_worker import mini

pytestmark = pytest.mark.unit
WORKSPACE = mini.MINI / "model" / "trial_mini_torso"
needs_checkpoint = pytest.mark.skipif(
    not WORKSPACE.is_dir(), reason="the torso's checkpoint is not among the committed data"
)


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return read_checkpoint(find_checkpoint(WORKSPACE))


@pytest.fixture(scope="module")
def torso(checkpoint) -> TorsoField:
    return TorsoField(checkpoint.torso())


@pytest.mark.parametrize(("name", "n_octaves"), [("freq2", 8), ("freq6", 3)])
def test_octaves_are_those_of_the_original(name, n_octaves):
    golden = mini.golden("components")
    encoded = octaves(mini.tensor(golden[f"{name}_in"]), n_octaves)
    np.testing.assert_allclose(encoded, golden[f"{name}_out"], atol=1e-4)


def test_levels_are_those_that_checkpoints_store():
    offsets = level_offsets(torso_levels())
    assert offsets[:4] == [0, 296, 872, 1896]
    assert offsets[-1] == 555_520


def test_a_small_level_is_read_like_a_lattice_and_a_large_one_wraps():
    table = torch.zeros(555_520, 2)
    table[:289] = torch.arange(289, dtype=torch.float32)[:, None]  # level 0: 17 × 17 points
    corner = TiledGrid(table)(torch.tensor([[-1.0, -1.0]]))
    # Half a lattice spacing inside: the mean of rows 0, 1, 17 and 18.
    assert corner[0, :2].tolist() == [9.0, 9.0]
    assert TiledGrid(table)(torch.tensor([[0.0, 1.01]])).abs().max() == 0


@needs_checkpoint
def test_grid_features_are_those_of_the_original(checkpoint):
    golden = mini.golden("components")
    features = TiledGrid(checkpoint.torso().table)(mini.tensor(golden["tiled_in"]))
    np.testing.assert_allclose(features, golden["tiled_out"], atol=1e-6)


@needs_checkpoint
def test_anchors_appear_where_the_original_sees_them(torso):
    golden = mini.golden("components")
    for pose, projected in zip(mini.footage("val").poses, golden["anchors_projected"], strict=True):
        np.testing.assert_allclose(torso.project(mini.tensor(pose)), projected, atol=1e-5)


@needs_checkpoint
def test_opacity_colour_and_shift_are_those_of_the_original(torso):
    golden = mini.golden("components")
    projected = torso.project(mini.tensor(golden["torso_pose"]))
    alpha, color, shift = torso(mini.tensor(golden["torso_coord"]), projected)
    np.testing.assert_allclose(alpha, golden["torso_alpha"], atol=1e-4)
    np.testing.assert_allclose(color, golden["torso_color"], atol=1e-4)
    np.testing.assert_allclose(shift, golden["torso_delta"], atol=1e-4)


@needs_checkpoint
def test_the_whole_torso_is_that_of_the_original(torso):
    golden, footage = mini.golden("frames_torso"), mini.footage("val")
    alpha, _ = torso.picture(footage.poses[0], 128, 128)
    np.testing.assert_allclose(alpha, golden["frame0_torso_alpha"], atol=1e-4)
    still = read_rgb(mini.DATA / "bc.jpg").astype(np.float32) / 255.0
    over = torso.over(footage.poses[0], still).reshape(-1, 3)
    np.testing.assert_allclose(over, golden["frame0_torso_background"], atol=1e-4)


@needs_checkpoint
def test_frames_with_a_torso_are_those_of_the_original(checkpoint, torso):
    reference, cross = mini.golden("frames_torso"), mini.golden("cross")
    scenes = FootageScenes(mini.footage("val"), portrait=False, torso=torso)
    renderer = Renderer(TorchPainter(checkpoint.head()), scenes, portrait=False)
    for row, pose in enumerate(reference["pose_index"].tolist()):
        drawn = renderer.render(FrameRequest(reference["enc_a"][row], pose))
        mini.assert_reference_quality(drawn, reference["image_uint8"][row])
    for row, frame in enumerate(cross["torso_index"].tolist()):
        request = FrameRequest(cross["enc_a"][frame], mirror_index(frame, 8))
        mini.assert_reference_quality(renderer.render(request), cross["torso_uint8"][row])


@needs_checkpoint
def test_a_torso_is_drawn_from_its_folder_but_not_into_a_portrait():
    trained = open_trained(mini.DATA, WORKSPACE, torso=True)
    assert trained.character(portrait=False).scenes is not None
    with pytest.raises(UnsupportedCharacterError, match="leave out torso or portrait"):
        trained.character(portrait=True)


def test_a_head_without_a_torso_says_so():
    with pytest.raises(UnsupportedCharacterError, match="it has no torso"):
        open_trained(mini.DATA, mini.WORKSPACE, torso=True)


@pytest.mark.parametrize("name", sorted(torso_shapes()))
def test_a_torso_that_misses_a_tensor_is_refused(tmp_path, name):
    state = dict(mini.checkpoint().state)
    shapes = {**torso_shapes(), "individual_codes_torso": (1, 8)}
    state |= {key: torch.zeros(shape) for key, shape in shapes.items()}
    offsets = torch.tensor(level_offsets(torso_levels()), dtype=torch.int32)
    state["torso_encoder.offsets"] = offsets
    assert detect_flavour(state).has_torso
    path = tmp_path / "torso.pth"
    if name == "anchor_points":  # its presence says that there is a torso at all
        state[name] = torch.zeros(2, 4)
    else:
        del state[name]
    torch.save({"model": state, "mean_density_torso": 0.001}, path)
    with pytest.raises(CheckpointContentError, match=name.replace(".", r"\.")):
        read_checkpoint(path)


def test_nothing_is_drawn_where_the_grid_says_that_nothing_is():
    state = {key: torch.rand(shape) for key, shape in torso_shapes().items()}
    state |= {"individual_codes_torso": torch.rand(1, 8), "density_grid_torso": torch.zeros(16_384)}
    alpha, color = TorsoField(TorsoWeights.from_state(state, 0.001)).picture(
        np.eye(4, dtype=np.float32), 16, 24
    )
    assert alpha.shape == (16 * 24,)
    assert not alpha.any()
    assert not color.any()
