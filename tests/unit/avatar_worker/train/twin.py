"""A training step in plain PyTorch: the checkpoint's own formulas, differentiated by autograd."""

from dataclasses import dataclass

import torch
from torch import Tensor

from avatar_worker.render.field import HeadField
from avatar_worker.render.head import HeadWeights
from avatar_worker.render.march import STEP
from avatar_worker.render.occupancy import OccupancyGrid
from avatar_worker.render.rays import Intrinsics, box_interval, ray_directions
from avatar_worker.train.head import TrainedHead
from avatar_worker.train.kernels import Rays


@dataclass
class TwinStep:
    """Losses of a step, means over rays, and the rays' colours, ready to be differentiated."""

    color_loss: Tensor
    entropy: Tensor
    distortion: Tensor
    colors: Tensor


def head_weights(head: TrainedHead, tables: Tensor, bitfield: Tensor, aabb: Tensor) -> HeadWeights:
    """The head's tensors, still part of autograd's graph."""
    w, (xy, yz, xz) = head.weights, tables.view(3, -1)
    return HeadWeights(
        encoder_xy=xy, encoder_yz=yz, encoder_xz=xz,
        audio_attention_0=w["aud_ch_att_net.net.0.weight"],
        audio_attention_1=w["aud_ch_att_net.net.1.weight"],
        eye_attention_0=w["eye_att_net.net.0.weight"],
        eye_attention_1=w["eye_att_net.net.1.weight"],
        sigma_0=w["sigma_net.net.0.weight"], sigma_1=w["sigma_net.net.1.weight"],
        sigma_2=w["sigma_net.net.2.weight"], color_0=w["color_net.net.0.weight"],
        color_1=w["color_net.net.1.weight"], code=head.code, aabb=aabb, density_bitfield=bitfield,
    )  # fmt: skip


def twin_step(
    weights: HeadWeights, rays: Rays, poses: Tensor, intrinsics: Intrinsics, width: int,
    audio: Tensor, eyes: Tensor, cap: int,
) -> TwinStep:  # fmt: skip
    """Losses of every ray, with transmittance as a product and cut as in training."""
    device = torch.device("cpu")
    field = HeadField(weights, device)
    occupancy = OccupancyGrid(weights.density_bitfield, device)
    losses, entropies, distortions, colors = [], [], [], []
    start = 0
    for frame, count in enumerate(rays.counts):
        part = slice(start, start + count)
        start += count
        pixels = rays.pixel[part].long()
        directions = ray_directions(poses[frame], intrinsics, width=width, pixels=pixels)
        origin = poses[frame, :3, 3]
        near, far = box_interval(origin, directions, weights.aabb)
        near = near + STEP * rays.jitter[part]
        for i in range(count):
            t = near[i] + STEP * torch.arange(128)
            t = t[(t < far[i]) & occupancy(origin + t[:, None] * directions[i])][:cap]
            n = len(t)
            point = (origin + t[:, None] * directions[i]).clamp(-1, 1)
            sample = field(point, directions[i].expand(n, 3), audio[frame], eyes[frame])
            alpha = 1 - torch.exp(-sample.sigma * STEP)
            through = torch.cumprod(torch.cat((torch.ones(1), 1 - alpha)), 0)
            n_used = int((through[:-1].detach() >= 1e-4).sum())
            w = (alpha * through[:-1])[:n_used]
            rest = through[n_used]
            color = (w[:, None] * sample.rgb[:n_used]).sum(0) + rest * rays.background[part][i]
            colors.append(color)
            losses.append((color - rays.target[part][i]).abs().mean())
            opacity = (1 - rest).clamp(1e-5, 1 - 1e-5)
            entropies.append(-opacity * opacity.log2() - (1 - opacity) * (1 - opacity).log2())
            t = t[:n_used]
            spread = (w[:, None] * w * (t[:, None] - t).abs()).sum()
            distortions.append(spread + (w**2).sum() * STEP / 3)
    means = [torch.stack(values).mean() for values in (losses, entropies, distortions)]
    return TwinStep(*means, torch.stack(colors))
