"""A portrait's mask made wider, narrower and softer."""

from dataclasses import replace

import numpy as np
import pytest

from avatar_contracts import picture as contract
from avatar_worker.character import Character
from avatar_worker.render import blending
from avatar_worker.render.blending import Blend, BlendedScenes, blend_mask
from avatar_worker.render.errors import UnsupportedCharacterError
from avatar_worker.render.renderer import FrameRequest
from avatar_worker.render.style import Style
from avatar_worker.trained import open_trained
from tests.unit.avatar_worker import mini

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def character() -> Character:
    trained = open_trained(mini.DATA, mini.WORKSPACE)
    return trained.character(portrait=True, audio=mini.audio_model())


def disc(size: int, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size] - size // 2
    return np.uint8(255) * (np.hypot(rows, columns) <= radius)


def radius_of(mask: np.ndarray) -> float:
    """Of the disc with as many pixels more than half in."""
    return float(np.sqrt((mask > 127).sum() / np.pi))


def test_without_options_the_scenes_are_the_footages_own(character: Character) -> None:
    assert character.styled(Style()) is character.scenes
    assert Blend.of({"blend_width": 0, "preset": "serious"}, portrait=True) == Blend()


@pytest.mark.parametrize("size", [512, 256])
@pytest.mark.parametrize("width", [16.0, -16.0])
def test_a_mask_grows_and_shrinks_by_as_much_as_was_asked_for(size: int, width: float) -> None:
    # a disc of 100 of 512 pixels becomes one of 116 or 84, at half the size one of 58 or 42
    blended = blend_mask(disc(size, 100 * size / 512), Blend(width))
    assert radius_of(blended) == pytest.approx((100 + width) * size / 512, abs=1.0)


def test_a_feather_softens_the_edge_on_both_sides_and_leaves_it_where_it_is() -> None:
    hard = disc(512, 100)
    soft = blend_mask(hard, Blend(feather=12.0))
    assert radius_of(soft) == pytest.approx(100, abs=1.0)
    line = soft[256, 256:].astype(int)
    assert line[80] > 250  # 20 inside of the edge all is drawn
    assert 5 < line[110] < 122 < line[99] < 140 < line[90] < 250
    assert line[125] == 0
    assert abs(np.diff(line)).max() < 20  # a step of 255 before


def test_a_wider_portrait_takes_more_of_the_drawn_head_and_keeps_the_rest(
    character: Character,
) -> None:
    vector = character.audio.silence()
    wide = replace(character, options={**character.options, "blend_width": 32.0})
    own, wider = (c.renderer(device="cpu").render(FrameRequest(vector)) for c in (character, wide))
    scene = character.scenes.scene(0)
    grown = blend_mask(scene.mask, Blend(32.0))
    np.testing.assert_array_equal(wider[grown == 0], scene.original[grown == 0])
    np.testing.assert_array_equal(wider[scene.mask == 255], own[scene.mask == 255])
    assert (wider != own)[(grown > 0) & (scene.mask < 255)].any()


def test_a_scene_is_changed_once_and_forgotten_when_there_is_no_room(character: Character) -> None:
    scenes = BlendedScenes(character.scenes, Blend(8.0), masked=False)
    assert scenes.scene(2) is scenes.scene(2)
    assert scenes.scene(2).original is character.scenes.scene(2).original  # not a second copy
    narrow = BlendedScenes(character.scenes, Blend(8.0), masked=False, cache_bytes=0)
    first = narrow.scene(0)
    narrow.scene(1)
    assert narrow.scene(0) is not first


def test_where_a_bundle_kept_no_background_the_original_stands_in(character: Character) -> None:
    # Bundles keep backgrounds where the footage's mask shows them; the rest is black.
    scene = BlendedScenes(character.scenes, Blend(20.0), masked=True).scene(0)
    own = character.scenes.scene(0)
    outside = own.mask == 0
    np.testing.assert_array_equal(scene.background[outside], own.original[outside])
    np.testing.assert_array_equal(scene.background[~outside], own.background[~outside])


@pytest.mark.parametrize("wrong", ["wide", True, None, float("nan")])
def test_what_is_no_number_is_named(wrong: object) -> None:
    with pytest.raises(UnsupportedCharacterError, match=r"blend_width is .* number from -32 to 32"):
        Blend.of({"blend_width": wrong}, portrait=True)


def test_numbers_are_brought_into_the_range_that_the_platform_checks() -> None:
    assert Blend.of({"blend_width": -99, "blend_feather": 99}, portrait=True) == Blend(-32.0, 32.0)
    assert Blend.of({"blend_feather": -1}, portrait=True) == Blend()
    assert contract.BLEND_MAX_PX == blending.BLEND_MAX_PX


def test_without_a_portrait_there_is_nothing_to_blend() -> None:
    with pytest.raises(UnsupportedCharacterError, match="blend_feather is for portraits"):
        Blend.of({"blend_feather": 4}, portrait=False)
