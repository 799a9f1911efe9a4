"""The test card says what it should, in any size."""

import numpy as np
import pytest

from avatar_contracts.audio import FRAME_SAMPLES
from avatar_worker.engines.base import EngineError, FrameRequest, Rgb
from avatar_worker.engines.test_card import CardHearing, TestCard

pytestmark = pytest.mark.unit


def heard(*levels: float) -> CardHearing:
    hearing = CardHearing()
    hearing.push(np.repeat(np.array(levels, np.float32), FRAME_SAMPLES))
    return hearing


def draw(card: TestCard, request: FrameRequest) -> Rgb:
    return card.draw([(card.open({}), request)])[0]


@pytest.mark.parametrize(("width", "height"), [(512, 512), (256, 256), (640, 360), (322, 242)])
@pytest.mark.parametrize("slot", [0, 1, 0b1010_0000_0000_0101, 65_535, 65_536 + 7])
def test_the_number_is_written_in_16_cells_most_significant_first(
    width: int, height: int, slot: int
) -> None:
    picture = draw(TestCard(width, height), FrameRequest(slot))
    assert picture.shape == (height, width, 3)
    row = picture[height // 16]
    bits = [int(row[(2 * cell + 1) * width // 32].mean() > 128) for cell in range(16)]
    assert int("".join(map(str, bits)), 2) == slot % 65_536
    assert {int(v) for v in np.unique(picture[: height // 8])} <= {0, 255}


@pytest.mark.parametrize(("level", "is_white"), [(0.0, False), (0.0099, False), (0.0101, True)])
def test_the_level_row_is_white_exactly_at_one_hundredth_of_full_scale(
    level: float, is_white: bool
) -> None:
    request = FrameRequest(3, heard(0.5, level), 1, 1.0, is_sounding=True)
    picture = draw(TestCard(128, 128), request)
    assert (picture[16:32] == (255 if is_white else 0)).all()


def test_the_row_is_black_while_the_mouth_closes_after_the_sound() -> None:
    picture = draw(TestCard(128, 128), FrameRequest(3, heard(0.5), 0, 0.75))
    assert not picture[16:32].any()


def test_the_mouth_opens_with_the_level() -> None:
    card = TestCard(256, 256)

    def inside(level: float) -> int:
        picture = draw(card, FrameRequest(0, heard(level), 0, 1.0, is_sounding=True))
        return int((picture[150:] == (60, 20, 30)).all(axis=-1).sum())

    assert inside(0.0) == 0
    assert 0 < inside(0.08) < inside(0.25)


def test_levels_do_not_depend_on_how_the_sound_was_cut() -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, 5000).astype(np.float32)
    whole, pieces = CardHearing(), CardHearing()
    whole.push(samples)
    for piece in np.split(samples, [1, 700, 960, 961, 4000]):
        pieces.push(piece)
    whole.finish()
    pieces.finish()
    assert whole.frames == 6  # 5,000 samples are 5.2 frames
    assert whole.levels == pieces.levels


def test_a_card_too_small_for_its_cells_is_refused() -> None:
    with pytest.raises(EngineError, match="32 × 32"):
        TestCard(16, 64)
