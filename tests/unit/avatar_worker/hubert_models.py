"""Made-up models with the shape of HuBERT's, and a head that listens to them.

Rows are windows of 400 samples, 320 apart, and every row also hears the mean of all rows: like
the real one's, a row changes with whatever else is heard.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avatar_worker.render.checkpoint_layout import detect_flavour, expected_shapes
from tests.unit.avatar_worker import mini

CHANNELS = 1024


def weights(channels: int) -> np.ndarray:
    rng = np.random.default_rng(4)
    return rng.normal(0.0, 0.05, (channels, 1, 400)).astype(np.float32)


class Rows(torch.nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.from_numpy(weights(channels)))

    def forward(self, samples: Tensor) -> dict[str, Tensor]:
        rows = torch.nn.functional.conv1d(samples[:, None], self.weight, stride=320)
        rows = torch.tanh(rows + rows.mean(dim=2, keepdim=True))
        return {"last_hidden_state": rows.transpose(1, 2)}


def write_torchscript(path: Path, channels: int = CHANNELS) -> Path:
    torch.jit.script(Rows(channels)).save(str(path))
    return path


def write_onnx(path: Path, channels: int = CHANNELS) -> Path:
    """The same, as the few messages of ONNX that it takes (onnx.proto, opset 11)."""
    nodes = [
        _node("Unsqueeze", ["samples"], "wide", axes=[1]),
        _node("Conv", ["wide", "weight"], "rows", strides=[320]),
        _node("ReduceMean", ["rows"], "mean", axes=[2]),
        _node("Add", ["rows", "mean"], "sum"),
        _node("Tanh", ["sum"], "bent"),
        _node("Transpose", ["bent"], "hidden", perm=[0, 2, 1]),
    ]
    weight = weights(channels)
    tensor = b"".join(_number(1, n) for n in weight.shape) + _number(2, 1)
    tensor += _text(8, "weight") + _bytes(9, weight.tobytes())
    graph = b"".join(_bytes(1, node) for node in nodes) + _text(2, "rows") + _bytes(5, tensor)
    graph += _bytes(11, _value("samples", [1, "n"])) + _bytes(12, _value("hidden", [1, "m", "c"]))
    path.write_bytes(_number(1, 7) + _bytes(7, graph) + _bytes(8, _number(2, 11)))
    return path


def write_workspace(folder: Path) -> Path:
    """The reference head, its audio networks replaced by random ones for HuBERT's features."""
    content = dict(torch.load(mini.checkpoint().path, weights_only=True, map_location="cpu"))
    state = {k: v for k, v in content["model"].items() if not k.startswith("audio_net.")}
    state["audio_net.encoder_conv.0.weight"] = torch.zeros(32, CHANNELS, 3)
    torch.manual_seed(3)
    for key, shape in expected_shapes(detect_flavour(state)).items():
        if key.startswith("audio_net."):
            state[key] = 0.1 * torch.randn(shape)
    (folder / "checkpoints").mkdir(parents=True)
    kept = {k: v for k, v in content.items() if k in ("mean_density", "mean_count", "epoch")}
    torch.save({**kept, "model": state}, folder / "checkpoints" / "ngp_ep0001.pth")
    return folder


def _node(kind: str, inputs: list[str], output: str, **attributes: list[int]) -> bytes:
    node = b"".join(_text(1, name) for name in inputs) + _text(2, output) + _text(4, kind)
    for name, values in attributes.items():
        ints = b"".join(_number(8, value) for value in values)
        node += _bytes(5, _text(1, name) + ints + _number(20, 7))
    return node


def _value(name: str, shape: list[int | str]) -> bytes:
    sides = [_number(1, side) if isinstance(side, int) else _text(2, side) for side in shape]
    tensor = _number(1, 1) + _bytes(2, b"".join(_bytes(1, side) for side in sides))
    return _text(1, name) + _bytes(2, _bytes(1, tensor))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _varint(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])
