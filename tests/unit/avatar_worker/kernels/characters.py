"""Characters to draw in kernel tests: the recorded fixture, and made-up ones of any shape."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar_worker.render.checkpoint import read_checkpoint
from avatar_worker.render.encodings import plane_levels
from avatar_worker.render.head import HeadWeights
from avatar_worker.render.kernels import Camera
from avatar_worker.render.occupancy import GRID_SIZE, pack_cells
from avatar_worker.render.rays import Intrinsics
from avatar_worker.render.scene import Scene

ROOT = Path(__file__).resolve().parents[4]
FIXTURE_PLACES = (
    ROOT.parent / "shared" / "fixtures" / "synctalk-mini",
    ROOT / "tests" / "data" / "synctalk-mini",
)


def fixture_folder() -> Path:
    """The folder of the recorded character; skips the test where it is absent."""
    for place in FIXTURE_PLACES:
        if (place / "model" / "trial_mini" / "checkpoints" / "ngp_ep0003.pth").is_file():
            return place
    pytest.skip("the fixture synctalk-mini is neither in ../shared/fixtures nor in tests/data")


def recorded_head() -> HeadWeights:
    """The head of the fixture."""
    path = fixture_folder() / "model" / "trial_mini" / "checkpoints" / "ngp_ep0003.pth"
    return read_checkpoint(path).head()


def golden(name: str) -> dict[str, np.ndarray]:
    """Arrays of one golden file."""
    path = fixture_folder() / "golden" / f"{name}.npz"
    if not path.is_file():
        pytest.skip(f"{path.name} is not part of the reference data here")
    with np.load(path) as arrays:
        return dict(arrays)


def made_up_head(n_eye: int = 7, *, n_hidden: int = 64, sigmoid: bool = False) -> HeadWeights:
    """A ball of coloured fog with random weights, the same for the same arguments."""
    random = torch.Generator().manual_seed(7)

    def matrix(rows: int, columns: int, gain: float = 1.4) -> torch.Tensor:
        values = torch.randn(rows, columns, generator=random)
        return values.mul_(gain / columns**0.5)

    def table() -> torch.Tensor:
        return torch.randn(163_584, generator=random) * 0.3

    sigma_2 = matrix(65, 64)
    sigma_2[0] = (
        sigma_2[0].abs() * 1.6
    )  # hidden values are positive: so is the logarithm of the density
    axis = (np.arange(GRID_SIZE) + 0.5) / (GRID_SIZE / 2) - 1
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    return HeadWeights(
        encoder_xy=table(), encoder_yz=table(), encoder_xz=table(),
        audio_attention_0=matrix(64, 36), audio_attention_1=matrix(32, 64),
        eye_attention_0=matrix(n_hidden, 36), eye_attention_1=matrix(n_eye, n_hidden),
        sigma_0=matrix(64, 68 + n_eye), sigma_1=matrix(64, 64), sigma_2=sigma_2,
        color_0=matrix(64, 84), color_1=matrix(3, 64), code=torch.randn(4, generator=random),
        aabb=torch.tensor([-1.0, -0.5, -1.0, 1.0, 0.5, 1.0]),
        density_bitfield=torch.from_numpy(pack_cells(x**2 + 2 * y**2 + z**2 < 0.3)),
        eye_sigmoid=sigmoid,
    )  # fmt: skip


def frontal_scene(n_eye: int = 7, *, height: int = 48, width: int = 48) -> Scene:
    """A camera in front of the face, slightly turned, over coloured noise."""
    random = np.random.default_rng(11)
    turn = 0.2
    pose = np.array(
        [
            [0.0, -1.0, 0.0, 0.02],
            [np.sin(turn), 0.0, -np.cos(turn), 3.2 * np.cos(turn)],
            [np.cos(turn), 0.0, np.sin(turn), -3.2 * np.sin(turn)],
            [0.0, 0.0, 0.0, 1.0],
        ],
        np.float32,
    )
    focal = 1.9 * max(height, width)
    return Scene(
        pose=pose,
        intrinsics=Intrinsics(focal, focal * 1.02, width / 2 + 0.3, height / 2 - 0.4),
        eye=random.uniform(0, 1, n_eye).astype(np.float32),
        background=random.integers(0, 256, (height, width, 3), np.uint8),
        original=random.integers(0, 256, (height, width, 3), np.uint8),
        mask=soft_mask(height, width),
    )


def soft_mask(height: int, width: int) -> np.ndarray:
    """255 in the middle, falling to 0."""
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    mask: np.ndarray = (np.clip(1.2 - 2 * np.hypot(x, y), 0, 1) * 255).astype(np.uint8)
    return mask


def camera_of(scene: Scene) -> Camera:
    """What the kernel wants to know of a scene."""
    height, width = scene.background.shape[:2]
    return Camera(scene.pose, scene.intrinsics, height, width)


def audio_vector(seed: int = 3) -> np.ndarray:
    """Something said."""
    return np.random.default_rng(seed).normal(0, 1, 32).astype(np.float32)


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """Peak signal-to-noise ratio of values in [0, 1], in dB."""
    error = np.mean((first.astype(np.float64) - second) ** 2)
    return float(-10 * np.log10(error + 1e-30))


def cube_in_the_open() -> HeadWeights:
    """Fog inside of |x|, |y|, |z| < 0.08, nothing outside, and cells occupied up to 0.15.

    The density is e⁰ where the features are 0; the levels of the planes that are not hashed make
    them large outside of the cube.
    """
    head = made_up_head()
    level = plane_levels()[0]
    assert not level.is_hashed
    place = (np.arange(level.stride) - 0.5) / level.scale * 2 - 1  # of the lattice points
    outside = np.abs(place) > 0.08
    table = torch.zeros(len(head.encoder_xy))
    values = torch.from_numpy(np.float32(outside[:, None] | outside[None]).reshape(-1))
    table[level.offset : level.offset + len(values)] = values
    axis = np.abs((np.arange(GRID_SIZE) + 0.5) / (GRID_SIZE / 2) - 1) < 0.15
    cells = axis[:, None, None] & axis[:, None] & axis
    sigma_2 = head.sigma_2.clone()
    sigma_2[0] = -100 * sigma_2[0].abs()
    return replace(
        head, encoder_xy=table, encoder_yz=table, encoder_xz=table, sigma_2=sigma_2,
        density_bitfield=torch.from_numpy(pack_cells(cells)),
    )  # fmt: skip
