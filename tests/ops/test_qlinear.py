"""Rows of ONNX Runtime's operators on quantised tensors: signs, zero points, absent operands, saturation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tpumlir
from harness import ABSENT, OpCase, Operand, Stage, array, check, rows, x
from onnx import helper
from quantized_graphs import f, numbers, q

MS = "com.microsoft."
F32: Any = {"precisions": ("F32",)}  # a half rounds the mean, the integer may be the next one
# What lies between two ties: no arithmetic in floats moves a result by a step.
X_SCALE, Y_SCALE = 0.02013, 0.03271


def unary(op: str, dtype: str, *shape: int, why: str = "", zero: bool = True, **attributes: Any) -> OpCase:
    """An operator of one quantised tensor; both zero points are off the middle."""
    signed = dtype == "int8"
    zeros = [q(dtype, -7 if signed else 117), q(dtype, -60 if signed else 40)] if zero else [ABSENT, ABSENT]
    return OpCase(
        MS + op, numbers(dtype, *shape), f(X_SCALE), zeros[0], f(Y_SCALE / 2), zeros[1],
        why=f"{dtype} {why}".strip(), result_type=dtype, **attributes,
    )  # fmt: skip


def binary(op: str, dtype: str, a: Operand, b: Operand, y_scale: float, why: str = "") -> OpCase:
    """An operator of two quantised tensors."""
    zeros = [q(dtype, zero) for zero in ((-3, 4, 10) if dtype == "int8" else (120, 131, 100))]
    return OpCase(
        MS + op, a, f(X_SCALE), zeros[0], b, f(0.01171), zeros[1], f(y_scale), zeros[2],
        why=f"{dtype} {why}".strip(), result_type=dtype,
    )  # fmt: skip


def gemm(
    a: Operand, b: Operand, scales: Operand, zeros: Operand, *rest: Operand, why: str, **attributes: Any
) -> OpCase:
    """A of u8, B of the type of its zero points."""
    return OpCase(
        MS + "QGemm", a, f(X_SCALE), q("uint8", 117), b, scales, zeros, *rest, why=why,
        result_type="uint8" if len(rest) > 1 else "float32", **attributes,
    )  # fmt: skip


COLUMNS = f(0.0113, 0.0232, 0.0079, 0.0301)
NINE = numbers("uint8", 9, constant=True)
BIAS = array(np.array([1000, -70000, 3, 4], np.int32))
CASES = [
    *(unary("QLinearSigmoid", dtype, 3, 17) for dtype in ("uint8", "int8")),
    *(unary("QLinearLeakyRelu", dtype, 3, 17, alpha=0.13) for dtype in ("uint8", "int8")),
    unary("QLinearLeakyRelu", "int8", 2, 65, why="default alpha, no zero points", zero=False),
    unary("QLinearSigmoid", "uint8", 2, 9, why="no zero points", zero=False),
    *(
        unary("QLinearGlobalAveragePool", dtype, 2, 5, 4, 3, channels_last=0, why="second", **F32)
        for dtype in ("uint8", "int8")
    ),
    unary("QLinearGlobalAveragePool", "uint8", 2, 4, 3, 5, channels_last=1, why="last", **F32),
    unary("QLinearAveragePool", "uint8", 1, 3, 8, 8, kernel_shape=[3, 3], pads=[1] * 4, why="padded", **F32),
    unary(
        "QLinearAveragePool", "int8", 1, 3, 8, 8,
        kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2], count_include_pad=1, why="counting pads", **F32,
    ),
    unary("QLinearAveragePool", "uint8", 1, 3, 7, 7, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1, **F32),
    unary("QLinearAveragePool", "uint8", 1, 8, 8, 3, kernel_shape=[2, 2], channels_last=1, why="last", **F32),
    *(
        binary(op, dtype, numbers(dtype, 2, 3, 5), numbers(dtype, *shape, seed=1), scale, why)
        for op, scale in (("QLinearAdd", Y_SCALE), ("QLinearMul", 0.05137))
        for dtype in ("uint8", "int8")
        for shape, why in (((2, 3, 5), "alike"), ((3, 1), "broadcast"))
    ),
    binary("QLinearAdd", "uint8", numbers("uint8", 2, 9), NINE, 0.0031, "saturated"),
    binary("QLinearMul", "int8", numbers("int8", 9, constant=True), numbers("int8", 2, 9), 0.0031, "left"),
    OpCase(
        MS + "QLinearConcat", f(Y_SCALE), q("uint8", 99), numbers("uint8", 2, 3), f(X_SCALE), q("uint8", 100),
        numbers("uint8", 2, 5, seed=1), f(0.05291), q("uint8", 128), axis=1, result_type="uint8",
    ),
    OpCase(
        MS + "QLinearConcat", f(Y_SCALE), q("int8", 9), numbers("int8", 2, 3), f(Y_SCALE), q("int8", 9),
        numbers("int8", 2, 3, constant=True), f(X_SCALE), q("int8", -8), numbers("int8", 1, 3, seed=2),
        f(0.011), q("int8", 0), axis=-2, why="three along axis 0", result_type="int8",
    ),
    OpCase(
        MS + "QLinearWhere", array(np.array([[True], [False]]), constant=False),
        numbers("uint8", 2, 4), f(X_SCALE), q("uint8", 100), numbers("uint8", 4, seed=1), f(0.01171),
        q("uint8", 30), f(Y_SCALE), q("uint8", 90), result_type="uint8",
    ),
    *(
        gemm(numbers("uint8", 3, 8), numbers(dtype, 8, 4, constant=True), scales, zeros, bias, *result,
             why=why)
        for dtype, scales, zeros, bias, result, why in (
            ("int8", f(0.0113), q("int8", 0), ABSENT, (f(0.4171), q("uint8", 118)), "plain"),
            ("int8", COLUMNS, q("int8", 0, 0, 0, 0), BIAS, (f(0.4171), q("uint8", 118)), "columns, bias"),
            ("uint8", f(0.0113), q("uint8", 128), BIAS, (f(0.0417), q("uint8", 0)), "unsigned, saturated"),
            ("int8", f(0.0113), q("int8", 5), BIAS, (), "floats"),
        )
    ),
    gemm(
        numbers("uint8", 8, 3), numbers("int8", 4, 8, constant=True), COLUMNS, q("int8", 0, 0, 0, 0), BIAS,
        f(0.2171), q("uint8", 118), transA=1, transB=1, alpha=0.5, why="transposed, alpha",
    ),
    gemm(
        numbers("uint8", 3, 8), numbers("int8", 8, 4), f(0.0113), q("int8", 3), ABSENT, f(0.4171),
        q("uint8", 118), why="run-time factor",
    ),
    *(
        OpCase(
            MS + "QLinearConv", numbers("uint8", 1, 5, 6, 4), f(X_SCALE), q("uint8", 117),
            numbers("int8", 3, 4, 3, 3, constant=True), f(0.0113), q("int8", zero), f(0.2171), q("uint8", 90),
            array(np.array([900, -3000, 0], np.int32)), channels_last=1, pads=[1] * 4, result_type="uint8",
            why=why,
        )
        for zero, why in ((0, "last"), (11, "last, lopsided"))
    ),
    gemm(
        numbers("uint8", 3, 8), numbers("int8", 8, 4), f(0.0113), q("int8", 3),
        array(BIAS.data, constant=False), f(0.4171), q("uint8", 118), why="run-time factor and bias", **F32,
    ),
    OpCase(
        MS + "MatMulIntegerToFloat", numbers("uint8", 3, 9), numbers("int8", 9, 4, constant=True), f(X_SCALE),
        COLUMNS, q("uint8", 120), q("int8", 0, 0, 0, 0), x(4),
    ),
    OpCase(
        MS + "MatMulIntegerToFloat", numbers("uint8", 3, 9), numbers("uint8", 9, 4), f(X_SCALE), f(0.01),
        why="no zero points",
    ),
    OpCase(
        MS + "DynamicQuantizeMatMul", x(3, 9), numbers("int8", 9, 4, constant=True), f(0.0113), q("int8", 3),
        x(4), precisions=("F32",),
    ),
    OpCase(MS + "QuantizeLinear", x(3, 7), f(X_SCALE), q("uint16", 30000), result_type="uint16"),
    OpCase(MS + "DequantizeLinear", numbers("int16", 3, 7), f(X_SCALE), q("int16", -5), why="16 bits"),
]  # fmt: skip


@rows(CASES)
def test_quantised_operators_of_onnxruntime(case: OpCase, stage: Stage) -> None:
    check(case, stage)


@pytest.mark.parametrize(("axes", "keepdims"), [([1], 1), ([-1, 0], 0), (None, 1)], ids=["one", "two", "all"])
@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_mean_that_onnxruntime_declares_only(axes: list[int] | None, keepdims: int, dtype: str) -> None:
    """It has no kernel: numpy says what the operator is."""
    data = numbers(dtype, 3, 5, 4)
    zeros = (-7, 4) if dtype == "int8" else (117, 90)
    attributes: dict[str, Any] = {"keepdims": keepdims} | ({"axes": axes} if axes else {})
    case = OpCase(
        MS + "QLinearReduceMean",
        array(data.data, constant=False),
        f(X_SCALE),
        q(dtype, zeros[0]),
        f(Y_SCALE / 2),
        q(dtype, zeros[1]),
        result_type=dtype,
        **attributes,
    )
    integers = data.data.astype(np.float64) - zeros[0]
    mean = integers.mean(tuple(axes) if axes else None, keepdims=bool(keepdims)) * X_SCALE
    limits = np.iinfo(dtype)
    want = np.clip(np.rint(mean / (Y_SCALE / 2)) + zeros[1], limits.min, limits.max)
    np.testing.assert_array_equal(case.top_results["out0"], want)
    np.testing.assert_array_equal(case.bmodel_results["out0"], want)


@pytest.mark.parametrize(("opset", "axis"), [(13, -1), (13, 1), (12, 1), (12, 0), (1, 2)], ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_softmax_of_the_opset_that_its_node_names(opset: int, axis: int, dtype: str) -> None:
    """ONNX Runtime's exponentials come out of a table: a step beside is the same."""
    case = unary("QLinearSoftmax", dtype, 2, 3, 5, axis=axis)
    attribute = helper.make_attribute("opset", opset)
    case.proto.graph.node[0].attribute.append(attribute)
    want = case.reference["out0"].astype(np.int64)
    np.testing.assert_allclose(case.top_results["out0"], want, rtol=0, atol=1)
    np.testing.assert_array_equal(case.bmodel_results["out0"], case.lowered("F32").tpu_results["out0"])


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (
            OpCase(
                MS + "QLinearConcat", f(0.1), q("uint8", 0), numbers("uint8", 2), f(0.1),
                result_type="uint8",
            ),
            "QLinearConcat: expected a tensor, a scale and a zero point each, got 4 operands",
        ),
        (
            OpCase(
                MS + "QLinearSigmoid", numbers("uint8", 4), f(0.1), q("int8", 0), f(0.1), q("uint8", 0),
                result_type="uint8",
            ),
            "QLinearSigmoid: expected a zero point of uint8 in operand 2, got int8",
        ),
        (
            OpCase(
                MS + "QLinearSigmoid", numbers("int16", 4), f(0.1), q("int16", 0), f(0.1), q("int16", 0),
                result_type="int16",
            ),
            "com.microsoft.QLinearSigmoid of opset 1 is not supported: numbers of type int16 .start from",
        ),
    ],
    ids=["operands", "zero point", "16 bits"],
)  # fmt: skip
def test_what_is_none_is_one_line(case: OpCase, message: str) -> None:
    with pytest.raises(tpumlir.TpumlirError, match=message) as caught:
        tpumlir.load_onnx(case.proto)
    assert "\n" not in str(caught.value)
    assert caught.value.diagnostics[0].node == "node"
