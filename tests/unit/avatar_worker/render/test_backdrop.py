"""Head and torso before another background, and before none."""

from dataclasses import replace

import numpy as np
import pytest

from avatar_contracts.picture import COLOUR
from avatar_worker.character import Character
from avatar_worker.render.backdrop import (
    BackdropScenes,
    before,
    colour_of,
    cut_out,
    premultiplied,
    wanted_colour,
)
from avatar_worker.render.data_folder import FootageScenes
from avatar_worker.render.errors import FrameRequestError, UnsupportedCharacterError
from avatar_worker.render.painters import choose_painter
from avatar_worker.render.pictures import read_rgb
from avatar_worker.render.renderer import FrameRequest, Renderer
from avatar_worker.render.style import Style
from avatar_worker.trained import open_trained
from tests.unit.avatar_worker import mini

pytestmark = pytest.mark.unit

GREEN = (0, 177, 64)
TORSO = mini.MINI / "model" / "trial_mini_torso"


def frame(index: int) -> FrameRequest:
    return FrameRequest(mini.golden("frames_head")["enc_a"][index], index)


def over(cut: np.ndarray, still: np.ndarray) -> np.ndarray:
    share = cut[:, :, 3:] / 255.0
    return cut[:, :, :3] * share + still * (1.0 - share)


def whole(*, torso: bool = False) -> Character:
    workspace = TORSO if torso else mini.WORKSPACE
    if torso and not workspace.is_dir():
        pytest.skip("the torso's checkpoint is not among the committed data")
    return open_trained(mini.DATA, workspace, torso=torso).character(portrait=False)


@pytest.mark.parametrize("torso", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_what_is_cut_out_gives_the_picture_again_when_it_is_laid_over_its_background(
    precision, torso: bool
) -> None:
    character = whole(torso=torso)
    renderer = character.renderer(device="cpu", precision=precision)
    cut = renderer.render_cut_out(frame(3))
    assert (cut.shape, cut.dtype) == ((128, 128, 4), np.uint8)
    assert cut[:, :, 3].min() == 0
    assert cut[:, :, 3].max() == 255
    # Half a level is lost to truncation, half to the opacity's eight bits; bfloat16 adds one.
    error = np.abs(over(cut, read_rgb(mini.DATA / "bc.jpg")) - renderer.render(frame(3)))
    assert error.max() <= 3.0
    assert error.mean() <= 0.6


def test_the_exact_painters_opacity_is_the_weight_of_its_rays() -> None:
    character = whole()
    torso = character.scenes.torso(0)
    head = mini.painter().layer(
        character.scenes.scene(0), frame(0).enc_a, character.scenes.scene(0).eye
    )
    expected = 1.0 - (1.0 - head[:, :, 3]) * (1.0 - torso[:, :, 3])
    cut = Renderer(mini.painter(), character.scenes, portrait=False).render_cut_out(frame(0))
    np.testing.assert_allclose(cut[:, :, 3], 255.0 * expected.clip(0.0, 1.0), atol=0.51)


@pytest.mark.parametrize("torso", [False, True])
def test_a_colour_behind_is_what_the_data_folder_gives_with_it_as_its_background(
    torso: bool,
) -> None:
    character = whole(torso=torso)
    painter, field = mini.painter(), character.scenes._torso
    own = FootageScenes(mini.footage(), portrait=False, background="#00b140", torso=field)
    scenes = character.styled(Style.of({"background": "#00B140"}, portrait=False))
    expected, got = (
        Renderer(painter, s, portrait=False).render(frame(2)).astype(int) for s in (own, scenes)
    )
    assert np.abs(expected - got).max() <= 1
    assert (got == GREEN).all(axis=2).any()
    assert scenes.scene(2) is scenes.scene(2)


def test_scenes_of_another_size_have_torsos_of_that_size() -> None:
    scenes = FootageScenes(mini.footage(), portrait=False, width=96, height=64)
    torso = scenes.torso(1)
    assert torso.shape == (64, 96, 4)
    assert torso.min() >= 0.0
    assert torso.max() <= 1.0
    assert BackdropScenes(scenes, GREEN).scene(1).background.shape == (64, 96, 3)


def test_layers_are_laid_over_each_other_by_their_opacity() -> None:
    # Head half opaque in pure red, before a torso half opaque in pure blue: 3/4 are opaque, of
    # which 2/3 are the head's. Over white: 1/2 red, 1/4 blue, 1/4 white.
    head = np.array([[[0.5, 0.0, 0.0, 0.5]]], np.float32)
    torso = np.array([[[0.0, 0.0, 0.5, 0.5]]], np.float32)
    assert cut_out(head, torso).tolist() == [[[170, 0, 85, 191]]]
    assert cut_out(0.0 * head, 0.0 * torso).tolist() == [[[0, 0, 0, 0]]]
    still = np.full((1, 1, 3), 255, np.uint8)
    assert before(torso, still).tolist() == [[[128, 128, 255]]]
    picture = np.array([[[255, 100, 0, 51]]], np.uint8)  # a fifth of each colour
    np.testing.assert_allclose(
        premultiplied(picture)[0, 0], [0.2, 100 / 255 / 5, 0.0, 0.2], atol=1e-6
    )


@pytest.mark.parametrize("text", ["#00B140", "#00b140"])
def test_a_colour_is_written_as_on_web_pages(text: str) -> None:
    assert wanted_colour({"background": text}, portrait=False) == GREEN
    assert wanted_colour({}, portrait=True) is None
    assert colour_of("white") == (255, 255, 255)


@pytest.mark.parametrize(
    "wrong", ["green", "#00b14", "#00b1400", "#00b14g", 7, ["#00b140"], "a.jpg"]
)
def test_what_is_no_colour_is_named(wrong: object) -> None:
    with pytest.raises(UnsupportedCharacterError, match=r"background is .*expected a colour"):
        wanted_colour({"background": wrong}, portrait=False)
    import re

    assert not (isinstance(wrong, str) and re.fullmatch(COLOUR, wrong))  # nor is it in the API


def test_a_portrait_has_its_background_in_its_frames() -> None:
    with pytest.raises(UnsupportedCharacterError, match="background is not for portraits"):
        wanted_colour({"background": "#00b140"}, portrait=True)
    portrait = open_trained(mini.DATA, mini.WORKSPACE).character(portrait=True)
    renderer = portrait.renderer(device="cpu", precision="fp32")
    with pytest.raises(UnsupportedCharacterError, match="not for portraits"):
        renderer.render_cut_out(frame(0))


def test_a_scene_that_came_with_the_request_cannot_be_cut_out() -> None:
    character = whole()
    request = replace(frame(0), scene=character.scenes.scene(0))
    with pytest.raises(FrameRequestError, match="does not say what is its torso"):
        Renderer(mini.painter(), character.scenes, portrait=False).render_cut_out(request)


def test_scenes_that_cannot_tell_the_torso_from_the_rest_are_refused() -> None:
    character = whole()
    with pytest.raises(UnsupportedCharacterError, match="do not tell the torso"):
        BackdropScenes(BackdropScenes(character.scenes, GREEN), GREEN)


def test_the_compiled_kernels_layer_is_the_exact_painters() -> None:
    character = whole()
    fast = choose_painter(character.head, device="cpu", precision="auto")
    scene, request = character.scenes.scene(4), frame(4)
    exact, quick = (p.layer(scene, request.enc_a, scene.eye) for p in (mini.painter(), fast))
    assert mini.psnr(255.0 * quick, 255.0 * exact) >= 40.0
