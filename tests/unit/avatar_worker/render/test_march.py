import numpy as np
import pytest
import torch

from avatar_worker.render import march
from avatar_worker.render.compositor import blend_into, over_background, quantise
from avatar_worker.render.field import FieldSamples
from avatar_worker.render.march import STEP, Rays, Sums, composite, next_round, occupied_points
from avatar_worker.render.occupancy import OccupancyGrid, pack_cells
from avatar_worker.render.rays import Intrinsics, box_interval, convert_pose, ray_directions
from avatar_worker.render.scene import Scene
from tests.unit.avatar_worker import mini

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def marched():
    """One frame of the reference, walked and composited."""
    frame = int(mini.golden("march")["march_frame"][0])
    head = mini.golden("frames_head")
    scene = Scene(
        pose=head["pose_c2w"][frame],
        intrinsics=mini.footage("val").intrinsics,
        eye=head["eye"][frame],
        background=np.zeros((128, 128, 3), np.uint8),
    )
    painter = mini.painter()
    rays = painter.rays(scene)
    lattice = occupied_points(rays, painter._occupancy)
    sums = painter.sums(scene, head["enc_a"][frame], head["eye"][frame])
    return rays, lattice, sums


def test_the_step_is_a_cell_diagonal():
    assert pytest.approx(0.027063293, abs=1e-9) == STEP
    assert np.float32(STEP) == mini.golden("march")["dt"][0]


def test_occupied_points_are_those_of_the_original(marched):
    _, lattice, _ = marched
    reference = mini.golden("march")
    np.testing.assert_array_equal(lattice.n_points, reference["occupied_count"])
    is_hit = lattice.n_points > 0
    first = torch.where(is_hit, lattice.t[:, 0] + STEP, 0.0)
    last = torch.where(is_hit, lattice.last_t + STEP, 0.0)
    np.testing.assert_allclose(first, reference["first_t_end"], atol=1e-6)
    np.testing.assert_allclose(last, reference["last_t_end"], atol=1e-6)


def test_rounds_and_sample_counts_are_those_of_the_original(marched):
    _, _, sums = marched
    reference = mini.golden("march")
    assert sums.rounds == [tuple(row) for row in reference["rounds"].tolist()]
    np.testing.assert_array_equal(sums.count, reference["sample_count"])


@pytest.mark.parametrize(
    ("ours", "theirs", "tolerance"),
    [
        ("weight", "weights_sum", 1e-4),
        ("rgb", "rgb_raw", 1e-4),
        ("depth", "depth_raw", 3e-4),
        ("audio_norm", "amb_aud", 1e-3),
        ("eye_norm", "amb_eye", 1e-3),
    ],
)
def test_sums_are_those_of_the_original(marched, ours, theirs, tolerance):
    found, expected = getattr(marched[2], ours), mini.golden("march")[theirs]
    np.testing.assert_allclose(found, expected, atol=tolerance * max(1.0, np.abs(expected).max()))


def test_depth_and_uncertainty_follow_from_the_sums(marched):
    rays, _, sums = marched
    reference = mini.golden("march")
    depth = (sums.depth - rays.near).clamp_min(0.0) / (rays.far - rays.near)
    np.testing.assert_allclose(depth, reference["depth"], atol=1e-4)
    # A test run counts ln 2 as the uncertainty of every sample.
    np.testing.assert_allclose(sums.weight * np.log(2.0), reference["unc"], atol=1e-4)


@pytest.mark.parametrize(
    ("column", "row", "count", "first", "last"),
    [(256, 256, 26, 2.8894439, 3.5660281), (300, 200, 22, 2.9212470, 3.4895778), (0, 0, 0, 0, 0)],
)
def test_a_ball_of_cells_is_met_at_known_places(column, row, count, first, last):
    centres = (np.indices((128, 128, 128)) + 0.5) / 64.0 - 1.0
    ball = np.linalg.norm(centres, axis=0) < 0.35
    assert ball.sum() == 47_048
    stored = np.eye(4)
    stored[2, 3] = 0.8
    pose = torch.from_numpy(convert_pose(stored))
    pixel = torch.tensor([row * 512 + column])
    directions = ray_directions(pose, Intrinsics(1200, 1200, 256, 256), width=512, pixels=pixel)
    box = torch.tensor([-1.0, -0.5, -1.0, 1.0, 0.5, 1.0])
    rays = Rays(pose[:3, 3], directions, *box_interval(pose[:3, 3], directions, box))
    grid = OccupancyGrid(torch.from_numpy(pack_cells(ball)), torch.device("cpu"))
    lattice = occupied_points(rays, grid)
    assert int(lattice.n_points) == count
    if count:
        assert float(lattice.t[0, 0]) + STEP == pytest.approx(first, abs=1e-6)
        assert float(lattice.last_t) + STEP == pytest.approx(last, abs=1e-6)


def schedule(lengths: list[int]) -> list[tuple[int, int, int]]:
    """Rounds of rays that can each take a number of samples: alive, offered, offered in all."""
    rounds, offered = [], 0
    while True:
        n_alive = sum(length >= offered for length in lengths)
        n_step = next_round(offered, n_alive, len(lengths), None)
        if n_step == 0:
            return rounds
        offered += n_step
        rounds.append((n_alive, n_step, offered))


def test_fewer_living_rays_are_offered_more_samples():
    lengths = [0] * 60 + [3] * 25 + [5] * 10 + [40] * 5
    # 100 // 100 = 1, 100 // 40 = 2, again 2, 100 // 15 = 6, 100 // 5 = 20 but at most 8.
    assert schedule(lengths) == [(100, 1, 1), (40, 2, 3), (40, 2, 5), (15, 6, 11), (5, 8, 19)]


def test_a_full_picture_ends_at_sixteen_and_a_finished_one_earlier():
    assert schedule([40] * 100)[-1] == (100, 1, 16)
    assert schedule([0] * 60 + [3] * 40)[-1][2] == 5


def test_a_cap_ends_the_rounds():
    assert [next_round(offered, 5, 100, 20) for offered in (0, 8, 16, 20)] == [8, 8, 4, 0]


def uniform_fog(sigma: float):
    def field(points, directions, audio, eye):
        n = len(points)
        nothing = torch.zeros(n, 1)
        return FieldSamples(nothing, nothing, nothing, torch.full((n,), sigma), nothing,
                            torch.ones(n, 3))  # fmt: skip

    return field


def test_a_ray_ends_one_sample_after_its_light_is_gone():
    t = torch.arange(march.MAX_SAMPLES)[None] * STEP + 1.0
    lattice = march.Lattice(t, torch.tensor([40]), t[:, -1])
    rays = Rays(
        torch.zeros(3), torch.tensor([[0.0, 0.0, 0.01]]), torch.ones(1), torch.full((1,), 9.0)
    )
    nobody = torch.zeros(1)
    sums = composite(rays, lattice, uniform_fog(50.0), nobody, nobody, cap=20)
    # alpha = 0.7415789; (1 - alpha)^7 = 7.70e-5 is the first transmittance below 1e-4.
    assert int(sums.count) == 8
    assert float(sums.weight) == pytest.approx(0.9999801, abs=1e-6)


def test_opacities_of_known_densities():
    sums = Sums.zeros(3, torch.device("cpu"))
    sigma = torch.tensor([0.1, 10.0, 200.0])
    sample = FieldSamples(torch.zeros(3, 1), torch.zeros(3, 1), torch.zeros(3, 1), sigma,
                          torch.zeros(3, 1), torch.ones(3, 3))  # fmt: skip
    sums.add(torch.arange(3), torch.ones(3), sample)
    np.testing.assert_allclose(sums.weight, [0.0027027, 0.2371035, 0.9955402], atol=1e-6)


def test_the_background_shows_through_and_the_picture_stays_in_range():
    rgb = torch.tensor([[0.2, 1.01, 0.0]])
    found = over_background(rgb, torch.tensor([0.5]), torch.tensor([[0.5, 0.5, -0.1]]))
    np.testing.assert_allclose(found, [[0.45, 1.0, 0.0]], atol=1e-6)


def test_quantising_truncates():
    assert quantise(torch.tensor([0.0, 0.9999, 1.0, 0.5])).tolist() == [0, 254, 255, 127]


def test_where_the_mask_is_nothing_the_original_is_kept_exactly():
    levels = torch.arange(256, dtype=torch.uint8).repeat(3, 1).T
    nothing = torch.zeros(256, dtype=torch.uint8)
    blended = blend_into(torch.rand(256, 3), levels.float() / 255.0, nothing)
    assert torch.equal(quantise(blended), levels)


def test_where_the_mask_is_whole_the_image_is_taken():
    image = torch.tensor([[0.25, 0.5, 1.0]])
    whole = torch.full((1,), 255, dtype=torch.uint8)
    assert quantise(blend_into(image, torch.zeros(1, 3), whole)).tolist() == [[63, 127, 255]]
