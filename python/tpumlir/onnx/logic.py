"""Comparisons and logic: Top has no booleans, true is 1 and false is 0 in the type of the operands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tpumlir.onnx.elementwise import float_only, operand
from tpumlir.onnx.registry import Node, converts

if TYPE_CHECKING:
    from tpumlir._core.ir import Value

# The opset is the first with multidirectional broadcasting.
_MODES = {
    "Equal": ("Equal", 7),
    "Greater": ("Greater", 7),
    "Less": ("Less", 7),
    "GreaterOrEqual": ("GreaterOrEqual", 12),
    "LessOrEqual": ("LessOrEqual", 12),
    "And": ("And", 7),
    "Xor": ("Xor", 7),
}


def _register(op_type: str, mode: str, since: int) -> None:
    @converts(op_type, since=since)
    def convert(node: Node) -> Value:
        float_only(node)
        return node.emit("top.Compare", [_truth(node, 0), _truth(node, 1)], mode=mode)


def _truth(node: Node, index: int) -> Value:
    """Operand ``index``; a constant in float32, as the run-time operand beside it is."""
    data = node.const(index)
    if data is not None and data.dtype.kind != "f":
        return node.derived_weight(index, "f32", data.astype("float32").reshape(data.shape or (1,)))
    return operand(node, index)


for _op_type, (_mode, _since) in _MODES.items():
    _register(_op_type, _mode, _since)


@converts("Or", since=7)
def logical_or(node: Node) -> Value:
    """The greater of two truth values. Source: ONNX Or, opset 7."""
    float_only(node)
    return node.emit("top.Max", [_truth(node, 0), _truth(node, 1)])


@converts("Not", since=1)
def logical_not(node: Node) -> Value:
    """``top.CompareConst`` in mode Not. Source: ONNX Not, opset 1."""
    return node.emit("top.CompareConst", [node.operand(0)], mode="Not", const_val=0.0, inversed=False)


@converts("Where", since=9)
def where(node: Node) -> Value:
    """``top.Where``. Source: ONNX Where, opset 16."""
    values = [operand(node, i) for i in (1, 2)]
    node.refuse(any(value.dtype != "f32" for value in values), "integer branches", "compute in float32")
    return node.emit("top.Where", [_truth(node, 0), *values])
