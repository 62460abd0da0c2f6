"""Arithmetic of two or more operands with broadcasting, and unary mathematics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tpumlir.onnx.registry import Node, converts

if TYPE_CHECKING:
    from tpumlir._core.ir import Value


def operand(node: Node, index: int) -> Value:
    """Operand ``index``; a constant of rank 0 becomes [1], which broadcasts alike."""
    data = node.const(index)
    if data is not None and data.ndim == 0 and any(len(node.shape(i)) for i in range(len(node.inputs))):
        return node.derived_weight(index, "scalar", data.reshape(1))
    return node.operand(index)


def float_only(node: Node) -> None:
    """Refuse integer operands at run time: Top's arithmetic is float."""
    for index in range(len(node.inputs)):
        if node.has(index) and node.const(index) is None:
            dtype = node.operand(index).dtype
            node.refuse(
                dtype != "f32",
                f"integer arithmetic at run time ({node.input_names[index]} is {dtype})",
                "make the operand constant or compute in float",
            )


def _binary(kind: str, node: Node) -> Value:
    float_only(node)
    return node.emit(kind, [operand(node, 0), operand(node, 1)])


@converts("Add", since=7)
def add(node: Node) -> Value:
    """``top.Add``. Source: ONNX Add, opset 14."""
    return _binary("top.Add", node)


@converts("Sub", since=7)
def sub(node: Node) -> Value:
    """``top.Sub``. Source: ONNX Sub, opset 14."""
    return _binary("top.Sub", node)


@converts("Mul", since=7)
def mul(node: Node) -> Value:
    """``top.Mul``. Source: ONNX Mul, opset 14."""
    return _binary("top.Mul", node)


@converts("Div", since=7)
def div(node: Node) -> Value:
    """``top.Div``. Source: ONNX Div, opset 14."""
    return _binary("top.Div", node)


def _chain(node: Node, kind: str, values: Sequence[Value]) -> Value:
    """Fold a variadic operator into a chain of two operands each, from the left as ONNX Runtime does."""
    float_only(node)
    if len(values) == 1:
        return node.reshape(values[0], values[0].shape)
    result = values[0]
    for i, value in enumerate(values[1:-1]):
        result = node.helper(kind, [result, value], f"part{i}")
    return node.emit(kind, [result, values[-1]])


@converts("Max", since=1)
def maximum(node: Node) -> Value:
    """``top.Max``. Source: ONNX Max, opset 13."""
    return _chain(node, "top.Max", [operand(node, i) for i in range(len(node.inputs))])


@converts("Min", since=1)
def minimum(node: Node) -> Value:
    """``top.Min``. Source: ONNX Min, opset 13."""
    return _chain(node, "top.Min", [operand(node, i) for i in range(len(node.inputs))])


@converts("Sum", since=1)
def total(node: Node) -> Value:
    """A chain of ``top.Add``. Source: ONNX Sum, opset 13."""
    return _chain(node, "top.Add", [operand(node, i) for i in range(len(node.inputs))])


@converts("Mean", since=1)
def mean(node: Node) -> Value:
    """The sum times 1/n. Source: ONNX Mean, opset 13."""
    float_only(node)
    values = [operand(node, i) for i in range(len(node.inputs))]
    result = values[0]
    for i, value in enumerate(values[1:]):
        result = node.helper("top.Add", [result, value], f"part{i}")
    return node.emit("top.MulConst", [result], const_val=float(np.float32(1) / np.float32(len(values))))


@converts("Pow", since=7)
def power(node: Node) -> Value:
    """``top.Pow`` for a constant exponent, a product for 2, ``top.Pow2`` for a constant base.

    Source: ONNX Pow, opset 15.
    """
    float_only(node)
    exponent, base = node.const(1), node.const(0)
    if (
        exponent is not None
        and exponent.size
        and (exponent == exponent.reshape(-1)[0]).all()
        and (np.broadcast_shapes(exponent.shape, node.shape(0)) == node.shape(0))
    ):
        value = float(exponent.reshape(-1)[0])
        x = node.operand(0)
        if value == 1.0:
            return node.reshape(x, x.shape)
        if value == 2.0:
            return node.emit("top.Mul", [x, x])
        return node.emit("top.Pow", [x], exponent=value)
    if (
        base is not None
        and base.size == 1
        and np.broadcast_shapes(base.shape, node.shape(1)) == node.shape(1)
    ):
        return node.emit("top.Pow2", [node.operand(1)], const_val=float(base.reshape(-1)[0]))
    return node.emit("top.Pow3", [operand(node, 0), operand(node, 1)])


@converts("Neg", since=6)
def neg(node: Node) -> Value:
    """Multiplication by -1. Source: ONNX Neg, opset 13."""
    float_only(node)
    return node.emit("top.MulConst", [node.operand(0)], const_val=-1.0)


@converts("Reciprocal", since=6)
def reciprocal(node: Node) -> Value:
    """``top.Reciprocal`` of 1. Source: ONNX Reciprocal, opset 13."""
    return node.emit("top.Reciprocal", [node.operand(0)], const_val=1.0)


# Unary operators that Top has under a name of its own and that have no attribute, with the opset since which
# the definition is the one taken here.
_UNARY = {
    "Abs": ("top.Abs", 6),
    "Ceil": ("top.Ceil", 6),
    "Floor": ("top.Floor", 6),
    "Round": ("top.Round", 11),
    "Sign": ("top.Sign", 9),
    "Sqrt": ("top.Sqrt", 6),
    "Exp": ("top.Exp", 6),
    "Log": ("top.Log", 6),
    "Erf": ("top.Erf", 9),
    "Sin": ("top.Sin", 7),
    "Cos": ("top.Cos", 7),
    "Tan": ("top.Tan", 7),
    "Sinh": ("top.Sinh", 9),
    "Cosh": ("top.Cosh", 9),
    "Acos": ("top.Arccos", 7),
    "Atanh": ("top.Arctanh", 9),
}


def _register_unary(op_type: str, kind: str, since: int) -> None:
    @converts(op_type, since=since)
    def convert(node: Node) -> Value:
        float_only(node)
        return node.emit(kind, [node.operand(0)])


for _op_type, (_kind, _since) in _UNARY.items():
    _register_unary(_op_type, _kind, _since)
