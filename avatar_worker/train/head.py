"""A head that is being trained: tables, small networks, latent code, and its stored form."""

import math
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv1d, leaky_relu, linear

from avatar_worker.render.checkpoint_layout import PLANES, Flavour, expected_shapes
from avatar_worker.render.encodings import level_offsets, plane_levels
from avatar_worker.train.merging import Merged, merge

SLOPE: Final = 0.02
"""Of the audio networks' leaky ReLU."""

CPU: Final = torch.device("cpu")
N_CODES: Final = 20_000
N_CODE: Final = 4
TABLE_RANGE: Final = 1e-4
NETWORKS: Final = (
    "audio_net", "audio_att_net", "eye_att_net", "sigma_net", "color_net", "unc_net",
    "aud_ch_att_net",
)  # fmt: skip


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

        def uniform(shape: tuple[int, ...], bound: float) -> Tensor:
            return (torch.rand(shape, generator=random) * 2 - 1) * bound

        self.flavour: Final = flavour
        shapes = expected_shapes(flavour)
        self.n_rows: Final = level_offsets(plane_levels())[-1]
        self.tables = uniform((3 * self.n_rows,), TABLE_RANGE).to(device)
        code = torch.randn(flavour.n_code, generator=random) * 0.1
        self.code = code.to(device).requires_grad_()
        self.weights: dict[str, Tensor] = {}
        for key, shape in shapes.items():
            if key.split(".")[0] in NETWORKS:
                fan_in = math.prod(shapes[key.rpartition(".")[0] + ".weight"][1:])
                bound = 1.0 / math.sqrt(fan_in)
                self.weights[key] = uniform(shape, bound).to(device).requires_grad_()

    def audio_vectors(self, windows: Float[Tensor, "f 8 512"]) -> Float[Tensor, "f 32"]:
        """What is said in each frame, from the features it sees."""
        w = self.weights
        x = windows
        for layer in (0, 2, 4):
            x = linear(x, w[f"audio_net.encoder_fc1.{layer}.weight"],
                       w[f"audio_net.encoder_fc1.{layer}.bias"])  # fmt: skip
            x = leaky_relu(x, SLOPE) if layer < 4 else x
        y = x.transpose(1, 2)  # [f, 32, 8]
        for layer in (0, 2, 4, 6, 8):
            name = f"audio_att_net.attentionConvNet.{layer}"
            y = leaky_relu(conv1d(y, w[f"{name}.weight"], w[f"{name}.bias"], padding=1), SLOPE)
        scores = linear(y[:, 0], w["audio_att_net.attentionNet.0.weight"],
                        w["audio_att_net.attentionNet.0.bias"])  # fmt: skip
        return (torch.softmax(scores, dim=1)[:, :, None] * x).sum(dim=1)

    def merged(
        self, windows: Float[Tensor, "f 8 512"], eyes: Float[Tensor, "f n_eye"]
    ) -> Merged:  # fmt: skip
        """The networks for some frames, in the form that the kernel takes."""
        return merge(self.weights, self.code, self.audio_vectors(windows), eyes)

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
