"""Quantised products that mean the same on every CPU, for ONNX Runtime as the reference.

On x86 without VNNI its kernels for unsigned times signed bytes add pairs of products in 16 bits, which
saturate: 255 * 127 twice is 32767 there. Its own remedy, the session entry ``session.x64quantprecision``, is
a graph optimisation: it does nothing to an unoptimised session, and nothing to an operand that is computed.
The same identity is applied to the model that it is given: b - z is (b + 128) - (z + 128), and b + 128 is
an unsigned byte. Products of unsigned bytes are exact in every kernel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from tpumlir.onnx.functions import inline_functions


class _Operands(NamedTuple):
    """Which operands of a product are its factors and their zero points."""

    left: int
    right: int
    left_zero_point: int
    zero_point: int


_PRODUCTS = {
    ("", "MatMulInteger"): _Operands(0, 1, 2, 3),
    ("", "ConvInteger"): _Operands(0, 1, 2, 3),
    ("", "QLinearMatMul"): _Operands(0, 3, 2, 5),
    ("", "QLinearConv"): _Operands(0, 3, 2, 5),
    ("com.microsoft", "MatMulIntegerToFloat"): _Operands(0, 1, 4, 5),
    ("com.microsoft", "DynamicQuantizeMatMul"): _Operands(0, 1, 0, 3),  # floats on the left
    ("com.microsoft", "QGemm"): _Operands(0, 3, 2, 5),
}
_NAMES = frozenset(name for _, name in _PRODUCTS)
_DEFAULT_DOMAINS = ("", "ai.onnx")


def exact_products(proto: Any) -> Any:
    """``proto``, or a copy of equal meaning without products of unsigned by signed bytes."""
    if any(_operands(node) for function in proto.functions for node in _nodes(function.node)):
        # The types inside of a function are those of its callers.
        proto = inline_functions(proto)
    if not any(_operands(node) for node in _nodes(proto.graph.node)):
        return proto
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    _Rewriter(copy).run(copy.graph, with_types(proto).graph, {})
    return copy


def _operands(node: Any) -> _Operands | None:
    if node.op_type not in _NAMES:
        return None
    domain = "" if node.domain in _DEFAULT_DOMAINS else node.domain
    return _PRODUCTS.get((domain, node.op_type))


def _nodes(nodes: Iterable[Any]) -> Iterator[Any]:
    """The nodes, and those of the graphs inside of them."""
    for node in nodes:
        yield node
        for graph in _graphs(node):
            yield from _nodes(graph.node)


def _graphs(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def with_types(proto: Any) -> Any:
    """The model with the types of its tensors written down, as far as they are known; large data left out."""
    import onnx
    from tpumlir.onnx.load import sketch

    outline = sketch(proto)
    try:
        return onnx.shape_inference.infer_shapes(outline)
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError):
        return outline  # what is declared must do


def _declared(graph: Any) -> dict[str, int]:
    """Element type codes by name."""
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for value in (*graph.value_info, *graph.input, *graph.output):
        if value.type.HasField("tensor_type"):
            types[value.name] = value.type.tensor_type.elem_type
    return types


class _Rewriter:
    """Puts the conversions in front of the products, in whatever graph they are."""

    def __init__(self, model: Any) -> None:
        import onnx

        self.onnx = onnx
        self.taken = {name for node in _nodes(model.graph.node) for name in (*node.input, *node.output)}

    def run(self, graph: Any, typed: Any, outer: dict[str, int]) -> None:
        """Rewrite ``graph``; ``typed`` is the same graph with types, ``outer`` are those around it."""
        types = outer | _declared(typed)
        nodes = []
        for node, twin in zip(graph.node, typed.node, strict=True):
            for inner, inner_twin in zip(_graphs(node), _graphs(twin), strict=True):
                self.run(inner, inner_twin, types)
            operands = _operands(node)
            if operands is not None and self._saturates(node, operands, types):
                nodes.extend(self._unsigned(node, operands))
            nodes.append(node)
        kept = [self.onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(kept)

    def _saturates(self, node: Any, operands: _Operands, types: dict[str, int]) -> bool:
        """True for unsigned times signed; a float left factor is quantised to unsigned bytes by the node."""
        left, right = types.get(node.input[operands.left]), types.get(node.input[operands.right])
        if left is None and len(node.input) > operands.left_zero_point:
            # Made by an operator that ONNX does not know: its zero point is of the same type.
            left = types.get(node.input[operands.left_zero_point])
        return right == self.onnx.TensorProto.INT8 and left != self.onnx.TensorProto.INT8

    def _unsigned(self, node: Any, operands: _Operands) -> list[Any]:
        """Moves the right factor and its zero point up by 128; returns the nodes that do it."""
        helper, proto = self.onnx.helper, self.onnx.TensorProto
        right, zero_point = operands.right, operands.zero_point
        node.input.extend([""] * (zero_point + 1 - len(node.input)))
        half = self._name(node.input[right], "half")
        made = [
            helper.make_node("Constant", [], [half], value=helper.make_tensor(half, proto.INT32, [], [128]))
        ]
        for index in (right, zero_point):
            if node.input[index]:
                wide, moved = (self._name(node.input[index], what) for what in ("wide", "moved"))
                made.append(helper.make_node("Cast", [node.input[index]], [wide], to=proto.INT32))
                made.append(helper.make_node("Add", [wide, half], [moved]))
            else:
                moved = half
            node.input[index] = self._name(moved, "unsigned")
            made.append(helper.make_node("Cast", [moved], [node.input[index]], to=proto.UINT8))
        return made

    def _name(self, base: str, what: str) -> str:
        name, count = f"{base}.{what}", 0
        while name in self.taken:
            count += 1
            name = f"{base}.{what}{count}"
        self.taken.add(name)
        return name
