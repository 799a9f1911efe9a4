"""Names an inner tensor of an ONNX model as an output, without an ONNX library."""

from __future__ import annotations


def with_output(model: bytes, tensor: str) -> bytes:
    """The model with one more float output, behind those it has.

    Protobuf merges concatenated messages and appends their repeated fields. A model that consists
    of a single graph output, written behind the model's own bytes, therefore adds this output.

    Args:
        model: A serialised `ModelProto`.
        tensor: Name of a float tensor inside the graph.

    Raises:
        ValueError: The name is longer than the one-byte lengths used here allow.
    """
    float_tensor = _field(1, b"\x08\x01")  # TypeProto.tensor_type { elem_type: FLOAT }
    value_info = _field(1, tensor.encode()) + _field(2, float_tensor)
    return model + _field(7, _field(12, value_info))  # ModelProto.graph { GraphProto.output }


def _field(number: int, content: bytes) -> bytes:
    if len(content) > 127:
        raise ValueError(f"{len(content)} bytes do not fit a one-byte length")
    return bytes([number << 3 | 2, len(content)]) + content
