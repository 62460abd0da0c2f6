"""Operands of rank 0, in every type that an operator takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from harness import ABSENT, OpCase, Operand, Stage, array, c, check, rows, x
from onnx import helper

SIGNED = ("int8", "int16", "int32", "int64")
UNSIGNED = ("uint8", "uint16", "uint32")
FLOATS = (
    "Abs", "Acos", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Celu", "Cos", "Cosh", "Elu", "Erf", "Exp",
    "Floor", "Gelu", "HardSigmoid", "HardSwish", "IsInf", "IsNaN", "LeakyRelu", "Log", "Mish", "Neg",
    "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign",
    "Sqrt", "Tan", "Tanh", "ThresholdedRelu",
)  # fmt: skip
ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Max", "Min", "Mod")
COMPARISONS = ("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual")


def at(value: Any, dtype: str = "float32", *, constant: bool = False) -> Operand:
    """A number of rank 0."""
    return array(np.array(value, dtype), constant=constant)


def pairs(op: str, a: Any, b: Any, dtype: str, **attributes: Any) -> Iterator[OpCase]:
    """Two numbers at run time, and either of them a constant."""
    for constants in ((False, False), (False, True), (True, False)):
        operands = [at(v, dtype, constant=k) for v, k in zip((a, b), constants, strict=True)]
        why = " ".join([dtype, *(str(value) for value in attributes.values())])
        yield OpCase(op, *operands, why=why, opset=21, **attributes)


def code(dtype: str) -> int:
    """ONNX's number of a type."""
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


def cases() -> Iterator[OpCase]:
    for op in FLOATS:
        yield OpCase(op, at(0.7), opset=22)
    yield OpCase("Acosh", at(1.7), opset=22)
    for op in (*ARITHMETIC[:-1], "Pow", "PRelu", *COMPARISONS):
        yield from pairs(op, 1.5, 0.75, "float32")
    yield from pairs("Mod", 7.5, 2.0, "float32", fmod=1)
    for op in ("Sum", "Mean", "Max", "Min"):
        yield OpCase(op, at(1.5), at(0.25), at(2.0), opset=21)
    for dtype in (*SIGNED, *UNSIGNED):
        for op in (*ARITHMETIC, *COMPARISONS, "BitwiseAnd", "BitwiseOr", "BitwiseXor"):
            yield from pairs(op, 7, 3, dtype)
        for op in ("Abs", "Sign", *(["Neg", "Relu"] if dtype in SIGNED else [])):
            yield OpCase(op, at(3 if dtype in UNSIGNED else -3, dtype), why=dtype, opset=21)
        if dtype != "uint32":
            yield OpCase("BitwiseNot", at(3, dtype), why=dtype, opset=21)
        for bounds in ((1, 5), (1, None), (None, 5)):
            for constant in (False, True):
                limits = [ABSENT if v is None else at(v, dtype, constant=constant) for v in bounds]
                yield OpCase("Clip", at(7, dtype), *limits, why=f"{dtype} {bounds}", opset=21)
        yield OpCase("Where", at(True, "bool"), at(7, dtype), at(3, dtype), why=dtype, opset=21)
        yield OpCase(
            "Where", at(False, "bool"), at(7, dtype), at(3, dtype, constant=True), why=dtype, opset=21
        )
        for other in (*SIGNED, *UNSIGNED, "float32", "float16", "bool"):
            yield OpCase("Cast", at(300 % 256, dtype), to=code(other), why=f"{dtype} {other}", opset=21)
        yield OpCase("Cast", at(3.7), to=code(dtype), why=f"float {dtype}", opset=21)
        yield OpCase("Cast", at(True, "bool"), to=code(dtype), why=f"bool {dtype}", opset=21)
        yield OpCase("CastLike", at(3.7), at(1, dtype), why=dtype, opset=21)
    for dtype in UNSIGNED:
        for direction in ("LEFT", "RIGHT"):
            yield from pairs("BitShift", 100, 2, dtype, direction=direction)
    for dtype in ("int32", "int64"):
        for exponent in (at(2, dtype), at(2.0), at(2.0, constant=True), at(0.5), at(0.5, constant=True)):
            why = f"{dtype} {exponent.data.dtype} {exponent.data}"
            yield OpCase("Pow", at(9, dtype), exponent, why=why, opset=21)
    for op in ("And", "Or", "Xor", "Equal"):
        yield from pairs(op, True, False, "bool")
    yield OpCase("Not", at(True, "bool"), opset=21)
    yield OpCase("Where", at(True, "bool"), at(1.5), at(2.5), opset=21)
    yield OpCase("Where", at(True, "bool"), at(True, "bool"), at(False, "bool"), why="bool", opset=21)
    for low, high in ((0.25, 0.5), (0.25, None), (None, 0.5)):
        for constant in (False, True):
            limits = [ABSENT if v is None else at(v, constant=constant) for v in (low, high)]
            yield OpCase("Clip", at(1.5), *limits, why=f"{low} {high}", opset=21)
    for other in ("float16", "bool"):
        yield OpCase("Cast", at(3.7), to=code(other), why=f"float {other}", opset=21)
    for dtype in ("int8", "uint8"):
        for scale in (at(0.125), at(0.125, constant=True)):
            numbers = (scale, at(3, dtype, constant=scale.constant))
            yield OpCase("QuantizeLinear", at(3.7), *numbers, why=dtype, opset=21)
            yield OpCase("DequantizeLinear", at(37, dtype), *numbers, why=dtype, opset=21)
    yield OpCase("DequantizeLinear", at(37, "int32"), at(0.125, constant=True), why="int32", opset=21)
    yield OpCase("DynamicQuantizeLinear", at(3.7), outputs=3, opset=21)
    yield OpCase("Reshape", at(3.0), c(1, 1), opset=21)
    yield OpCase("Reshape", x(1), array(np.empty(0, np.int64)), why="to rank 0", opset=21)
    yield OpCase("Unsqueeze", at(3.0), c(0), opset=21)
    yield OpCase("Squeeze", x(1, 1), why="to rank 0", opset=21)
    yield OpCase("Transpose", at(3.0), opset=21)
    yield OpCase("Expand", at(3.0), c(2, 3), opset=21)
    yield OpCase("Expand", at(3, "int64"), c(2, 3), why="int64", opset=21)
    yield OpCase("Expand", at(3.0), array(np.empty(0, np.int64)), why="to rank 0", opset=21)
    yield OpCase("Gather", x(4), at(2, "int64"), why="run-time index", opset=21)
    yield OpCase("Gather", x(4, 3), at(-1, "int64", constant=True), why="constant index", opset=21)
    yield OpCase("Gather", array(np.arange(5), constant=False), at(2, "int64"), why="integers", opset=21)
    yield OpCase("GatherND", x(3, 2), array(np.array([1, 1]), constant=False), why="to rank 0", opset=21)
    yield OpCase("Einsum", at(2.0), at(3.0), equation=",->", opset=21)
    yield OpCase("Einsum", x(3), x(3), equation="i,i->", opset=21)
    yield OpCase("MatMul", x(3), x(3), why="to rank 0", opset=21)
    yield OpCase("ArgMax", x(3), axis=0, keepdims=0, why="to rank 0", opset=21)


@rows(list(cases()))
def test_scalar(case: OpCase, stage: Stage) -> None:
    check(case, stage)
