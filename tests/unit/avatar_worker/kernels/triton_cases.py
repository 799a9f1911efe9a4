"""The Triton kernels against their twins. Needs TRITON_INTERPRET=1 from the start of the process:
`test_triton.py` runs this file in a process of its own.
"""

from itertools import pairwise

import numpy as np
import pytest
import torch
import triton

from avatar_worker.render import encodings, painters
from avatar_worker.render import march as twin
from avatar_worker.render.compositor import blend_into, over_background, quantise
from avatar_worker.render.field import FieldSamples, HeadField
from avatar_worker.render.head import HeadWeights
from avatar_worker.render.kernels import triton as triton_package
from avatar_worker.render.kernels.triton import painter as painting
from avatar_worker.render.kernels.triton.composite import STAGE_SAMPLES, STAGES, Frames, advance
from avatar_worker.render.kernels.triton.finish import NOWHERE, Canvas, finish
from avatar_worker.render.kernels.triton.harmonics import harmonics
from avatar_worker.render.kernels.triton.look_up import PlaneTables, look_up
from avatar_worker.render.kernels.triton.march import occupied_points, pack_bits
from avatar_worker.render.kernels.triton.network import TritonField
from avatar_worker.render.kernels.triton.painter import TritonPainter
from avatar_worker.render.occupancy import OccupancyGrid
from avatar_worker.render.renderer import FrameRequest, Renderer
from avatar_worker.render.scene import Frame, Scene
from avatar_worker.render.twin import TorchPainter
from tests.unit.avatar_worker.kernels.characters import (
    audio_vector,
    frontal_scene,
    golden,
    made_up_head,
    psnr,
    recorded_head,
)

pytestmark = pytest.mark.unit

CPU = torch.device("cpu")
SIZES = [0, 1, 7, 33, 1000]
LEAST_DB = {torch.float32: 100.0, torch.float16: 70.0, torch.bfloat16: 45.0}


@pytest.fixture(autouse=True)
def few_rays_at_a_time(monkeypatch):
    """The interpreter pays for every block."""
    assert triton.knobs.runtime.interpret
    monkeypatch.setattr(painting, "RAYS_MULTIPLE", 64)


def some_points(n: int) -> torch.Tensor:
    """Inside the cube, and a few beside and on its border."""
    points = torch.rand(n, 3, generator=torch.Generator().manual_seed(n)) * 2.1 - 1.05
    points[: n // 8] = points[: n // 8].round()
    return points


def some_directions(n: int) -> torch.Tensor:
    return torch.nn.functional.normalize(some_points(n).flip(0) + 0.1)


def small_scene(n_eye: int = 7, size: int = 24) -> Scene:
    return frontal_scene(n_eye, height=size, width=size)


def recorded_scene(frame: int = 0) -> tuple[Scene, np.ndarray]:
    """24 × 24 pixels through the camera of the fixture, and what is said there."""
    frames = golden("frames_head")
    plain = small_scene()
    fx, fy, cx, cy = golden("rays")["intrinsics"].tolist()
    scene = Scene(
        pose=frames["pose_c2w"][frame],
        intrinsics=plain.intrinsics._replace(fx=fx, fy=fy, cx=cx, cy=cy).scaled(24 / 128, 24 / 128),
        eye=frames["eye"][frame],
        background=plain.background,
        original=plain.original,
        mask=plain.mask,
    )
    return scene, frames["enc_a"][frame]


@pytest.mark.parametrize("n", SIZES)
def test_plane_features_are_those_of_the_twin(n):
    head, points = recorded_head(), some_points(n)
    found = look_up(points, PlaneTables.of(head, CPU))
    torch.testing.assert_close(found, HeadField(head, CPU).features(points), rtol=0, atol=1e-6)


@pytest.mark.parametrize("n", SIZES)
def test_harmonics_are_those_of_the_twin(n):
    directions = some_directions(n)
    expected = encodings.harmonics(directions)
    torch.testing.assert_close(harmonics(directions), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("n", SIZES)
def test_occupied_points_are_bit_for_bit_those_of_the_twin(n):
    head, scene = made_up_head(), small_scene(size=48)
    pixels = np.random.default_rng(n).integers(0, 48 * 48, n)
    rays = TorchPainter(head).rays(scene, pixels)
    expected = twin.occupied_points(rays, OccupancyGrid(head.density_bitfield, CPU))
    found = occupied_points(rays, pack_bits(head.density_bitfield, CPU))
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours, theirs)
    if n == 1000:
        assert int(expected.n_points.max()) > twin.MAX_SAMPLES  # some rays have more than are kept


@pytest.mark.parametrize("dtype", list(LEAST_DB))
@pytest.mark.parametrize("n", [*SIZES[:-1], 200])
def test_the_head_answers_like_the_twin(n, dtype):
    head, points, directions = recorded_head(), some_points(n), some_directions(n)
    audio, eye = torch.from_numpy(audio_vector()), torch.rand(head.n_eye)
    expected = HeadField(head, CPU)(points, directions, audio, eye)
    found = TritonField(head, CPU, dtype)(points, directions, audio, eye)
    bound = {torch.float32: 1e-5, torch.float16: 5e-3, torch.bfloat16: 5e-2}[dtype]
    norms = [torch.linalg.vector_norm(a, dim=1)
             for a in (expected.audio_attention, expected.eye_attention)]  # fmt: skip
    torch.testing.assert_close(found.rgb, expected.rgb, rtol=0, atol=bound)
    torch.testing.assert_close(found.sigma.log(), expected.sigma.log(), rtol=bound, atol=bound * 10)
    torch.testing.assert_close(found.audio_norm, norms[0], rtol=bound, atol=bound)
    torch.testing.assert_close(found.eye_norm, norms[1], rtol=bound, atol=bound)


@pytest.mark.parametrize(
    ("n_eye", "n_hidden", "sigmoid"), [(1, 16, False), (2, 64, False), (4, 64, True), (7, 64, True)]
)
def test_every_eye_network_answers_like_the_twin(n_eye, n_hidden, sigmoid):
    head = made_up_head(n_eye, n_hidden=n_hidden, sigmoid=sigmoid)
    points, directions = some_points(50), some_directions(50)
    audio, eye = torch.from_numpy(audio_vector()), torch.rand(n_eye)
    expected = HeadField(head, CPU)(points, directions, audio, eye)
    found = TritonField(head, CPU, torch.float32)(points, directions, audio, eye)
    torch.testing.assert_close(found.rgb, expected.rgb, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.sigma.log(), expected.sigma.log(), rtol=0, atol=1e-4)
    norm = torch.linalg.vector_norm(expected.eye_attention, dim=1)
    torch.testing.assert_close(found.eye_norm, norm, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("n", "cap"), [(1, 23), (7, 1), (33, 4), (33, 16), (33, 23), (1000, 20)])
def test_sums_end_where_those_of_the_twin_end(n, cap):
    """Made-up samples of rays of any length; some ends lie close together, some far apart."""
    random = torch.Generator().manual_seed(n)
    frames = Frames.empty(2, n, CPU, torch.float32, norms=True)
    frames.t.copy_(torch.rand(2, 23, n, generator=random).cumsum(1))
    frames.n_points.copy_(torch.randint(0, 30, (2, n), generator=random))
    frames.rays.copy_(torch.rand(2, 5, n, generator=random))
    frames.limit.fill_(cap)
    sigma = torch.rand(2, n, 23, generator=random) * 10.0 ** torch.randint(
        0, 4, (2, n, 1), generator=random
    )
    values = torch.rand(2, n, 23, 5, generator=random)
    assert frames.norms is not None
    edges = [*(edge for edge in STAGES if edge < cap), cap]
    before = 0
    for stage, (first, last) in enumerate(pairwise(edges)):
        advance(frames, before, first, last, frames.n_samples[stage])
        assert int(frames.n_samples[stage].max()) <= n * STAGE_SAMPLES
        for frame, ray in np.ndindex(2, n):
            due = int(frames.due[frame, ray])
            slots = slice(int(frames.offset[frame, ray]), int(frames.offset[frame, ray]) + due)
            columns = slice(first, first + due)
            point = frames.t[frame, columns, ray, None] * frames.rays[frame, :3, ray]
            assert torch.equal(frames.samples[frame, :3, slots].T, point.clamp(-1.0, 1.0))
            frames.answers[frame, slots, :3] = values[frame, ray, columns, :3]
            frames.answers[frame, slots, 3] = sigma[frame, ray, columns]
            frames.norms[frame, slots] = values[frame, ray, columns, 3:]
        before = first
    advance(frames, before, cap, cap, frames.n_samples[0])
    for frame in range(2):
        expected = expected_sums(frames, frame, sigma[frame], values[frame], cap)
        found = painting._sums_of(frames, frame, n, [])
        assert torch.equal(found.count, expected.count)
        for name in ("weight", "rgb", "depth", "audio_norm", "eye_norm"):
            ours, theirs = getattr(found, name), getattr(expected, name)
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def expected_sums(
    frames: Frames, frame: int, sigma: torch.Tensor, values: torch.Tensor, cap: int
) -> twin.Sums:
    """The twin's loop over the same samples."""
    alive = torch.arange(len(sigma))
    sums = twin.Sums.zeros(len(sigma), CPU)
    for column in range(cap):
        alive = alive[frames.n_points[frame, alive] > column]
        value, nothing = values[alive, column], torch.zeros(len(alive), 1)
        sample = FieldSamples(nothing, value[:, 3:4], value[:, 4:], sigma[alive, column], nothing,
                              value[:, :3])  # fmt: skip
        ends = sums.add(alive, frames.t[frame, column, alive] + twin.STEP, sample)
        alive = alive[~ends]
    return sums


def image_of(painter: TorchPainter, scene: Scene, enc_a: np.ndarray) -> np.ndarray:
    return painter.image(scene, enc_a, scene.eye).numpy()


@pytest.mark.parametrize("dtype", list(LEAST_DB))
def test_a_recorded_head_looks_like_the_twins(dtype):
    head = recorded_head()
    scene, enc_a = recorded_scene()
    expected = image_of(TorchPainter(head), scene, enc_a)  # 1622 samples, as many as 22 a ray
    likeness = psnr(image_of(TritonPainter(head, CPU, dtype), scene, enc_a), expected)
    print(f"recorded head in {dtype}: {likeness:.1f} dB")
    assert likeness >= LEAST_DB[dtype]


def test_frames_drawn_together_are_those_drawn_alone():
    """A fog that needs the rule of the whole picture, in three sizes: each ends by its own rule."""
    head = made_up_head()
    painter, exact = TritonPainter(head, CPU, torch.float32), TorchPainter(head)
    frames = [
        Frame(small_scene(), audio_vector(1), small_scene().eye),
        Frame(small_scene(size=17), audio_vector(2), small_scene().eye * 0.5),
        Frame(small_scene(size=5), audio_vector(3), small_scene().eye),
    ]
    for frame, ours in zip(frames, painter.pictures(frames, portrait=False, cap=None), strict=True):
        theirs = exact.picture(*frame, portrait=False, cap=None)
        assert np.mean(ours == theirs) >= 0.998
        assert np.array_equal(ours, painter.picture(*frame, portrait=False, cap=None))


def test_sums_are_those_of_the_twin_rays_rounds_and_all():
    head = made_up_head()
    painter, exact = TritonPainter(head, CPU, torch.float32), TorchPainter(head)
    for size, seed in ((24, 1), (17, 2)):
        scene = small_scene(size=size)
        ours, theirs = (p.sums(scene, audio_vector(seed), scene.eye) for p in (painter, exact))
        assert ours.rounds == theirs.rounds
        assert torch.equal(ours.count, theirs.count)
        torch.testing.assert_close(ours.rgb, theirs.rgb, rtol=0, atol=1e-4)
        torch.testing.assert_close(ours.depth, theirs.depth, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(ours.audio_norm, theirs.audio_norm, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(ours.eye_norm, theirs.eye_norm, rtol=1e-4, atol=1e-4)


def test_more_frames_than_fit_are_drawn_in_several_goes(monkeypatch):
    monkeypatch.setattr(painting, "MAX_FRAMES", 2)
    painter = TritonPainter(made_up_head(), CPU, torch.float32)
    scenes = [small_scene(size=size) for size in (6, 4, 5)]
    frames = [Frame(scene, audio_vector(i), scene.eye) for i, scene in enumerate(scenes)]
    drawn = painter.pictures(frames, portrait=True, cap=20)
    assert [picture.shape for picture in drawn] == [(6, 6, 3), (4, 4, 3), (5, 5, 3)]
    for picture, frame in zip(drawn, frames, strict=True):
        assert np.array_equal(picture, painter.picture(*frame, portrait=True, cap=20))


@pytest.mark.parametrize("n", [1, 7, 129])
def test_pictures_are_finished_as_the_twin_finishes_them(n):
    random = torch.Generator().manual_seed(n)
    sums = torch.rand(2, 7, n, generator=random)
    canvas = Canvas.empty(2, n, 3 * n + 5, CPU)
    canvas.around.copy_(torch.rand(2, 7, n, generator=random))
    canvas.around[:, 6] = torch.randint(0, 256, (2, n), generator=random)
    order = torch.stack([torch.randperm(n, generator=random) for _ in range(2)])
    canvas.pixels.copy_(order)
    canvas.pixels[1, 0] = NOWHERE
    canvas.pictures.fill_(77)
    finish(sums, canvas)
    for frame in range(2):
        behind, original, mask = torch.split(canvas.around[frame], [3, 3, 1])
        image = over_background(sums[frame, :3].T, sums[frame, 3], behind.T)
        expected = torch.full((n, 3), 77, dtype=torch.uint8)
        expected[order[frame]] = quantise(blend_into(image, original.T, mask[0].to(torch.uint8)))
        if frame == 1:
            expected[order[1, 0]] = 77
        assert torch.equal(canvas.pictures[frame, : 3 * n].reshape(n, 3), expected)
        assert (canvas.pictures[frame, 3 * n :] == 77).all()


def test_a_picture_may_need_more_than_sixteen_samples():
    head = thin(made_up_head())
    painter, exact, scene = (
        TritonPainter(head, CPU, torch.float32),
        TorchPainter(head),
        small_scene(),
    )
    ours, theirs = (p.sums(scene, audio_vector(), scene.eye) for p in (painter, exact))
    assert ours.rounds == theirs.rounds
    assert int(theirs.count.max()) > twin.OFFERED_SAMPLES
    assert torch.equal(ours.count, theirs.count)
    torch.testing.assert_close(ours.rgb, theirs.rgb, rtol=0, atol=1e-4)


def thin(head: HeadWeights) -> HeadWeights:
    """The same fog with next to no density and only a small part of the picture in it."""
    sigma_2, cut = head.sigma_2.clone(), torch.tensor([-1.0, -0.5, -1.0, -0.2, 0.5, -0.2])
    sigma_2[0] = 0.0
    return HeadWeights.from_tensors(head.tensors() | {"sigma_2": sigma_2, "aabb": cut})


@pytest.mark.parametrize("cap", [None, 20])
def test_portraits_are_those_of_the_twin(cap):
    head, scene = recorded_head(), recorded_scene()[0]
    request = FrameRequest(enc_a=audio_vector(), scene=scene)
    painter, exact = TritonPainter(head, CPU, torch.float32), TorchPainter(head)
    ours, theirs = (
        Renderer(p, None, portrait=True, cap=cap).render(request) for p in (painter, exact)
    )
    assert np.array_equal(ours[scene.mask == 0], theirs[scene.mask == 0])
    assert np.mean(ours == theirs) >= 0.998
    with pytest.raises(ValueError, match="give a cap"):
        painter.sums(scene, audio_vector(), scene.eye, pixels=np.arange(4))


def test_a_camera_that_looks_away_shows_the_background():
    scene = small_scene(size=8)
    scene.pose[:3, 2] *= -1
    painter = TritonPainter(recorded_head(), CPU, torch.float16)
    picture = painter.picture(scene, audio_vector(), scene.eye, portrait=False, cap=None)
    assert np.array_equal(picture, scene.background)


@pytest.mark.parametrize(
    ("precision", "has_triton", "expected"),
    [
        ("auto", True, ("TritonPainter", torch.float16)),
        ("bf16", True, ("TritonPainter", torch.bfloat16)),
        ("fp32", True, ("TorchPainter", torch.float32)),
        ("auto", False, ("TorchPainter", torch.float32)),
    ],
)
def test_a_gpu_draws_with_triton_unless_exactness_is_asked_for(
    monkeypatch, precision, has_triton, expected
):
    monkeypatch.setattr(painters, "choose_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(triton_package, "draws_on", lambda device: has_triton)
    for place, name in ((painting, "TritonPainter"), (painters, "TorchPainter")):
        monkeypatch.setattr(
            place, name, lambda head, device, dtype, name=name: (name, device, dtype)
        )
    chosen: object = painters.choose_painter(recorded_head(), device="cuda", precision=precision)
    assert chosen == (expected[0], torch.device("cuda"), expected[1])
