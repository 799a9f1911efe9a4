"""A run that is stopped and called again ends where an uninterrupted one does, to the last bit."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from avatar_worker.render.checkpoint import find_checkpoint, read_checkpoint
from avatar_worker.render.rays import Intrinsics
from avatar_worker.train.checkpoints import forget, read_state, write_head, write_state
from avatar_worker.train.dataset import AABB, TrainingData
from avatar_worker.train.errors import TrainingError
from avatar_worker.train.footage import FramePixels, Rectangle
from avatar_worker.train.kernels import TrainerKernel, TwinKernel, load_trainer
from avatar_worker.train.occupancy import hull_of
from avatar_worker.train.schedule import plan, rays_per_frame
from avatar_worker.train.trainer import Trainer
from tests.unit.avatar_worker.train.test_gradients import poses

pytestmark = pytest.mark.unit

SIZE = 64
INTRINSICS = Intrinsics(110.0, 110.0, 32.0, 32.0)
N_STEPS = 20


def compiled(threads: int) -> TrainerKernel:
    """The compiled step; skips where there is none."""
    try:
        return load_trainer(threads)
    except TrainingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def kernel() -> TrainerKernel:
    return compiled(threads=2)


def disc() -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE]
    inside: np.ndarray = np.hypot(x - 31.5, y - 31.5) < 17
    return inside


def made_up_data(seed: int = 0) -> TrainingData:
    """Two views of a red disc before green, that get brighter with the sound."""
    random = torch.Generator().manual_seed(seed)
    mask = disc()
    pixel = np.flatnonzero(cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)))
    inside = torch.from_numpy(mask.reshape(-1)[pixel])
    frames, windows = [], []
    for brightness in (120, 220):
        red, green = torch.tensor([brightness, 30, 40]), torch.tensor([20, 200, 30])
        everything = torch.arange(len(pixel))
        frames.append(
            FramePixels(
                pixel=torch.from_numpy(pixel.astype(np.int32)),
                target=torch.where(inside[:, None], red, green).to(torch.uint8),
                background=green.to(torch.uint8).expand(len(pixel), 3),
                is_core=inside,
                is_lower_face=everything > len(pixel) // 2,
                lips=Rectangle(16, 46, 18, 48),
                regions=dict.fromkeys(("face", "mouth", "eyes"), everything),
            )
        )
        windows.append(torch.rand(8, 512, generator=random) * brightness / 100)
    cameras = poses()
    hull = hull_of(cameras.numpy(), [mask, mask], AABB, INTRINSICS)
    return TrainingData(
        frames=frames, windows=torch.stack(windows), eyes=torch.zeros(2, 7), eye_mode="upper",
        poses=cameras, intrinsics=INTRINSICS, size=(SIZE, SIZE), hull=hull, aabb=AABB,
        fingerprint=f"made up {seed}",
    )  # fmt: skip


def trained(trainer: Trainer, steps: int) -> Trainer:
    for _ in range(steps):
        trainer.step(trainer.progress.step / N_STEPS)
    return trainer


def test_a_resumed_run_equals_an_uninterrupted_one(
    kernel: TrainerKernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # Occupancy takes part within these few steps.
    for name, value in (("FIRST_UPDATE", 2), ("OCCUPANCY_STEPS", 2), ("FIRST_REFRESH", 4),
                        ("REFRESH_STEPS", 4)):  # fmt: skip
        monkeypatch.setattr(f"avatar_worker.train.trainer.{name}", value)
    assert plan(N_STEPS - 1, 1 - 1 / N_STEPS).is_lip_step  # as do patches of the lips
    data = made_up_data()
    whole = trained(Trainer(data, kernel), N_STEPS)
    write_state(tmp_path, trained(Trainer(data, kernel), 9).state())
    state = read_state(tmp_path)
    assert state is not None
    other = Trainer(data, kernel, seed=99)  # everything comes from the state, not from the seed
    other.restore(state)
    resumed = trained(other, N_STEPS - 9)
    assert resumed.progress.step == N_STEPS
    assert torch.equal(resumed.head.tables, whole.head.tables)
    for key, tensor in whole.head.weights.items():
        assert torch.equal(resumed.head.weights[key], tensor), key
    assert torch.equal(resumed.occupancy.bits, whole.occupancy.bits)


@pytest.mark.usefixtures("kernel")
def test_the_twin_trains_as_the_compiled_step_does(monkeypatch: pytest.MonkeyPatch):
    """The path of a GPU, on the CPU: losses stay together as long as rounding lets them."""
    for name, value in (("FIRST_UPDATE", 2), ("OCCUPANCY_STEPS", 2), ("FIRST_REFRESH", 4),
                        ("REFRESH_STEPS", 4)):  # fmt: skip
        monkeypatch.setattr(f"avatar_worker.train.trainer.{name}", value)
    data = made_up_data()
    exact = load_trainer(threads=2, isa="avx2")  # like the twin in float32 throughout
    runs = [Trainer(data, exact), Trainer(data, TwinKernel("cpu"))]
    for step in range(8):
        for run in runs:
            run.step(step / 8)  # the last ones look at the lips
        assert runs[1].progress.loss == pytest.approx(runs[0].progress.loss, rel=2e-3)
    # Its state is resumed by the other.
    runs[0].restore(runs[1].state())
    assert torch.equal(runs[0].head.tables, runs[1].head.tables)
    trained(runs[0], 1)


def test_training_learns_what_it_is_shown(kernel: TrainerKernel):
    trainer = Trainer(made_up_data(), kernel)
    trained(trainer, 1)
    before = trainer.progress.loss
    for _ in range(60):
        trainer.step(0.2)
    assert trainer.progress.loss < before / 2  # a running mean over all of them


def test_what_is_written_is_a_complete_head(kernel: TrainerKernel, tmp_path: Path):
    trainer = trained(Trainer(made_up_data(), kernel), 3)
    path = write_head(tmp_path, trainer.checkpoint())
    assert path.name == "ngp_ep0003.pth"  # each step sees both frames
    checkpoint = read_checkpoint(find_checkpoint(tmp_path))
    assert str(checkpoint.flavour) == "SyncTalk head, ave audio features, upper expression"
    assert torch.equal(checkpoint.head().encoder_yz, trainer.head.tables.view(3, -1)[1])
    # No cell outside the hull is occupied, whatever order bits are stored in.
    n_bits = int(np.unpackbits(checkpoint.state["density_bitfield"].numpy()).sum())
    assert n_bits == trainer.occupancy.n_occupied == int(made_up_data().hull.sum())


def test_only_the_newest_heads_are_kept(kernel: TrainerKernel, tmp_path: Path):
    trainer = trained(Trainer(made_up_data(), kernel), 1)
    for epoch in (1, 2, 9, 10, 11):
        write_head(tmp_path, trainer.checkpoint() | {"epoch": epoch})
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["ngp_ep0009.pth", "ngp_ep0010.pth", "ngp_ep0011.pth"]


def test_a_state_of_other_data_is_refused(kernel: TrainerKernel):
    state = Trainer(made_up_data(), kernel).state()
    with pytest.raises(TrainingError, match="other data"):
        Trainer(made_up_data(seed=1), kernel).restore(state)


def test_a_file_that_is_no_state_is_refused(tmp_path: Path):
    torch.save({"model": {}}, tmp_path / "training.pt")
    with pytest.raises(TrainingError, match="not the state"):
        read_state(tmp_path)
    assert read_state(tmp_path / "elsewhere") is None


def test_heads_of_somebody_else_are_not_touched(kernel: TrainerKernel, tmp_path: Path):
    write_head(tmp_path, Trainer(made_up_data(), kernel).checkpoint())
    with pytest.raises(TrainingError, match=r"no training\.pt"):
        read_state(tmp_path)
    forget(tmp_path)
    assert read_state(tmp_path) is None


def test_the_hull_is_what_no_camera_sees_beside_the_head():
    hull = hull_of(poses().numpy(), [disc(), disc()], AABB, INTRINSICS).reshape(128, 128, 128)
    assert hull[64, 64, 64]  # the origin is in the middle of both pictures
    assert not hull[127, 64, 64]  # x = 1 is 110 / 3.2 ≈ 34 px above it, outside the disc of 17
    assert not hull[64, 100, 64]  # y beyond ± 0.5 is outside the box
    assert 0.005 < hull.mean() < 0.2


def test_rates_fall_and_rays_follow_the_cost():
    assert plan(0, 0.0).table_rate == pytest.approx(1e-2)
    assert plan(9999, 1.0).table_rate == pytest.approx(3e-4)
    assert plan(500, 0.1).distortion == pytest.approx(0.05)  # half of the ramp of 1000 steps
    assert plan(5000, 0.9).distortion == pytest.approx(0.05)  # half again at the end
    assert (plan(0, 0.0).cap, plan(2000, 0.5).cap) == (20, 24)
    assert not plan(8001, 0.59).is_lip_step
    assert [plan(step, 0.6).is_lip_step for step in (8000, 8001)] == [False, True]
    assert rays_per_frame(512, 16.0) == 512  # 32 768 samples / 4 frames / 16
    assert rays_per_frame(512, 4.0) == 640  # at most a quarter more at once
    assert rays_per_frame(2048, 2.0) == 2048


def test_landmarks_and_parsing_are_needed(tmp_path: Path):
    from avatar_worker.render.errors import DataFolderError
    from avatar_worker.train.footage import face_rectangles, read_landmarks

    path = tmp_path / "0.lms"
    with pytest.raises(DataFolderError, match=r"0\.lms"):
        read_landmarks(path)
    path.write_text("1 2\n3 4\n")
    with pytest.raises(DataFolderError, match="68"):
        read_landmarks(path)
    points = np.full((68, 2), 30.0)
    points[8] = (30, 50)  # chin
    points[0], points[16] = (10, 25), (54, 25)
    rectangles = face_rectangles(points, 64, 64)
    assert rectangles["face"] == (25, 51, 10, 55)
    assert rectangles["lower face"].top == 30  # nose tip
    # Lips at one point, a margin of 16 · 64 / 512 = 2 px around it.
    assert rectangles["mouth"] == (28, 33, 28, 33)


def test_the_command_names_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    from avatar_worker.train.command import main

    (tmp_path / "transforms_train.json").write_text(json.dumps({"frames": []}))
    code = main(["--data", str(tmp_path), "--workspace", str(tmp_path / "w"), "--steps", "1"])
    assert code == 2
    assert "transforms_train.json" in capsys.readouterr().err
