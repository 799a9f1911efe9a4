"""A head that is being trained: tables, small networks, latent code, and its stored form."""

import math
from collections.abc import Mapping
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from avatar_worker.render.checkpoint_layout import PLANES, Flavour, expected_shapes
from avatar_worker.render.encodings import level_offsets, plane_levels
from avatar_worker.train.audio_networks import AUDIO_NETWORKS, audio_vectors
from avatar_worker.train.merging import Merged, merge

CPU: Final = torch.device("cpu")
N_CODES: Final = 20_000
TABLE_RANGE: Final = 1e-4
NETWORKS: Final = (
    *AUDIO_NETWORKS, "eye_att_net", "sigma_net", "color_net", "unc_net", "aud_ch_att_net",
)  # fmt: skip


def first_weights(
    shapes: Mapping[str, tuple[int, ...]], networks: tuple[str, ...], random: torch.Generator
) -> dict[str, Tensor]:
    """Weights of some networks before training, under their names in a checkpoint."""
    weights = {}
    for key, shape in shapes.items():
        if key.split(".")[0] in networks:
            fan_in = math.prod(shapes[key.rpartition(".")[0] + ".weight"][1:])
            weights[key] = _uniform(shape, 1.0 / math.sqrt(fan_in), random)
    return weights


def _uniform(shape: tuple[int, ...], bound: float, random: torch.Generator) -> Tensor:
    return (torch.rand(shape, generator=random) * 2 - 1) * bound


class TrainedHead:
    """Weights of a head with AVE audio, initialised as the original does.

    Every frame has the same latent code: drawing only ever uses the first.

    Args:
        flavour: what is trained; see `checkpoint_layout.Flavour`.
        seed: of the first weights; they are the same on every device.
        device: where they lie.
    """

    def __init__(self, flavour: Flavour, seed: int, device: torch.device = CPU) -> None:
        random = torch.Generator().manual_seed(seed)
        self.flavour: Final = flavour
        shapes = expected_shapes(flavour)
        self.n_rows: Final = level_offsets(plane_levels())[-1]
        self.tables = _uniform((3 * self.n_rows,), TABLE_RANGE, random).to(device)
        code = torch.randn(flavour.n_code, generator=random) * 0.1
        self.code = code.to(device).requires_grad_()
        self.weights = {
            key: weight.to(device).requires_grad_()
            for key, weight in first_weights(shapes, NETWORKS, random).items()
        }

    def audio_vectors(self, windows: Float[Tensor, "f 8 512"]) -> Float[Tensor, "f 32"]:
        """What is said in each frame, from the features it sees."""
        return audio_vectors(self.weights, windows)

    def merged(self, audio: Float[Tensor, "f 32"], eyes: Float[Tensor, "f n_eye"]) -> Merged:
        """The networks for some frames, in the form that the kernel takes."""
        return merge(self.weights, self.code, audio, eyes)

    def state(
        self, *, density_grid: Tensor, density_bitfield: Tensor, aabb: tuple[float, ...]
    ) -> dict[str, Tensor]:
        """The `model` of a checkpoint."""
        box = torch.tensor(aabb, dtype=torch.float32)
        state = {
            "individual_codes": self.code.detach().cpu().expand(N_CODES, -1).contiguous(),
            "aabb_train": box,
            "aabb_infer": box.clone(),
            "density_grid": density_grid.reshape(1, -1).clone(),
            "density_bitfield": density_bitfield.clone(),
            "step_counter": torch.zeros(16, 2, dtype=torch.int32),
        }
        offsets = torch.tensor(level_offsets(plane_levels()), dtype=torch.int32)
        for name, table in zip(PLANES, self.tables.cpu().view(3, -1, 1), strict=True):
            state[f"{name}.embeddings"] = table.clone()
            state[f"{name}.offsets"] = offsets.clone()
        return state | {key: tensor.detach().cpu().clone() for key, tensor in self.weights.items()}
