"""One run of training: a head, its data, and everything that changes from step to step.

A step draws rays of a few frames, lets the kernel go forward and back, adds the ambient terms on
some of the samples, carries the gradients on to the checkpoint's weights and moves them. Given
the number of threads, a run that was stopped and resumed goes on bit for bit as if it had not
been.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from avatar_worker.render.checkpoint_layout import PLANES, Flavour
from avatar_worker.train.audio_networks import is_audio_weight
from avatar_worker.train.checkpoints import require_own
from avatar_worker.train.dataset import TrainingData
from avatar_worker.train.ears import BorrowedEars, Ears, OwnEars
from avatar_worker.train.errors import TrainingError
from avatar_worker.train.head import TrainedHead
from avatar_worker.train.kernels import StepKernel, Trained
from avatar_worker.train.lips import LipPatches, draw_patches
from avatar_worker.train.occupancy import TrainedOccupancy
from avatar_worker.train.progress import Progress, on_cpu
from avatar_worker.train.sampling import draw_rays
from avatar_worker.train.schedule import (
    AMBIENT_STRIDE,
    ENTROPY,
    FIRST_REFRESH,
    FIRST_UPDATE,
    FRAMES_PER_STEP,
    LIPS_FRAMES,
    MIN_RAYS,
    OCCUPANCY_STEPS,
    REFRESH_STEPS,
    SECOND_MOMENT,
    TABLE_DECAY,
    StepPlan,
    plan,
    rays_per_frame,
)

ATTENTION_GAIN: Final = 5.0
"""The audio attention learns faster than the other networks; its decay is 1e-4."""

MANY_FRAMES: Final = 200
FADING: Final = (0.8, 0.95)
"""Of densities, for few and for many frames: rare states must not be forgotten."""

LANES: Final = 16
KIND: Final = "head"
STATE_VERSION: Final = 4


@dataclass(slots=True)
class HeadProgress(Progress):
    """Where a head's run is.

    Attributes:
        n_rays: rays of each frame in the next step.
        samples_per_ray: running mean of evaluated samples.
        opaque: running mean of the share of opaque rays.
    """

    n_rays: int = MIN_RAYS
    samples_per_ray: float = 16.0
    opaque: float = 0.0


class Trainer:
    """Trains one head.

    Args:
        data: frames, audio windows, cameras.
        kernel: computes steps, on its device.
        seed: of first weights and of every draw.
    """

    def __init__(self, data: TrainingData, kernel: StepKernel, seed: int = 0) -> None:
        self.data: Final = data
        self.flavour: Final = Flavour(
            audio="ave", audio_dim=512, has_attention=True, eye=data.eye_mode,
            n_eye=data.eyes.shape[1], n_code=4, n_codes=20_000, is_er_nerf=False, has_torso=False,
        )  # fmt: skip
        self._device: Final = kernel.device
        self.head: Final = TrainedHead(self.flavour, seed, self._device)
        fading = FADING[len(data.frames) >= MANY_FRAMES]
        self.occupancy: Final = TrainedOccupancy(data.hull, fading, self._device)
        self._windows = data.windows.to(self._device)
        self._heard = hashlib.sha256(data.windows.numpy().tobytes()).hexdigest()
        self.ears: Ears = OwnEars(self.head, self._windows)
        self._eyes, self._poses = data.eyes.to(self._device), data.poses.to(self._device)
        self.progress: HeadProgress = HeadProgress()
        self._kernel = kernel
        self._random = torch.Generator().manual_seed(seed + 1)
        self._grad_tables = torch.zeros_like(self.head.tables)
        self._squares = torch.zeros_like(self.head.tables)
        self._optimiser = self._make_optimiser()

    def borrow_ears(self, networks: Mapping[str, Tensor] | None) -> None:
        """Hear with audio networks that know speech already; before the first step.

        Args:
            networks: under their names in a checkpoint; None for those that the head has.

        Raises:
            TrainingError: they do not fit.
        """
        self.ears = BorrowedEars(self.head, self._windows, networks)
        self._optimiser = self._make_optimiser()

    def step(self, done: float) -> None:
        """One step of a run of which `done`, 0 … 1, is over.

        Raises:
            TrainingError: the loss is no longer a number.
        """
        at = self.progress
        self._look_at_occupancy()
        now = plan(at.step, done)
        patches = self._draw_patches() if now.is_lip_step else None
        if patches is not None:
            chosen, rays, is_lower = patches[0], patches[1].rays, patches[1].is_lower
        else:
            chosen = self._choose_frames(FRAMES_PER_STEP)
            frames = [self.data.frames[i] for i in chosen]
            drawn, is_lower = draw_rays(frames, at.n_rays, self._random)
            rays = drawn.to(self._device)
        merged = self.head.merged(self.ears.hear(chosen, self._random), self._eyes[chosen])
        plain = merged.plain()
        grads = plain.zeros()
        view: dict[str, Any] = {
            "merged": plain, "tables": self.head.tables, "occupancy": self.occupancy.bits,
            "poses": self._poses[chosen].contiguous(), "intrinsics": self.data.intrinsics,
            "size": self.data.size, "aabb": self.data.aabb, "cap": now.cap,
        }  # fmt: skip
        further = None
        if patches is not None:
            _, further = patches[1].gradient(self._kernel.colors(rays, **view))
        counts, trained = self._kernel.step(
            rays, grad_merged=grads, grad_tables=self._grad_tables, entropy=ENTROPY,
            distortion=now.distortion, further=further, **view,
        )  # fmt: skip
        if not math.isfinite(counts.color_loss):
            raise TrainingError(f"the loss of step {at.step} is {counts.color_loss}")
        self._optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(list(merged), list(grads))
        if now.ambient > 0:
            self._add_ambient(trained, is_lower, now.ambient / len(rays.pixel))
        self._move(now)

        if patches is None:  # patches are another kind of rays: they would shift these means
            weight = 1.0 / min(at.step + 1, 100)
            per_ray = counts.evaluated / len(rays.pixel)
            at.samples_per_ray += weight * (per_ray - at.samples_per_ray)
            at.opaque += weight * (counts.opaque - at.opaque)
            at.note_loss(counts.color_loss)
        at.step += 1
        if at.step % REFRESH_STEPS == 0:
            at.n_rays = rays_per_frame(at.n_rays, at.samples_per_ray)

    def shown(self) -> dict[str, str]:
        """What the progress bar says."""
        return {"loss": f"{self.progress.loss:.4f}", "opaque": f"{self.progress.opaque:.0%}"}

    def checkpoint(self) -> dict[str, Any]:
        """The run so far as the original stores a head; see `checkpoints.write_head`."""
        grid, bits, mean_density = self.occupancy.stored()
        state = self.head.state(density_grid=grid, density_bitfield=bits, aabb=self.data.aabb)
        state |= {key: tensor.cpu() for key, tensor in self.ears.networks().items()}
        n_frames = len(self.data.frames)
        seen = self.progress.step * min(FRAMES_PER_STEP, n_frames)
        # Names of four digits: the newest is found by the order of names.
        epoch = min(max(1, round(seen / n_frames)), 9999)
        return {
            "epoch": epoch,
            "global_step": self.progress.step,
            "stats": {
                "loss": [], "valid_loss": [], "results": [], "checkpoints": [],
                "best_result": None,
            },
            "mean_count": int(self.progress.samples_per_ray * self.progress.n_rays),
            "mean_density": mean_density,
            "mean_density_torso": 0.0,
            "model": state,
            "audio_encoder": dict(self.data.encoder),
        }  # fmt: skip

    def tensors(self) -> dict[str, Tensor]:
        """What a warm start overwrites, under the names of a checkpoint."""
        planes = self.head.tables.view(len(PLANES), -1, 1)
        tables = {f"{name}.embeddings": planes[k] for k, name in enumerate(PLANES)}
        return tables | {k: v for k, v in self.head.weights.items() if self._is_trained(k)}

    def _is_trained(self, key: str) -> bool:
        """Whether a weight is the head's own, and not of the ears that it borrowed."""
        return self.ears.learns or not is_audio_weight(key)

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs, as plain tensors and values."""
        state: dict[str, Any] = on_cpu(self._state())
        return state

    def _state(self) -> dict[str, Any]:
        return {
            "version": STATE_VERSION,
            "kind": KIND,
            "progress": asdict(self.progress),
            "tables": self.head.tables,
            "squares": self._squares,
            "code": self.head.code.detach(),
            "weights": {key: tensor.detach() for key, tensor in self.head.weights.items()},
            "optimiser": self._optimiser.state_dict(),
            "random": self._random.get_state(),
            "occupancy": self.occupancy.state(),
            "ears": self.ears.state(),
            "data": self.data.fingerprint,
            "heard": self._heard,
            "encoder": dict(self.data.encoder),
        }

    @torch.no_grad()
    def restore(self, state: dict[str, Any], networks: Mapping[str, Tensor] | None = None) -> None:
        """The inverse of `state`.

        Args:
            state: of the run.
            networks: audio networks that a head with borrowed ears hears with from now on; its
                frames keep the vectors that their pictures taught them. None for those it has.

        Raises:
            TrainingError: the state is of another data folder, of another version, or of a head
                that hears otherwise.
        """
        require_own(state, version=STATE_VERSION, data=self.data.fingerprint)
        is_borrowing = bool(state["ears"])
        if networks is not None and not is_borrowing:
            raise TrainingError("the workspace's head has ears of its own: --ears needs --restart")
        if networks is None and state["heard"] != self._heard:
            raise TrainingError(
                "the workspace was trained with another audio encoder: leave --ave out, choose "
                "another workspace or --restart"
            )
        self.progress = HeadProgress(**state["progress"])
        self.head.tables.copy_(state["tables"])
        self._squares.copy_(state["squares"])
        self.head.code.copy_(state["code"])
        for key, tensor in self.head.weights.items():
            tensor.copy_(state["weights"][key])
        if is_borrowing:
            self.borrow_ears(networks)
        self._optimiser.load_state_dict(state["optimiser"])
        self._random.set_state(state["random"])
        self.occupancy.restore(state["occupancy"])
        self.ears.restore(state["ears"])

    def _make_optimiser(self) -> torch.optim.AdamW:
        """Groups as the original has them; rates are set per step."""
        attention: list[Tensor] = []
        others = [self.head.code]
        for key, tensor in self.head.weights.items():
            if key.startswith("unc_net.") or not self._is_trained(key):
                continue  # the former is trained by terms that drawing never sees
            (attention if key.startswith("audio_att_net.") else others).append(tensor)
        groups = [{"params": others, "gain": 1.0, "weight_decay": 0.0}]
        if attention:
            groups.append({"params": attention, "gain": ATTENTION_GAIN, "weight_decay": 1e-4})
        return torch.optim.AdamW(groups, lr=1.0, betas=(0.0, SECOND_MOMENT), eps=1e-8,
                                 fused=True)  # fmt: skip

    def _choose_frames(self, most: int) -> list[int]:
        n = len(self.data.frames)
        return torch.randperm(n, generator=self._random)[: min(most, n)].tolist()

    def _draw_patches(self) -> tuple[list[int], LipPatches] | None:
        chosen = self._choose_frames(LIPS_FRAMES)
        frames = [self.data.frames[i] for i in chosen]
        patches = draw_patches(frames, self.data.size[0], self._random)
        if patches is None:
            return None
        return chosen, patches._replace(rays=patches.rays.to(self._device))

    def _move(self, now: StepPlan) -> None:
        for group in self._optimiser.param_groups:
            group["lr"] = now.network_rate * group["gain"]
        self._optimiser.step()
        self.ears.move(self.progress.step, now.decay)
        self._kernel.adam(
            self.head.tables, self._grad_tables, self._squares, rate=now.table_rate,
            decay=TABLE_DECAY, beta=SECOND_MOMENT, n_steps=self.progress.step + 1,
        )  # fmt: skip

    @torch.no_grad()
    def _look_at_occupancy(self) -> None:
        step = self.progress.step
        if step < FIRST_UPDATE or step % OCCUPANCY_STEPS != 0:
            return
        chosen = self._choose_frames(1)
        heard = self.head.audio_vectors(self._windows[chosen])
        merged = self.head.merged(heard, self._eyes[chosen]).plain()
        cells, points = self.occupancy.draw(self._random)
        self.occupancy.note(cells, self._kernel.density(points, merged, self.head.tables))
        if step >= FIRST_REFRESH and step % REFRESH_STEPS == 0:
            self.occupancy.refresh()

    def _add_ambient(
        self, trained: Trained, is_lower: Bool[Tensor, "n_rays"], weight: float
    ) -> None:
        """Audio may not matter outside the lower face, nor eyes inside it.

        Norms of the attentions, summed over the samples of a ray; every sixteenth sample stands
        for all.
        """
        kept = torch.nonzero(trained.is_kept)[:, 0]
        offset = int(torch.randint(AMBIENT_STRIDE, (), generator=self._random))
        chosen = kept[offset::AMBIENT_STRIDE]
        chosen = chosen[: len(chosen) // LANES * LANES]
        if len(chosen) == 0:
            return
        points = trained.position[:, chosen].contiguous()
        features = self._kernel.features(points, self.head.tables).requires_grad_()
        in_lower = is_lower.to(self._device)[trained.ray[chosen].long()].float()
        audio = self._attention_norms("aud_ch_att_net", features) * (1.0 - in_lower)
        eyes = self._attention_norms("eye_att_net", features) * in_lower
        torch.autograd.backward((audio + eyes).sum() * (weight * AMBIENT_STRIDE))
        assert features.grad is not None
        self._kernel.scatter(points, features.grad, self._grad_tables)

    def _attention_norms(self, network: str, features: Float[Tensor, "36 n"]) -> Float[Tensor, "n"]:
        w = self.head.weights
        hidden = torch.relu(w[f"{network}.net.0.weight"] @ features)
        norms: Tensor = torch.linalg.vector_norm(w[f"{network}.net.1.weight"] @ hidden, dim=0)
        return norms
