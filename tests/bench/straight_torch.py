"""How long a head takes as the original draws it, written straight in PyTorch; and with ours.

    python -m tests.bench.straight_torch [--size 512] [--frame 0]

`StraightRenderer` follows the original's test-time algorithm as one would write it the first
time: rounds over all rays, a slot for every sample a ray may have, empty ones evaluated too, hash
tables as stored, layer after layer. It is plain vectorised PyTorch, nothing tiled, merged or laid
out anew, and its picture is checked against the original's. On a busy machine PyTorch's threads
wait for each other, spinning: there only the CPU time of the row with 1 thread says anything.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from avatar_worker.render.data_folder import FootageScenes, read_split
from avatar_worker.render.encodings import HASH_PRIME, GridLevel, plane_levels
from avatar_worker.render.head import HeadWeights
from avatar_worker.render.kernels import load_kernel
from avatar_worker.render.scene import Scene
from avatar_worker.render.twin import TorchPainter
from tests.bench.head_kernel import milliseconds
from tests.unit.avatar_worker.kernels import characters

LEVELS = plane_levels()
MAX_STEPS, GRID_SIZE = 16, 128
STEP = 2 * 3**0.5 / GRID_SIZE
MIN_NEAR, TRANSMITTANCE_FLOOR = 0.05, 1e-4
LEAST_DB = 59.0  # further off it is another picture, and its time says nothing


class Rays(NamedTuple):
    """Origin [3], directions [n, 3], where they enter and leave the box [n]; near > far: never."""

    origin: Tensor
    directions: Tensor
    near: Tensor
    far: Tensor


class StraightRenderer:
    """Draws a head in rounds; `n_slots` is how many slots the last picture evaluated."""

    def __init__(self, head: HeadWeights) -> None:
        self._head = head
        self.n_slots = 0

    @torch.inference_mode()
    def image(self, scene: Scene, enc_a: np.ndarray) -> Tensor:
        """The head over its background. float32 in [0, 1], [H·W, 3]"""
        audio, eye = torch.from_numpy(enc_a), torch.from_numpy(scene.eye)
        rays = self._rays(scene)
        n = len(rays.near)
        weight, rgb, depth = torch.zeros(n), torch.zeros(n, 3), torch.zeros(n)
        norms = torch.zeros(n, 2)  # like depth, summed by the original in every picture
        t, alive = rays.near.clone(), torch.arange(n)
        self.n_slots, offered = 0, 0
        while len(alive) > 0 and offered < MAX_STEPS:
            n_step = max(1, min(8, n // len(alive)))
            slots = self._march(rays, alive, t, n_step)
            sigma, colour, attention = self._evaluate(rays, alive, slots, audio, eye)
            survives = torch.ones(len(alive), dtype=torch.bool)
            for slot in range(n_step):
                survives &= slots[:, slot] > 0
                transmittance = 1.0 - weight[alive]
                share = (1.0 - torch.exp(-sigma[:, slot] * STEP)) * transmittance * survives
                weight[alive] += share
                rgb[alive] += share[:, None] * colour[:, slot]
                depth[alive] += share * (slots[:, slot] + STEP)
                norms[alive] += attention[:, slot] * survives[:, None]
                survives &= transmittance >= TRANSMITTANCE_FLOOR
            alive = alive[survives]
            offered += n_step
        behind = torch.from_numpy(scene.background.reshape(-1, 3)) / 255.0
        return (rgb + (1.0 - weight)[:, None] * behind).clamp(0.0, 1.0)

    def _rays(self, scene: Scene) -> Rays:
        """A ray through the centre of every pixel, row by row."""
        height, width = scene.background.shape[:2]
        fx, fy, cx, cy = scene.intrinsics
        pose = torch.from_numpy(scene.pose)
        row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        x, y = (column.flatten() + 0.5 - cx) / fx, (row.flatten() + 0.5 - cy) / fy
        local = torch.stack((x, y, torch.ones_like(x)), dim=1)
        directions = (local / local.norm(dim=1, keepdim=True)) @ pose[:3, :3].T
        origin, reciprocal = pose[:3, 3], 1.0 / directions
        planes = (self._head.aabb.view(2, 1, 3) - origin) * reciprocal  # [2, n, 3]
        near = planes.amin(dim=0).amax(dim=1).clamp_min(MIN_NEAR)
        return Rays(origin, directions, near, planes.amax(dim=0).amin(dim=1))

    def _march(self, rays: Rays, alive: Tensor, t: Tensor, n_step: int) -> Tensor:
        """Next occupied steps of living rays, 0 in empty slots [n_alive, n_step]; moves `t` [n]."""
        slots = torch.zeros(len(alive), n_step)
        taken = torch.zeros(len(alive), dtype=torch.int64)
        row = torch.arange(len(alive))  # the rays under way, and the same of what they need
        here, far, directions = t[alive], rays.far[alive], rays.directions[alive]
        going = here < far
        while bool(going.any()):
            row, here, far, directions = row[going], here[going], far[going], directions[going]
            occupied = self._occupied((rays.origin + here[:, None] * directions).clamp(-1.0, 1.0))
            hit = row[occupied]
            slots[hit, taken[hit]] = here[occupied]
            taken[hit] += 1
            t[alive[row]] = here = here + STEP
            going = (here < far) & (taken[row] < n_step)
        return slots

    def _occupied(self, points: Tensor) -> Tensor:
        """Whether points [n, 3] of the cube lie in cells whose bit is set. bool [n]"""
        cell = (0.5 * (points + 1.0) * GRID_SIZE).clamp(0, GRID_SIZE - 1).int()
        for shift, bits in ((8, 0x0300F00F), (4, 0x030C30C3), (2, 0x09249249)):
            cell = (cell | (cell << shift)) & bits  # in the end, every third bit
        x, y, z = cell.unbind(dim=1)
        morton = x | (y << 1) | (z << 2)
        byte = self._head.density_bitfield.index_select(0, morton >> 3)
        return ((byte >> (morton & 7)) & 1).bool()

    def _evaluate(
        self, rays: Rays, alive: Tensor, slots: Tensor, audio: Tensor, eye: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Asks the networks at all slots [n_alive, n_step], the empty ones at position 0.

        Density, colour, norms of audio and eye attention: [n_alive, n_step], […, 3], […, 2].
        """
        n, shape, head = slots.numel(), slots.shape, self._head
        n_padded = n + 128 - n % 128
        self.n_slots += n_padded
        points, directions = torch.zeros(n_padded, 3), torch.zeros(n_padded, 3)
        filled = slots.flatten().nonzero()[:, 0]
        directions[filled] = along = rays.directions[alive[filled // shape[1]]]
        points[filled] = (rays.origin + slots.flatten()[filled, None] * along).clamp(-1.0, 1.0)
        x, y, z = ((points + 1.0) / 2.0).unbind(dim=1)
        planes = (head.encoder_xy, x, y), (head.encoder_yz, y, z), (head.encoder_xz, x, z)
        levels = [look_up(*plane, level) for plane in planes for level in LEVELS]
        features = torch.stack(levels, dim=1)  # [n, 36]
        audio_attention = network(features, head.audio_attention_0, head.audio_attention_1)
        eye_attention = network(features, head.eye_attention_0, head.eye_attention_1)
        inputs = torch.cat((features, audio * audio_attention, eye * eye_attention), dim=1)
        hidden = network(inputs, head.sigma_0, head.sigma_1, head.sigma_2)  # [n, 65]
        codes = head.code.expand(n_padded, -1)
        look = torch.cat((harmonics(directions), hidden[:, 1:], codes), dim=1)
        colour = torch.sigmoid(network(look, head.color_0, head.color_1)) * 1.002 - 0.001
        norms = torch.stack((audio_attention.norm(dim=1), eye_attention.norm(dim=1)), dim=1)
        sigma = torch.exp(hidden[:, 0])
        return sigma[:n].view(shape), colour[:n].view(*shape, 3), norms[:n].view(*shape, 2)


def look_up(table: Tensor, u: Tensor, v: Tensor, level: GridLevel) -> Tensor:
    """One level at points u, v [n] of the unit square, interpolated between four corners. [n]"""
    rows = table[level.offset : level.offset + level.n_rows]  # where hashed, 2ⁿ of them
    u, v = u * level.scale + 0.5, v * level.scale + 0.5
    q0, q1 = u.long(), v.long()
    right, below = u - q0, v - q1
    feature = torch.zeros_like(u)
    for line, share1 in ((q1, 1.0 - below), (q1 + 1, below)):
        start = line * (HASH_PRIME if level.is_hashed else level.stride)
        for column, share0 in ((q0, 1.0 - right), (q0 + 1, right)):
            row = (column ^ start) & (level.n_rows - 1) if level.is_hashed else column + start
            feature += share0 * share1 * rows.index_select(0, row)
    return feature


def network(inputs: Tensor, *weights: Tensor) -> Tensor:
    """A small network without biases: ReLU after every layer but the last."""
    for weight in weights[:-1]:
        inputs = torch.relu(linear(inputs, weight))
    return linear(inputs, weights[-1])


def harmonics(directions: Tensor) -> Tensor:
    """Real spherical harmonics of degree 0 … 3 of directions [n, 3]. [n, 16]"""
    x, y, z = directions.unbind(dim=1)
    xx, yy, zz = x * x, y * y, z * z
    columns = (
        torch.full_like(x, 0.2820947918), -0.4886025119 * y, 0.4886025119 * z, -0.4886025119 * x,
        1.0925484306 * x * y, -1.0925484306 * y * z, 0.9461746958 * zz - 0.3153915653,
        -1.0925484306 * x * z, 0.5462742153 * (xx - yy), 0.5900435899 * y * (yy - 3 * xx),
        2.8906114426 * x * y * z, 0.4570457995 * y * (1 - 5 * zz), 0.3731763326 * z * (5 * zz - 3),
        0.4570457995 * x * (1 - 5 * zz), 1.4453057213 * z * (xx - yy),
        0.5900435899 * x * (3 * yy - xx),
    )  # fmt: skip
    return torch.stack(columns, dim=1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--frame", type=int, default=0)
    options = parser.parse_args()
    size, frame = options.size, options.frame
    head, frames = characters.recorded_head(), characters.golden("frames_head")
    enc_a, recorded = frames["enc_a"][frame], frames["image"][frame].reshape(-1, 3)
    footage = read_split(characters.fixture_folder() / "data" / "mini", "val", "upper")
    stored = FootageScenes(footage, portrait=False).scene(frame)
    scene = FootageScenes(footage, portrait=False, width=size, height=size).scene(frame)
    straight, twin, kernel = StraightRenderer(head), TorchPainter(head), load_kernel()
    exact = twin.image(scene, enc_a, scene.eye).numpy()
    likeness = [characters.psnr(straight.image(stored, enc_a).numpy(), recorded)]
    print(f"straight PyTorch against the picture the original recorded: {likeness[0]:.1f} dB")

    def draw_straight(threads: int) -> Tensor:
        torch.set_num_threads(threads)
        return (straight.image(scene, enc_a) * 255.0).to(torch.uint8)

    ways: list[tuple[str, np.ndarray, Callable[[], object], int]] = []
    image = straight.image(scene, enc_a).numpy()
    for threads in sorted({1, torch.get_num_threads()}):
        label = f"straight PyTorch, {threads} thread(s)"
        ways.append((label, image, partial(draw_straight, threads), 2))
    draw_twin = partial(twin.picture, scene, enc_a, scene.eye, portrait=False, cap=None)
    ways.append(("lean twin, all threads", exact, draw_twin, 2))
    if kernel is not None:
        packed, camera = kernel.pack(head), characters.camera_of(scene)
        sums = packed.sums(camera, enc_a, scene.eye, pixels=np.arange(size**2, dtype=np.int32))
        behind = (1.0 - sums.weight[:, None]) * scene.background.reshape(-1, 3) / 255.0
        drawn, out = np.clip(sums.rgb + behind, 0.0, 1.0), np.empty_like(scene.background)
        for threads in (1, 2):
            paint = partial(packed.paint, camera, enc_a, scene.eye,
                            background=scene.background, out=out, threads=threads)  # fmt: skip
            paint()  # warms up, and brings the order of the pixels into its cache
            ways.append((f"kernel {kernel.isa}, {threads} thread(s)", drawn, paint, 15))

    print(f"{size} × {size}, frame {frame}, whole head; straight: {straight.n_slots} slots")
    print(f"{'':30}  best ms median ms    cpu ms dB to twin")
    times = []
    for name, image, draw, repeats in ways:
        times.append(milliseconds(draw, repeats))
        likeness.append(characters.psnr(image, exact))
        against = "itself" if image is exact else f"{likeness[-1]:.1f}"
        print(f"{name:30}{''.join(f'{ms:10.1f}' for ms in times[-1])}{against:>11}", flush=True)
    if kernel is not None:
        print(f"{'over the kernel, best times':30}  1 thread 2 threads  cpu time")
        *slow, one, two = times
        for (name, *_), way in zip(ways, slow, strict=False):
            ratios = (way[0] / one[0], way[0] / two[0], way[2] / two[2])
            print(f"{name:30}{''.join(f'{ratio:10.1f}' for ratio in ratios)}")
    if min(likeness) < LEAST_DB:
        print("these are not the same picture: their times compare nothing")
    return int(min(likeness) < LEAST_DB)


if __name__ == "__main__":
    sys.exit(main())
