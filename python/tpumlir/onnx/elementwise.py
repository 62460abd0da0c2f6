"""Arithmetic of two or more operands with broadcasting, and unary mathematics.

Integers are i32 in Top and wrap around there at 32 bits; those of 8 and 16 bits are brought back into their
range by a `top.Cast` behind each operation that may leave it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tpumlir.data.types import is_float
from tpumlir.onnx.registry import Attribute, InvalidNodeError, Node, NotSupportedError, converts
from tpumlir.onnx.types import BOOL, is_integer, wraps
from tpumlir.precision.formats import HALVES, PRECISIONS

if TYPE_CHECKING:
    from tpumlir._core.ir import Value

Array = np.ndarray[Any, np.dtype[Any]]
DType = np.dtype[Any]


def operand(node: Node, index: int) -> Value:
    """Operand ``index``; a constant of rank 0 becomes [1], which broadcasts alike."""
    data = node.const(index)
    if data is not None and data.shape != shape_beside(node, data):
        return node.derived_weight(index, "scalar", data.reshape(1))
    return node.operand(index)


def shape_beside(node: Node, data: Array) -> tuple[int, ...]:
    """The shape of a constant operand: [1] instead of rank 0 unless all operands have rank 0."""
    given = (node.shape(i) for i in range(len(node.inputs)) if node.has(i))
    return data.shape or ((1,) if any(map(len, given)) else ())


def alike(node: Node, *indices: int) -> list[Value]:
    """Operands in one type of Top: truth values may come as f32 and as i32, mixed ones become f32."""
    if len({node.kind(index) for index in indices}) == 1:
        return [operand(node, index) for index in indices]
    return [as_float(node, index) for index in indices]


def as_float(node: Node, index: int) -> Value:
    """Operand ``index`` as f32."""
    if node.kind(index) == "f32":
        return operand(node, index)
    data = node.const(index)
    if data is not None:
        return node.derived_weight(index, "f32", data.astype(np.float32).reshape(shape_beside(node, data)))
    return node.helper("top.Cast", [operand(node, index)], f"f32_{index}", to="F32")


def float_only(node: Node) -> None:
    """Refuse integer operands at run time, for operators whose Top form is float."""
    for index in range(len(node.inputs)):
        if node.has(index) and node.const(index) is None:
            dtype = node.operand(index).dtype
            node.refuse(
                dtype != "f32",
                f"integer arithmetic at run time ({node.input_names[index]} is {dtype})",
                "make the operand constant or compute in float",
            )


def wrapped(node: Node, kind: str, operands: Sequence[Value], **attrs: Attribute) -> Value:
    """Emit the operation; its integers of 8 or 16 bits stay in their range."""
    dtype = node.output_dtype()
    if not wraps(dtype):
        return node.emit(kind, operands, **attrs)
    wide = node.helper(kind, operands, "wide", **attrs)
    return node.emit("top.Cast", [wide], to=dtype.name.upper())


_ARITHMETIC = {"Add": "top.Add", "Sub": "top.Sub", "Mul": "top.Mul", "Div": "top.Div"}


def _register_arithmetic(op_type: str, kind: str) -> None:
    @converts(op_type, since=7)
    def convert(node: Node) -> Value:
        return wrapped(node, kind, [operand(node, 0), operand(node, 1)])


for _op_type, _kind in _ARITHMETIC.items():
    _register_arithmetic(_op_type, _kind)


def _chain(node: Node, kind: str) -> Value:
    """A variadic operator as a chain of two operands each, from the left as ONNX Runtime does."""
    values = [operand(node, i) for i in range(len(node.inputs))]
    if len(values) == 1:
        return node.reshape(values[0], values[0].shape)
    result = values[0]
    for i, value in enumerate(values[1:-1]):
        result = node.helper(kind, [result, value], f"part{i}")
    return node.emit(kind, [result, values[-1]])


@converts("Max", since=1)
def maximum(node: Node) -> Value:
    """``top.Max``. Source: ONNX Max, opset 13."""
    return _chain(node, "top.Max")


@converts("Min", since=1)
def minimum(node: Node) -> Value:
    """``top.Min``. Source: ONNX Min, opset 13."""
    return _chain(node, "top.Min")


@converts("Sum", since=1)
def total(node: Node) -> Value:
    """A chain of ``top.Add``. Source: ONNX Sum, opset 13."""
    return _chain(node, "top.Add")


@converts("Mean", since=1)
def mean(node: Node) -> Value:
    """The sum times 1/n. Source: ONNX Mean, opset 13."""
    float_only(node)
    values = [operand(node, i) for i in range(len(node.inputs))]
    result = values[0]
    for i, value in enumerate(values[1:]):
        result = node.helper("top.Add", [result, value], f"part{i}")
    return node.emit("top.MulConst", [result], const_val=float(np.float32(1) / np.float32(len(values))))


@converts("Mod", since=10)
def modulo(node: Node) -> Value:
    """``top.Mod``. Source: ONNX Mod, opset 28 (before, floats had to have fmod = 1)."""
    fmod = node.int("fmod", 0) != 0
    if is_float(node.output_dtype()) and not fmod and node.opset < 28:
        raise InvalidNodeError("expected fmod 1 for float operands, got 0")
    return node.emit("top.Mod", [operand(node, 0), operand(node, 1)], fmod=fmod)


# --- powers -------------------------------------------------------------------------


@converts("Pow", since=7)
def power(node: Node) -> Value:
    """``top.Pow`` for a constant exponent, ``top.Pow2`` for a constant base, else ``top.Pow3``.

    Source: ONNX Pow, opset 15. The result has the type of the base.
    """
    if is_integer(node.output_dtype()):
        return _integer_power(node)
    exponent, base = _one_number(node, 1, 0), _one_number(node, 0, 1)
    if exponent is not None:
        x = node.operand(0)
        if exponent == 1.0:
            return node.reshape(x, x.shape)
        if exponent == 2.0:
            return node.emit("top.Mul", [x, x])
        return node.emit("top.Pow", [x], exponent=exponent)
    if base is not None:
        return node.emit("top.Pow2", [as_float(node, 1)], const_val=base)
    return node.emit("top.Pow3", [operand(node, 0), as_float(node, 1)])


def _one_number(node: Node, index: int, other: int) -> float | None:
    """The number that constant operand ``index`` repeats, if it does not widen operand ``other``."""
    data = node.const(index)
    if data is None or not data.size or not (data == data.reshape(-1)[0]).all():
        return None
    if np.broadcast_shapes(data.shape, node.shape(other)) != node.shape(other):
        return None
    return float(data.reshape(-1)[0])


def _integer_power(node: Node) -> Value:
    """Powers of an integer: exact for whole exponents, else that of floats without its fraction."""
    base = operand(node, 0)
    if node.kind(1) == "i32":
        return node.emit("top.Pow3", [base, operand(node, 1)])
    data = node.const(1)
    if data is not None and (data == np.trunc(data)).all():
        whole = node.derived_weight(1, "i32", data.astype(np.int64).reshape(shape_beside(node, data)))
        return node.emit("top.Pow3", [base, whole])
    exponent = operand(node, 1)
    whole = node.helper("top.Cast", [exponent], "exponent", to="INT32")
    exact = node.helper("top.Pow3", [base, whole], "exact")
    broken = node.helper("top.Pow3", [as_float(node, 0), exponent], "float")
    broken = node.helper("top.Cast", [broken], "cut", to="INT32")
    back = node.helper("top.Cast", [whole], "whole", to="F32")
    is_whole = node.helper("top.Compare", [back, exponent], "is_whole", mode="Equal")
    return node.emit("top.Where", [is_whole, exact, broken])


# --- one operand ----------------------------------------------------------------------


@converts("Neg", since=6)
def neg(node: Node) -> Value:
    """Multiplication by -1, or a difference of integers. Source: ONNX Neg, opset 13."""
    if node.kind(0) == "i32":
        return wrapped(node, "top.SubConst", [node.operand(0)], const_val=0.0, is_reverse=True)
    return node.emit("top.MulConst", [node.operand(0)], const_val=-1.0)


@converts("Reciprocal", since=6)
def reciprocal(node: Node) -> Value:
    """``top.Reciprocal`` of 1. Source: ONNX Reciprocal, opset 13."""
    return node.emit("top.Reciprocal", [node.operand(0)], const_val=1.0)


# Unary operators that Top has under a name of its own and that have no attribute, with the opset since which
# the definition is the one taken here.
_UNARY = {
    "Ceil": ("top.Ceil", 6),
    "Floor": ("top.Floor", 6),
    "Round": ("top.Round", 11),
    "Sqrt": ("top.Sqrt", 6),
    "Exp": ("top.Exp", 6),
    "Log": ("top.Log", 6),
    "Erf": ("top.Erf", 9),
    "Sin": ("top.Sin", 7),
    "Cos": ("top.Cos", 7),
    "Tan": ("top.Tan", 7),
    "Sinh": ("top.Sinh", 9),
    "Cosh": ("top.Cosh", 9),
    "Asin": ("top.Arcsin", 7),
    "Acos": ("top.Arccos", 7),
    "Atan": ("top.Arctan", 7),
    "Asinh": ("top.Arcsinh", 9),
    "Acosh": ("top.Arccosh", 9),
    "Atanh": ("top.Arctanh", 9),
}


def _register_unary(op_type: str, kind: str, since: int) -> None:
    @converts(op_type, since=since)
    def convert(node: Node) -> Value:
        float_only(node)
        return node.emit(kind, [node.operand(0)])


for _op_type, (_kind, _since) in _UNARY.items():
    _register_unary(_op_type, _kind, _since)


@converts("Abs", since=6)
def absolute(node: Node) -> Value:
    """``top.Abs``. Source: ONNX Abs, opset 13."""
    return wrapped(node, "top.Abs", [node.operand(0)])


@converts("Sign", since=9)
def sign(node: Node) -> Value:
    """``top.Sign``. Source: ONNX Sign, opset 13."""
    return node.emit("top.Sign", [node.operand(0)])


# --- bits -----------------------------------------------------------------------------


def _register_bitwise(op_type: str, mode: str) -> None:
    @converts(op_type, since=18)
    def convert(node: Node) -> Value:
        return node.emit("top.Bitwise", [operand(node, 0), operand(node, 1)], mode=mode)


for _mode in ("And", "Or", "Xor"):
    _register_bitwise(f"Bitwise{_mode}", _mode)


@converts("BitwiseNot", since=18)
def bitwise_not(node: Node) -> Value:
    """The largest number minus x if unsigned, else -1 - x. Source: ONNX BitwiseNot, opset 18."""
    dtype = node.dtype(0)
    node.refuse(
        dtype.name in {"uint32", "uint64"},
        f"its {dtype} result has no room in 32 bits with a sign",
        "compute in an integer type with a sign",
    )
    ones = np.iinfo(dtype).max if dtype.kind == "u" else -1
    return node.emit("top.SubConst", [node.operand(0)], const_val=float(ones), is_reverse=True)


@converts("BitShift", since=11)
def bit_shift(node: Node) -> Value:
    """``top.Bitwise`` in a shifting mode. Source: ONNX BitShift, opset 28 (before, all were unsigned)."""
    right = "ShiftRightSigned" if node.output_dtype().kind == "i" else "ShiftRight"
    modes = {"LEFT": "ShiftLeft", "RIGHT": right}
    direction = node.str("direction", "")
    if direction not in modes:
        raise InvalidNodeError(f"expected direction LEFT or RIGHT, got {direction}")
    return wrapped(node, "top.Bitwise", [operand(node, 0), operand(node, 1)], mode=modes[direction])


# --- element types ----------------------------------------------------------------------


@converts("Cast", since=6)
def cast(node: Node) -> Value:
    """Source: ONNX Cast, opset 19."""
    return convert_type(node, node.output_dtype())


@converts("CastLike", since=15)
def cast_like(node: Node) -> Value:
    """Source: ONNX CastLike, opset 19."""
    return convert_type(node, node.output_dtype())


def convert_type(node: Node, to: DType) -> Value:
    """Operand 0 as ``to``: nothing happens where Top holds the same numbers for both types.

    A float that no integer equals loses its fraction; what lies outside of 32 bits saturates and NaN becomes
    0 (ONNX leaves both open). Integers keep their low bits. Everything but 0 is true.
    """
    value, source = node.operand(0), node.dtype(0)
    target = to.name
    if not (target in _ROUNDED or target in {"float32", "float64"} or is_integer(to) or to == BOOL):
        raise NotSupportedError(f"a cast of a run-time tensor to {target}", "compute in float32 or int32")
    if to == source:
        return value
    if to == BOOL:
        return node.emit("top.CompareConst", [value], mode="NotEqual", const_val=0.0, inversed=False)
    if is_integer(to):
        fits = source == BOOL or (is_integer(source) and (not wraps(to) or np.can_cast(source, to)))
        if fits and node.kind(0) == "i32":
            return value
        return node.emit("top.Cast", [value], to=to.name.upper() if wraps(to) and not fits else "INT32")
    rounds = target in _ROUNDED and source != BOOL and not (wraps(source) and source.itemsize == 1)
    if node.kind(0) == "i32":
        if not rounds:
            return node.emit("top.Cast", [value], to="F32")
        value = node.helper("top.Cast", [value], "f32", to="F32")
    return node.emit("top.Cast", [value], to=_ROUNDED[target]) if rounds else value


_ROUNDED = {PRECISIONS[name].onnx_type: name for name in HALVES}
