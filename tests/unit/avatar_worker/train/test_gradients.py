"""The compiled step against autograd through the checkpoint's own formulas."""

import ctypes
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from avatar_worker.render.checkpoint_layout import Flavour
from avatar_worker.render.field import HeadField
from avatar_worker.render.kernels.build import KernelBuildError, build
from avatar_worker.render.kernels.isa import Isa, processor_flags
from avatar_worker.render.occupancy import pack_cells
from avatar_worker.render.rays import Intrinsics
from avatar_worker.train.errors import TrainingError
from avatar_worker.train.head import TrainedHead
from avatar_worker.train.kernels import (
    Rays,
    StepCounts,
    StepKernel,
    Trained,
    TwinKernel,
    load_trainer,
)
from avatar_worker.train.kernels.cpu import PAIRS, SOURCE, TrainerKernel
from tests.unit.avatar_worker.train.twin import head_weights, twin_step

pytestmark = pytest.mark.unit

SIZE = 24
AABB = (-1.0, -0.5, -1.0, 1.0, 0.5, 1.0)
INTRINSICS = Intrinsics(40.0, 41.0, 12.2, 11.7)
CAP = 9
ENTROPY, DISTORTION = 0.02, 0.3


EMULATED = Isa(
    "amx-emulated", PAIRS.cpu_flags,
    ("-march=cooperlake", "-DAVATAR_TRAIN_TILES", "-DAVATAR_EMULATE_TILES"),
)  # fmt: skip
"""The matrix unit's code, its instructions in plain C++."""


@pytest.fixture(
    scope="module", params=["amx", EMULATED.name, "avx512bf16", "avx512", "avx2", "twin"]
)
def kernel(request: pytest.FixtureRequest) -> StepKernel:
    if request.param == "twin":
        return TwinKernel("cpu")
    try:
        if request.param == EMULATED.name:
            if not EMULATED.cpu_flags <= processor_flags():
                pytest.skip("the emulation needs AVX-512 BF16 for everything but the tiles")
            return TrainerKernel(ctypes.CDLL(str(build(EMULATED, SOURCE))), EMULATED.name, 2)
        return load_trainer(threads=2, isa=request.param)
    except (TrainingError, KernelBuildError) as error:
        pytest.skip(str(error))


def flavour(eye: str = "upper", n_eye: int = 7) -> Flavour:
    return Flavour("ave", 512, True, eye, n_eye, 4, 20_000, False, False)  # type: ignore[arg-type]


def seen_head(eye: str = "upper", n_eye: int = 7) -> TrainedHead:
    """A fresh head, but with tables large enough for everything to matter."""
    head = TrainedHead(flavour(eye, n_eye), seed=5)
    head.tables *= 5e3
    with torch.no_grad():
        density = head.weights["sigma_net.net.2.weight"]
        density[0] = density[0].abs() * 20
        for name in ("sigma_net.net.0", "sigma_net.net.1", "color_net.net.0", "color_net.net.1"):
            head.weights[f"{name}.weight"] *= 2
    return head


def ball() -> np.ndarray:
    axis = (np.arange(128) + 0.5) / 64 - 1
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    return x**2 + 2 * y**2 + z**2 < 0.3


def dense_bits(cells: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.packbits(cells.reshape(-1), bitorder="little"))


def poses() -> torch.Tensor:
    frames = [
        [
            [0.0, -1.0, 0.0, 0.02],
            [np.sin(turn), 0.0, -np.cos(turn), 3.2 * np.cos(turn)],
            [np.cos(turn), 0.0, np.sin(turn), -3.2 * np.sin(turn)],
            [0.0, 0.0, 0.0, 1.0],
        ]
        for turn in (-0.1, 0.15)
    ]
    return torch.tensor(frames, dtype=torch.float32)


def some_rays(counts: tuple[int, ...]) -> Rays:
    random = torch.Generator().manual_seed(2)
    n = sum(counts)
    return Rays(
        torch.randint(0, SIZE * SIZE, (n,), generator=random, dtype=torch.int32),
        torch.rand(n, generator=random),
        torch.rand(n, 3, generator=random),
        torch.rand(n, 3, generator=random),
        counts,
    )


class Near(NamedTuple):
    """How much a kernel may differ from autograd.

    Attributes:
        loss: relative, of losses.
        each: cosine of every tensor's gradient, at least.
        whole: cosine and length of the gradient of all tensors together.
    """

    loss: float
    each: float
    whole: float


def near(kernel: StepKernel) -> Near:
    # Factors of eight bits; what depends on differences between features suffers most.
    in_bfloat = any(set_ in kernel.name for set_ in ("bf16", "amx"))
    return Near(1e-2, 0.95, 0.02) if in_bfloat else Near(1e-4, 0.99999, 1e-3)


def assert_alike(
    found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], allowed: Near
) -> None:
    """Gradients of the same tensors in the same directions, and of the same length in all."""
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert gradient.norm() > 0, name
        assert cosine(found[name], gradient) > allowed.each, name
    whole = [torch.cat([g.reshape(-1) for g in of.values()]) for of in (found, expected)]
    assert cosine(*whole) > 1 - allowed.whole
    assert float(whole[0].norm() / whole[1].norm()) == pytest.approx(1, abs=allowed.whole)


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a * b).sum() / (a.norm() * b.norm()))


@pytest.mark.parametrize(("eye", "n_eye"), [("upper", 7), ("au45", 1)])
def test_losses_and_gradients_equal_autograd(kernel: StepKernel, eye: str, n_eye: int):
    head, cells = seen_head(eye, n_eye), ball()
    rays = some_rays((150, 90))
    random = torch.Generator().manual_seed(3)
    windows = torch.rand(2, 8, 512, generator=random) * 3
    eyes = torch.rand(2, n_eye, generator=random)

    tables = head.tables.clone().requires_grad_()
    bitfield = torch.from_numpy(pack_cells(cells))
    weights = head_weights(head, tables, bitfield, torch.tensor(AABB))
    twin = twin_step(
        weights, rays, poses(), INTRINSICS, SIZE, head.audio_vectors(windows), eyes, CAP
    )
    total = twin.color_loss + ENTROPY * twin.entropy + DISTORTION * twin.distortion
    total.backward()
    expected = {name: w.grad.clone() for name, w in head.weights.items() if w.grad is not None}
    assert head.code.grad is not None
    expected["code"] = head.code.grad.clone()
    for tensor in (*head.weights.values(), head.code):
        tensor.grad = None

    merged = head.merged(head.audio_vectors(windows), eyes)
    plain = merged.plain()
    grads, grad_tables = plain.zeros(), torch.zeros_like(head.tables)
    counts, trained = kernel.step(
        rays, merged=plain, tables=head.tables, grad_merged=grads, grad_tables=grad_tables,
        occupancy=dense_bits(cells), poses=poses(), intrinsics=INTRINSICS, size=(SIZE, SIZE),
        aabb=AABB, cap=CAP, entropy=ENTROPY, distortion=DISTORTION, keep=-1.0,
    )  # fmt: skip
    torch.autograd.backward(list(merged), list(grads))

    allowed = near(kernel)
    assert counts.color_loss == pytest.approx(twin.color_loss.item(), rel=allowed.loss / 10)
    assert counts.entropy == pytest.approx(twin.entropy.item(), rel=3 * allowed.loss)
    assert counts.distortion == pytest.approx(twin.distortion.item(), rel=3 * allowed.loss)
    assert counts.trained == counts.used == int(trained.is_kept.sum())
    found = {name: w.grad for name, w in head.weights.items() if w.grad is not None}
    assert head.code.grad is not None
    assert tables.grad is not None
    found["code"] = head.code.grad
    assert_alike(found, expected, allowed)
    assert_alike({"tables": grad_tables}, {"tables": tables.grad}, allowed)


def test_terms_of_several_rays_go_through_their_colours(kernel: StepKernel):
    """A loss of neighbouring colours, given as its gradient, against autograd through it all."""
    head, cells, rays = seen_head(), ball(), some_rays((120, 70))
    random = torch.Generator().manual_seed(4)
    windows, eyes = torch.rand(2, 8, 512, generator=random) * 3, torch.rand(2, 7, generator=random)

    def edges(colors: torch.Tensor) -> torch.Tensor:
        return (colors.diff(dim=0) ** 2).mean() * 3

    tables = head.tables.clone().requires_grad_()
    weights = head_weights(head, tables, torch.from_numpy(pack_cells(cells)), torch.tensor(AABB))
    twin = twin_step(
        weights, rays, poses(), INTRINSICS, SIZE, head.audio_vectors(windows), eyes, CAP
    )
    (twin.color_loss + ENTROPY * twin.entropy + edges(twin.colors)).backward()
    expected = {name: w.grad.clone() for name, w in head.weights.items() if w.grad is not None}
    for tensor in (*head.weights.values(), head.code):
        tensor.grad = None

    merged = head.merged(head.audio_vectors(windows), eyes)
    plain = merged.plain()
    view: dict[str, Any] = {
        "merged": plain, "tables": head.tables, "occupancy": dense_bits(cells), "poses": poses(),
        "intrinsics": INTRINSICS, "size": (SIZE, SIZE), "aabb": AABB, "cap": CAP,
    }  # fmt: skip
    colors = kernel.colors(rays, **view)
    allowed = near(kernel)
    torch.testing.assert_close(colors, twin.colors.detach(), rtol=allowed.loss, atol=allowed.loss)
    leaf = colors.clone().requires_grad_()
    (further,) = torch.autograd.grad(edges(leaf), leaf)
    grads, grad_tables = plain.zeros(), torch.zeros_like(head.tables)
    drawn = torch.empty_like(colors)
    kernel.step(
        rays, grad_merged=grads, grad_tables=grad_tables, entropy=ENTROPY, distortion=0.0,
        keep=-1.0, further=further, drawn=drawn, **view,
    )  # fmt: skip
    assert torch.equal(drawn, colors)
    torch.autograd.backward(list(merged), list(grads))
    assert tables.grad is not None
    found = {name: w.grad for name, w in head.weights.items() if w.grad is not None}
    assert_alike(found, expected, allowed)
    assert_alike({"tables": grad_tables}, {"tables": tables.grad}, allowed)
    with pytest.raises(ValueError, match="further"):
        kernel.step(
            rays, grad_merged=grads, grad_tables=grad_tables, entropy=0.0, distortion=0.0,
            further=further[:5], **view,
        )  # fmt: skip


def test_samples_of_little_weight_are_left_out(kernel: StepKernel):
    head = seen_head()
    merged = head.merged(head.audio_vectors(torch.ones(1, 8, 512)), torch.ones(1, 7)).plain()

    def step(keep: float) -> tuple[StepCounts, Trained]:
        return kernel.step(
            some_rays((300,)), merged=merged, tables=head.tables, grad_merged=merged.zeros(),
            grad_tables=torch.zeros_like(head.tables), occupancy=dense_bits(ball()),
            poses=poses()[:1], intrinsics=INTRINSICS, size=(SIZE, SIZE), aabb=AABB, cap=20,
            entropy=0.0, distortion=0.0, keep=keep,
        )  # fmt: skip

    all_of_them, _ = step(-1.0)
    heavy, trained = step(0.05)
    assert heavy.evaluated == all_of_them.evaluated
    assert 0 < heavy.trained < all_of_them.trained
    assert set(trained.ray[trained.is_kept].tolist()) <= set(range(300))


def test_a_step_gives_the_same_bits_twice(kernel: StepKernel):
    head = seen_head()
    merged = head.merged(head.audio_vectors(torch.ones(2, 8, 512)), torch.ones(2, 7)).plain()
    results = []
    for _ in range(3):
        grads, grad_tables = merged.zeros(), torch.zeros_like(head.tables)
        kernel.step(
            some_rays((700, 500)), merged=merged, tables=head.tables, grad_merged=grads,
            grad_tables=grad_tables, occupancy=dense_bits(ball()), poses=poses(),
            intrinsics=INTRINSICS, size=(SIZE, SIZE), aabb=AABB, cap=20,
            entropy=1e-3, distortion=0.1,
        )  # fmt: skip
        results.append(torch.cat([grad_tables, *[g.reshape(-1) for g in grads]]))
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_density_and_features_equal_the_twin(kernel: StepKernel):
    head = seen_head()
    windows, eyes = torch.ones(1, 8, 512), torch.full((1, 7), 0.4)
    weights = head_weights(
        head, head.tables, torch.zeros(262_144, dtype=torch.uint8), torch.tensor(AABB)
    )
    points = torch.rand(128, 3, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        audio = head.audio_vectors(windows)[0]
        twin = HeadField(weights, torch.device("cpu"))(points, points, audio, eyes[0])
        found = kernel.density(
            points.T, head.merged(head.audio_vectors(windows), eyes).plain(), head.tables
        )
    allowed = near(kernel).loss
    torch.testing.assert_close(found, twin.sigma.log(), rtol=allowed, atol=3 * allowed)
    columns = points.T.contiguous()
    torch.testing.assert_close(
        kernel.features(columns, head.tables), twin.features.T, rtol=1e-4, atol=1e-4
    )
    # Spreading a gradient of ones: every level gives each of 128 points a share of 1 in all.
    grad_tables = torch.zeros_like(head.tables)
    kernel.scatter(columns, torch.ones(36, 128), grad_tables)
    assert float(grad_tables.sum()) == pytest.approx(36 * 128, rel=1e-4)


def test_adam_equals_torch(kernel: StepKernel):
    start = torch.linspace(-1, 1, 1000)
    values, squares = start.clone(), torch.zeros(1000)
    parameter = start.clone().requires_grad_()
    optimiser = torch.optim.AdamW(
        [parameter], lr=1e-2, betas=(0.0, 0.99), eps=1e-8, weight_decay=0.01
    )
    for k in range(1, 4):
        gradient = torch.sin(start * k * 7)
        parameter.grad = gradient.clone()
        optimiser.step()
        kernel.adam(values, gradient, squares, rate=1e-2, decay=0.01, beta=0.99, n_steps=k)
        assert float(gradient.abs().max()) == 0
    torch.testing.assert_close(values, parameter.detach(), rtol=1e-5, atol=1e-6)


def test_wrong_arrays_are_named(kernel: StepKernel):
    head = seen_head()
    merged = head.merged(head.audio_vectors(torch.ones(1, 8, 512)), torch.ones(1, 7)).plain()
    good: dict[str, Any] = {
        "merged": merged, "tables": head.tables, "grad_merged": merged.zeros(),
        "grad_tables": torch.zeros_like(head.tables), "occupancy": dense_bits(ball()),
        "poses": poses()[:1], "intrinsics": INTRINSICS, "size": (SIZE, SIZE), "aabb": AABB,
        "cap": 20,
        "entropy": 0.0, "distortion": 0.0,
    }  # fmt: skip
    with pytest.raises(ValueError, match="poses"):
        kernel.step(some_rays((10,)), **(good | {"poses": poses()}))
    with pytest.raises(ValueError, match="occupancy"):
        kernel.step(some_rays((10,)), **(good | {"occupancy": torch.zeros(5, dtype=torch.uint8)}))
    with pytest.raises(ValueError, match="cap"):
        kernel.step(some_rays((10,)), **(good | {"cap": 33}))
