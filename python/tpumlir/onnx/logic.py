"""Comparisons, logic and selection: Top has no booleans, true is 1 and false is 0, f32 or i32."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tpumlir.onnx.elementwise import alike, operand
from tpumlir.onnx.registry import Node, converts

if TYPE_CHECKING:
    from tpumlir._core.ir import Value

# The opset is the first with multidirectional broadcasting.
_MODES = {
    "Equal": 7,
    "Greater": 7,
    "Less": 7,
    "GreaterOrEqual": 12,
    "LessOrEqual": 12,
    "And": 7,
    "Xor": 7,
}


def _register(op_type: str, since: int) -> None:
    @converts(op_type, since=since)
    def convert(node: Node) -> Value:
        return node.emit("top.Compare", alike(node, 0, 1), mode=op_type)


for _op_type, _since in _MODES.items():
    _register(_op_type, _since)


@converts("Or", since=7)
def logical_or(node: Node) -> Value:
    """The greater of two truth values. Source: ONNX Or, opset 7."""
    return node.emit("top.Max", alike(node, 0, 1))


@converts("Not", since=1)
def logical_not(node: Node) -> Value:
    """``top.CompareConst`` in mode Not. Source: ONNX Not, opset 1."""
    return node.emit("top.CompareConst", [node.operand(0)], mode="Not", const_val=0.0, inversed=False)


@converts("Where", since=9)
def where(node: Node) -> Value:
    """``top.Where``. Source: ONNX Where, opset 16."""
    return node.emit("top.Where", [operand(node, 0), *alike(node, 1, 2)])


@converts("IsNaN", since=9)
def is_nan(node: Node) -> Value:
    """What differs from itself. Source: ONNX IsNaN, opset 20."""
    x = node.operand(0)
    return node.emit("top.Compare", [x, x], mode="NotEqual")


@converts("IsInf", since=10)
def is_inf(node: Node) -> Value:
    """Equality with one infinity or, by the absolute value, with both. Source: ONNX IsInf, opset 20."""
    x = node.operand(0)
    negative, positive = node.int("detect_negative", 1), node.int("detect_positive", 1)
    if not negative and not positive:
        zeros = node.weight("none", np.zeros(node.shape(0), np.int32))
        return node.reshape(zeros, node.shape(0))
    if negative and positive:
        x = node.helper("top.Abs", [x], "abs")
    wanted = np.inf if positive else -np.inf
    return node.emit("top.CompareConst", [x], mode="Equal", const_val=float(wanted), inversed=False)
