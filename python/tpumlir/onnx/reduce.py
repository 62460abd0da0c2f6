"""Reductions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tpumlir.onnx.elementwise import float_only
from tpumlir.onnx.registry import Node, converts

if TYPE_CHECKING:
    from tpumlir._core.ir import Value


def _axes(node: Node) -> list[int] | None:
    """The axes reduced, or None if the node does nothing (``noop_with_empty_axes``)."""
    rank = len(node.shape(0))
    axes = node.ints("axes", []) or node.known_ints(1, "its axes operand") or []
    if axes:
        return sorted({node.axis(axis, rank) for axis in axes})
    return None if node.int("noop_with_empty_axes", 0) else list(range(rank))


def _reduce(node: Node, value: Value, axes: list[int], mode: str, suffix: str | None = None) -> Value:
    keepdims = bool(node.int("keepdims", 1))
    if suffix is None:
        return node.emit("top.Reduce", [value], axes=axes, keepdims=keepdims, mode=mode)
    return node.helper("top.Reduce", [value], suffix, axes=axes, keepdims=keepdims, mode=mode)


# Modes that Top has. The opset since which the axes may be an operand does not matter: both are read.
_MODES = {
    "ReduceMean": "ReduceMean",
    "ReduceSum": "ReduceSum",
    "ReduceMax": "ReduceMax",
    "ReduceMin": "ReduceMin",
    "ReduceProd": "ReduceProd",
    "ReduceL1": "ReduceL1",
    "ReduceL2": "ReduceL2",
}


def _register(op_type: str, mode: str) -> None:
    @converts(op_type, since=1)
    def convert(node: Node) -> Value:
        float_only(node)
        axes = _axes(node)
        if axes is not None:
            return _reduce(node, node.operand(0), axes, mode)
        # Without axes each element is a group of its own: only the norms change it.
        if op_type in {"ReduceL1", "ReduceL2"}:
            return node.emit("top.Abs", [node.operand(0)])
        return node.reshape(node.operand(0), node.shape(0))


for _op_type, _mode in _MODES.items():
    _register(_op_type, _mode)


@converts("ReduceSumSquare", since=1)
def reduce_sum_square(node: Node) -> Value:
    """The sum of ``x * x``. Source: ONNX ReduceSumSquare, opset 18."""
    float_only(node)
    axes, x = _axes(node), node.operand(0)
    if axes is None:
        return node.emit("top.Mul", [x, x])
    return _reduce(node, node.helper("top.Mul", [x, x], "square"), axes, "ReduceSum")


@converts("ReduceLogSum", since=1)
def reduce_log_sum(node: Node) -> Value:
    """The logarithm of the sum. Source: ONNX ReduceLogSum, opset 18."""
    float_only(node)
    axes, x = _axes(node), node.operand(0)
    return node.emit("top.Log", [x if axes is None else _reduce(node, x, axes, "ReduceSum", "sum")])
