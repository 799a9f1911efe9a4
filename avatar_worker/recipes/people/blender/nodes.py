"""A thin way to write shader graphs as expressions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bpy

Socket = bpy.types.NodeSocket
Value = Any
"""A socket, or a constant the input accepts."""


def colour(code: str) -> tuple[float, float, float, float]:
    """'#rrggbb' (sRGB) → linear RGBA."""
    code = code.lstrip("#")
    channels = [int(code[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return (linear[0], linear[1], linear[2], 1.0)


class Graph:
    """A new material and its node tree."""

    def __init__(self, name: str) -> None:
        self.material = bpy.data.materials.new(name)
        self.material.use_nodes = True
        self.tree = self.material.node_tree
        self.tree.nodes.clear()

    def node(self, kind: str, inputs: dict[str | int, Value] | None = None, **options: Any) -> Any:
        """Adds `ShaderNode<kind>`; sockets are linked, constants set."""
        node = self.tree.nodes.new(f"ShaderNode{kind}")
        for key, option in options.items():
            setattr(node, key, option)
        for key, value in (inputs or {}).items():
            self._feed(node.inputs[key], value)
        return node

    def _feed(self, socket: Socket, value: Value) -> None:
        if isinstance(value, Socket):
            self.tree.links.new(value, socket)
        else:
            socket.default_value = value

    def attribute(self, name: str) -> Any:
        """The node that reads a mesh attribute."""
        return self.node("Attribute", attribute_name=name)

    def maths(self, operation: str, a: Value, b: Value = 0.5, *, clamp: bool = False) -> Socket:
        """One arithmetic step."""
        node = self.node("Math", operation=operation, use_clamp=clamp)
        self._feed(node.inputs[0], a)
        self._feed(node.inputs[1], b)
        return node.outputs[0]

    def times(self, a: Value, b: Value) -> Socket:
        """a · b."""
        return self.maths("MULTIPLY", a, b)

    def plus(self, a: Value, b: Value) -> Socket:
        """a + b."""
        return self.maths("ADD", a, b)

    def mix(self, factor: Value, a: Value, b: Value) -> Socket:
        """Colour a → b."""
        node = self.node("Mix", data_type="RGBA", blend_type="MIX")
        for at, value in ((0, factor), (6, a), (7, b)):
            self._feed(node.inputs[at], value)
        return node.outputs[2]

    def ramp(
        self, factor: Value, stops: Sequence[tuple[float, Any]], interpolation: str = "LINEAR"
    ) -> Socket:
        """Colour ramp; a stop is (position, grey or RGBA)."""
        node = self.node("ValToRGB", {"Fac": factor})
        band = node.color_ramp
        band.interpolation = interpolation
        while len(band.elements) > 1:
            band.elements.remove(band.elements[0])
        for at, (position, shade) in enumerate(stops):
            element = band.elements[0] if at == 0 else band.elements.new(position)
            element.position = position
            element.color = (shade, shade, shade, 1) if isinstance(shade, float) else shade
        return node.outputs["Color"]

    def noise(self, vector: Value, scale: float, detail: float = 3.0, rough: float = 0.6) -> Socket:
        """Noise texture, 0…1."""
        inputs = {"Vector": vector, "Scale": scale, "Detail": detail, "Roughness": rough}
        return self.node("TexNoise", inputs).outputs["Fac"]

    def length(self, x: Socket, y: Socket) -> Socket:
        """√(x² + y²)."""
        return self.maths("SQRT", self.plus(self.times(x, x), self.times(y, y)))

    def finish(self, surface: Socket) -> bpy.types.Material:
        """Makes this the surface and returns the material."""
        self.node("OutputMaterial", {"Surface": surface})
        return self.material
