"""Reductions and running sums."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from tpumlir.onnx.layout import slice_attributes, slice_operands
from tpumlir.onnx.registry import Array, Node, converts

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
    return node.part("top.Reduce", [value], suffix, axes=axes, keepdims=keepdims, mode=mode)


# Modes that Top has. The opset since which the axes may be an operand does not matter: both are read.
_MODES = (
    "ReduceMean",
    "ReduceSum",
    "ReduceMax",
    "ReduceMin",
    "ReduceProd",
    "ReduceL1",
    "ReduceL2",
)


def _register(op_type: str) -> None:
    @converts(op_type, since=1)
    def convert(node: Node) -> Value:
        if op_type == "ReduceL2":
            _float_only(node)
        axes = _axes(node)
        if axes is not None and node.kind(0) == "i32" and op_type in {"ReduceL1", "ReduceMean"}:
            return _reduce_integers(node, op_type, axes)
        if axes is not None:
            return _reduce(node, node.operand(0), axes, op_type)
        # Without axes each element is a group of its own: only the norms change it.
        if op_type in {"ReduceL1", "ReduceL2"}:
            return node.emit("top.Abs", [node.operand(0)])
        return node.reshape(node.operand(0), node.shape(0))


for _op_type in _MODES:
    _register(_op_type)


def _reduce_integers(node: Node, op_type: str, axes: list[int]) -> Value:
    """The sum of magnitudes, and the sum by how many they are without its fraction."""
    if op_type == "ReduceL1":
        return _reduce(node, node.helper("top.Abs", [node.operand(0)], "abs"), axes, "ReduceSum")
    total = _reduce(node, node.operand(0), axes, "ReduceSum", "sum")
    count = math.prod(node.shape(0)[axis] for axis in axes)
    divisor = node.weight("count", np.full([1] * len(total.shape), count, np.int32))
    return node.emit("top.Div", [total, divisor])


def _float_only(node: Node) -> None:
    node.refuse(node.kind(0) != "f32", "a root or a logarithm of integers", "cast its operand to float32")


@converts("ReduceSumSquare", since=1)
def reduce_sum_square(node: Node) -> Value:
    """The sum of ``x * x``. Source: ONNX ReduceSumSquare, opset 18."""
    axes, x = _axes(node), node.operand(0)
    if axes is None:
        return node.emit("top.Mul", [x, x])
    return _reduce(node, node.helper("top.Mul", [x, x], "square"), axes, "ReduceSum")


@converts("ReduceLogSum", since=1)
def reduce_log_sum(node: Node) -> Value:
    """The logarithm of the sum. Source: ONNX ReduceLogSum, opset 18."""
    _float_only(node)
    axes, x = _axes(node), node.operand(0)
    return node.emit("top.Log", [x if axes is None else _reduce(node, x, axes, "ReduceSum", "sum")])


_GREATEST = float(np.finfo(np.float32).max)


@converts("ReduceLogSumExp", since=1)
def reduce_log_sum_exp(node: Node) -> Value:
    """``m + log(sum(e^(x - m)))``, m the greatest x, held finite. Source: ONNX ReduceLogSumExp, opset 18."""
    _float_only(node)
    axes, x = _axes(node), node.operand(0)
    if axes is None:
        return node.reshape(x, x.shape)
    greatest = node.helper("top.Reduce", [x], "max", axes=axes, keepdims=True, mode="ReduceMax")
    # An infinite m would make infinity - infinity of the greatest element.
    held = node.helper("top.Clip", [greatest], "held", min=-_GREATEST, max=_GREATEST)
    powers = node.helper("top.Exp", [node.helper("top.Sub", [x, held], "shifted")], "powers")
    total = _reduce(node, powers, axes, "ReduceSum", "sum")
    log = node.helper("top.Log", [total], "log")
    return node.emit("top.Add", [log, node.reshape(held, total.shape, "shift")])


@converts("CumSum", since=11)
def cum_sum(node: Node) -> Value | Array:
    """``top.CumSum`` of what is turned round and shifted as asked. Source: ONNX CumSum, opset 14."""
    shape, x = list(node.shape(0)), node.operand(0)
    axis = node.axis((node.known_ints(1, "its axis") or [0])[0], len(shape))
    reverse, exclusive = bool(node.int("reverse", 0)), bool(node.int("exclusive", 0))
    if exclusive and shape[axis] == 1:
        return np.zeros(shape, node.output_dtype())
    if reverse:
        x = node.helper("top.Reverse", [x], "turned", axis=axis)
    if exclusive:  # the sums before: one element later, starting from 0
        kept = [range(extent) for extent in shape]
        kept[axis] = range(shape[axis] - 1)
        pads = [0] * (2 * len(shape))
        pads[axis] = 1
        x = node.helper("top.Slice", slice_operands(node, x), "before", **slice_attributes(kept))
        x = node.helper("top.Pad", [x], "shifted", paddings=pads, val=0.0, mode="constant")
    x = node.part("top.CumSum", [x, node.emitter.none()], "sums" if reverse else None, axis=axis)
    return node.emit("top.Reverse", [x], axis=axis) if reverse else x
