"""Trains a torso for a head: the 2-D field of `render.torso`, differentiated by PyTorch.

    data folder ─► torso pictures over the still background ─┐
                                                             ├─ mean |difference| ─► AdamW
    pose, pixels ─► `TorsoField` over the same background ───┘

It learns neither from sound nor from the head; the head's tensors go along unchanged, because a
torso is stored with one. Every frame has the same latent code: drawing only ever uses the first.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import max_pool2d

from avatar_worker.render.checkpoint_layout import torso_shapes
from avatar_worker.render.data_folder import Footage, FootageScenes, Split, read_split
from avatar_worker.render.encodings import level_offsets, torso_levels
from avatar_worker.render.pictures import read_rgb, resize
from avatar_worker.render.torso import (
    OCCUPANCY_SIZE,
    OCCUPANCY_THRESHOLD,
    TorsoField,
    TorsoWeights,
    picture_plane,
)
from avatar_worker.train.checkpoints import require_own
from avatar_worker.train.dataset import Report
from avatar_worker.train.errors import TrainingError
from avatar_worker.train.progress import Progress, on_cpu
from avatar_worker.train.schedule import (
    FRAMES_PER_STEP,
    RATE_DECAY,
    SECOND_MOMENT,
    TABLE_DECAY,
    TABLE_RATE,
)

PIXELS_PER_FRAME: Final = 2048
NETWORK_RATE: Final = 1e-3
OCCUPANCY_STEPS: Final = 16
FADING: Final = 0.95
ANCHORS: Final = ((0.01, 0.01, 0.1, 1.0), (-0.1, -0.1, 0.1, 1.0), (0.1, -0.1, 0.1, 1.0))
N_CODES: Final = 20_000
N_CODE: Final = 8
CODE: Final = "individual_codes_torso"
TABLE: Final = "torso_encoder.embeddings"
KIND: Final = "torso"
STATE_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class TorsoData:
    """n frames of one size.

    Attributes:
        targets: torso pictures over the still background, row by row. [n, H · W, 3]
        still: the background alone. [H · W, 3]
        poses: cameras in the field's axes. [n, 4, 4]
        size: width and height in pixels.
        fingerprint: tells this data from other data.
    """

    targets: UInt8[Tensor, "n p 3"]
    still: UInt8[Tensor, "p 3"]
    poses: Float[Tensor, "n 4 4"]
    size: tuple[int, int]
    fingerprint: str


def read_torso_data(folder: Path, split: Split, report: Report) -> TorsoData:
    """Read the torso pictures of a split.

    Raises:
        RenderError: a file is absent or does not fit.
    """
    footage = read_split(folder, split, None)
    scenes = FootageScenes(footage, portrait=False, cache_bytes=0)
    targets = []
    for index in range(scenes.n_scenes):
        targets.append(torch.from_numpy(scenes.scene(index).background_levels.reshape(-1, 3)))
        report("torso pictures", index + 1, scenes.n_scenes)
    still = resize(read_rgb(folder / "bc.jpg"), footage.width, footage.height)
    return TorsoData(
        targets=torch.stack(targets),
        still=torch.from_numpy(np.ascontiguousarray(still).reshape(-1, 3)),
        poses=torch.from_numpy(footage.poses),
        size=(footage.width, footage.height),
        fingerprint=_fingerprint(footage, targets),
    )


class TorsoTrainer:
    """Trains the torso that goes with a head.

    Args:
        data: pictures and cameras.
        head: the `model` of a head's checkpoint; stored along, never changed.
        encoder: tensors of the audio encoder that the head hears with, stored likewise.
        seed: of first weights and of every draw.
        device: where to compute.
    """

    kind: Final = KIND

    def __init__(
        self,
        data: TorsoData,
        head: Mapping[str, Tensor],
        encoder: Mapping[str, Tensor],
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        self.data: Final = data
        self.progress = Progress()
        self._device = torch.device(device)
        self._head = {key: value for key, value in head.items() if not _is_torso(key)}
        self._encoder = dict(encoder)
        self._weights = {
            key: tensor.to(self._device).requires_grad_()
            for key, tensor in first_weights(seed).items()
        }
        self._random = torch.Generator().manual_seed(seed + 1)
        self._density = torch.zeros(OCCUPANCY_SIZE, OCCUPANCY_SIZE, device=self._device)
        self._points = picture_plane(data.size[1], data.size[0])
        self._optimiser = self._make_optimiser()

    def step(self, done: float) -> None:
        """One step of a run of which `done`, 0 … 1, is over.

        Raises:
            TrainingError: the loss is no longer a number.
        """
        at = self.progress
        if at.step % OCCUPANCY_STEPS == 0:
            self._look_at_occupancy()
        field = self._field()
        n = len(self.data.targets)
        chosen = torch.randperm(n, generator=self._random)[: min(FRAMES_PER_STEP, n)].tolist()
        color_loss = self._color_loss(field, chosen)
        loss = color_loss + ((1.0 - self._weights["anchor_points"][:, 3]) ** 2).mean()
        value = color_loss.item()
        if not math.isfinite(value):
            raise TrainingError(f"the loss of step {at.step} is {value}")
        self._optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        for group in self._optimiser.param_groups:
            group["lr"] = group["rate"] * RATE_DECAY**done
        self._optimiser.step()
        at.note_loss(value)
        at.step += 1

    def shown(self) -> dict[str, str]:
        """What the progress bar says."""
        return {"loss": f"{self.progress.loss:.4f}"}

    def checkpoint(self) -> dict[str, Any]:
        """Head and torso as the original stores them; see `checkpoints.write_head`."""
        n = len(self.data.targets)
        epoch = min(max(1, round(self.progress.step * min(FRAMES_PER_STEP, n) / n)), 9999)
        return {
            "epoch": epoch,
            "global_step": self.progress.step,
            "stats": {
                "loss": [], "valid_loss": [], "results": [], "checkpoints": [],
                "best_result": None,
            },
            # A torso's run leaves these two at 0 in the original's files as well.
            "mean_count": 0,
            "mean_density": 0,
            "mean_density_torso": float(self._density.mean()),
            "model": self._head | self._torso_state(),
            "audio_encoder": self._encoder,
        }  # fmt: skip

    def weights(self) -> TorsoWeights:
        """The torso as drawing knows it."""
        state = self._torso_state()
        return TorsoWeights.from_state(state, float(self._density.mean()))

    def tensors(self) -> dict[str, Tensor]:
        """What a warm start overwrites, under the names of a checkpoint."""
        return {key: tensor for key, tensor in self._weights.items() if key != CODE}

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs, as plain tensors and values."""
        state: dict[str, Any] = on_cpu(self._state())
        return state

    def _state(self) -> dict[str, Any]:
        return {
            "version": STATE_VERSION,
            "kind": KIND,
            "progress": asdict(self.progress),
            "weights": {key: tensor.detach() for key, tensor in self._weights.items()},
            "optimiser": self._optimiser.state_dict(),
            "density": self._density,
            "random": self._random.get_state(),
            "head": self._head,
            "encoder": self._encoder,
            "data": self.data.fingerprint,
        }

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`, but for the head and its encoder.

        Raises:
            TrainingError: the state is of another data folder, or of another version.
        """
        require_own(state, version=STATE_VERSION, data=self.data.fingerprint)
        self.progress = Progress(**state["progress"])
        for key, tensor in self._weights.items():
            tensor.copy_(state["weights"][key])
        self._optimiser.load_state_dict(state["optimiser"])
        self._density.copy_(state["density"])
        self._random.set_state(state["random"])

    def _field(self) -> TorsoField:
        w = self._weights
        return TorsoField(
            TorsoWeights(
                anchors=w["anchor_points"],
                code=w[CODE],
                table=w[TABLE],
                deform=tuple(w[f"torso_deform_net.net.{i}.weight"] for i in range(3)),
                paint=tuple(w[f"torso_net.net.{i}.weight"] for i in range(3)),
                occupancy=self._density,
                threshold=OCCUPANCY_THRESHOLD,
            )
        )

    def _color_loss(self, field: TorsoField, frames: list[int]) -> Tensor:
        """Mean difference at some pixels of each frame."""
        n = len(frames)
        drawn = torch.randint(len(self._points), (n, PIXELS_PER_FRAME), generator=self._random)
        # Neighbours together: their look-ups meet in the cache.
        pixel = drawn.sort(dim=1).values
        target = torch.cat([self.data.targets[f, p] for f, p in zip(frames, pixel, strict=True)])
        pixel = pixel.view(-1)
        wanted = target.to(self._device).float() / 255.0
        still = self.data.still[pixel].to(self._device).float() / 255.0
        poses = self.data.poses[frames].to(self._device)
        projected = torch.stack([field.project(pose) for pose in poses])
        alpha, color, _ = field(
            self._points[pixel].to(self._device), projected.repeat_interleave(PIXELS_PER_FRAME, 0)
        )
        share = alpha[:, None]
        return (color * share + still * (1.0 - share) - wanted).abs().mean()

    @torch.no_grad()
    def _look_at_occupancy(self) -> None:
        """How opaque the torso is around each cell, at one pose; fades slowly."""
        frame = int(torch.randint(len(self.data.targets), (), generator=self._random))
        axis = (2 * torch.arange(OCCUPANCY_SIZE) + 1) / OCCUPANCY_SIZE - 1
        y, x = torch.meshgrid(axis, axis, indexing="ij")  # the grid's rows are Y, its columns X
        points = torch.stack((x, y), dim=-1).reshape(-1, 2)
        noise = torch.rand(points.shape, generator=self._random) * 2 - 1
        points = (points + noise / OCCUPANCY_SIZE).to(self._device)
        field = self._field()
        alpha, _, _ = field(points, field.project(self.data.poses[frame].to(self._device)))
        around = max_pool2d(alpha.view(1, 1, OCCUPANCY_SIZE, OCCUPANCY_SIZE), 5, 1, 2)[0, 0]
        self._density = torch.maximum(self._density * FADING, around)

    def _torso_state(self) -> dict[str, Tensor]:
        """The torso's tensors under the names and in the shapes of a checkpoint."""
        state = {key: tensor.detach().cpu().clone() for key, tensor in self._weights.items()}
        code = state[CODE]
        state[CODE] = code.expand(N_CODES, -1).contiguous()
        state["density_grid_torso"] = self._density.cpu().reshape(-1).clone()
        state["torso_encoder.offsets"] = torch.tensor(
            level_offsets(torso_levels()), dtype=torch.int32
        )
        return state

    def _make_optimiser(self) -> torch.optim.AdamW:
        networks = [tensor for key, tensor in self._weights.items() if key != TABLE]
        groups = [
            {"params": [self._weights[TABLE]], "rate": TABLE_RATE, "weight_decay": TABLE_DECAY},
            {"params": networks, "rate": NETWORK_RATE, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=1.0, betas=(0.0, SECOND_MOMENT), eps=1e-8,
                                 fused=True)  # fmt: skip


def first_weights(seed: int) -> dict[str, Tensor]:
    """Weights before the first step, initialised as the original does; one code."""
    random = torch.Generator().manual_seed(seed)
    weights: dict[str, Tensor] = {}
    for key, shape in torso_shapes().items():
        if key == "anchor_points":
            weights[key] = torch.tensor(ANCHORS)
        elif key == TABLE:
            weights[key] = (torch.rand(shape, generator=random) * 2 - 1) * 1e-4
        elif key.endswith(".weight"):
            bound = 1.0 / math.sqrt(shape[1])
            weights[key] = (torch.rand(shape, generator=random) * 2 - 1) * bound
    weights[CODE] = torch.randn(N_CODE, generator=random) * 0.1
    return weights


def _is_torso(key: str) -> bool:
    return key in torso_shapes() or key == CODE


def _fingerprint(footage: Footage, targets: list[Tensor]) -> str:
    digest = hashlib.sha256(f"{footage.image_ids}{footage.width}{footage.height}".encode())
    digest.update(footage.poses.tobytes())
    for target in targets:
        digest.update(target.numpy()[:: max(1, len(target) // 997)].tobytes())
    return digest.hexdigest()
