"""Damage to what a torch file holds: numbers, shapes, types, keys, nesting."""

from random import Random
from typing import Any, Final

import torch
from torch import Tensor

from tests.mutations.damage import TEXTS, weird

DTYPES: Final = (
    torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint8, torch.bool, torch.complex64, torch.float8_e4m3fn, torch.uint16, torch.uint64,
)  # fmt: skip
KEYS: Final = (
    "audio_net.encoder_fc1.x.weight", "audio_net.encoder_fc1.9.weight",
    "audio_net.encoder_fc1..weight",
    "audio_net.encoder_conv.0.weight", "audio_net.encoder_conv.-1.weight", "anchor_points",
    "audio_att_net.attentionConvNet.99.weight", "audio_att_net.attentionNet.1.weight",
    "audio_att_net.x", "embedding.weight", "camera_dR", "camera_dT", "individual_codes_torso",
    "density_grid", "aabb_train", "step_counter", "model", "epoch", "unc_net.net.9.weight",
    "audio_net.encoder_fc1.²." + "weight", "audio_net.encoder_fc1." + "9" * 5000 + ".weight",
)  # fmt: skip


def damaged_state(rng: Random, content: dict[str, Any]) -> dict[str, Any]:
    """One or two tensors of the model replaced; `content` is the caller's to change."""
    model = content.get("model", content)
    for _ in range(rng.choice((1, 1, 2))):
        keys = [key for key, value in model.items() if isinstance(value, Tensor)]
        key = rng.choice(keys)
        model[key] = rng.choice((odd_values, odd_values, odd_shape))(rng, model[key])
    return content


def odd_values(rng: Random, tensor: Tensor) -> Any:
    """Numbers that are not finite, huge, tiny, negative, of another type."""
    if rng.random() < 0.25:
        return tensor.to(rng.choice(DTYPES))
    changed = tensor.clone().reshape(-1)
    numbers = (float("nan"), float("inf"), float("-inf"), 3e38, -3e38, 1e-45, 1e30, -1.0, 0.0, 1e6)
    value = rng.choice(numbers)
    if not changed.is_floating_point():
        value = rng.choice((0, 1, 5, 127))
    if len(changed) == 0:
        return changed
    if rng.random() < 0.5:
        changed[rng.randrange(len(changed))] = value
    else:
        changed[:] = value
    return changed.reshape(tensor.shape)


def odd_shape(rng: Random, tensor: Tensor) -> Any:
    """Other shapes, layouts and kinds of tensor."""
    kind = rng.randrange(14)
    if kind == 0:
        return tensor.reshape(-1)
    if kind == 1:
        return tensor[None]
    if kind == 2:
        return tensor.T if tensor.dim() == 2 else tensor.clone()
    if kind == 3:
        return tensor[:0]
    if kind == 4:
        return torch.zeros(())
    if kind == 5:
        return torch.cat((tensor, tensor)) if tensor.dim() else tensor
    if kind == 6:
        return tensor[: max(1, len(tensor) - 1)] if tensor.dim() else tensor
    if kind == 7:
        return torch.zeros(1, dtype=tensor.dtype).expand(tensor.shape)
    if kind == 8:
        size = rng.choice((10**4, 10**7, 10**10, 10**13))
        return torch.zeros(1, dtype=tensor.dtype).expand(size, *tensor.shape[1:])
    if kind == 9:
        return torch.zeros((1,) * 30)
    if kind == 10:
        return torch.zeros(rng.choice((3, 64)), rng.choice((4, 68, 36))).to_sparse()
    if kind == 11:
        return torch.nn.Parameter(tensor.float())
    if kind == 12:
        return torch.empty(tensor.shape, device="meta", dtype=tensor.dtype)
    return torch.quantize_per_tensor(torch.zeros(2, 2), 0.1, 0, torch.qint8)


def odd_keys(rng: Random, content: dict[str, Any]) -> Any:
    """Keys absent, additional, renamed; another nesting; other values beside the tensors."""
    model = content.get("model", content)
    keys = list(model)
    key = rng.choice(keys)
    tensor = model[key]
    kind = rng.randrange(13)
    if kind == 0:
        for chosen in rng.sample(keys, rng.choice((1, 1, 2, 5))):
            del model[chosen]
    elif kind in (1, 2):
        shapes = ((), (0,), (1,), (3, 4), (2, 3), (4, 3), (64, 64), (32, 29, 3), (1000, 3))
        extra: Any = torch.zeros(rng.choice(shapes), dtype=rng.choice((torch.float32, *DTYPES[:9])))
        if rng.random() < 0.3:
            extra = rng.choice((tensor, weird(rng), extra + float("nan")))
        model[rng.choice(KEYS)] = extra
    elif kind == 3:
        model[key] = weird(rng)
    elif kind == 4:
        odd = (0, -1, None, 1.5, True, (), ("a", "b"), key + " ", key.upper(), "module." + key,
               *TEXTS)  # fmt: skip
        model[rng.choice(odd)] = model.pop(key)
    elif kind == 5:
        other = rng.choice(keys)
        model[key], model[other] = model[other], model[key]
    elif kind == 6:
        content["epoch"] = rng.choice((weird(rng), torch.tensor(float("nan")), torch.zeros(2)))
    elif kind == 7:
        content["mean_density_torso"] = rng.choice((weird(rng), torch.tensor(float("inf"))))
    elif kind == 8:
        content["model"] = rng.choice((weird(rng), [model], (model,), {"model": model}, tensor))
    elif kind == 9:
        return rng.choice((weird(rng), [content], tensor, {"a": content}, {}, {"model": {}}))
    elif kind == 10:
        content.update({str(index): weird(rng) for index in range(3)})
    elif kind == 11:
        model[key] = {"a": tensor}
    else:
        return {**model, **({"epoch": 3} if rng.random() < 0.3 else {})}
    return content
