"""Rows of the quantised operators: types, axes, blocks, ties, saturation, sums beyond 24 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tpumlir
from harness import ABSENT, OpCase, Stage, array, check, rows, w, x
from quantized_graphs import f, numbers, q

NARROW = ("int8", "uint8", "int16", "uint16")


def middle(dtype: str) -> int:
    """A zero point that is not 0."""
    return 3 if np.iinfo(dtype).min else 100


TIES = array(np.array([-1.5, -0.5, 0.5, 1.5, 2.5, 1e6, -1e6, 254.5, 255.5], np.float32), constant=False)

CASES = [
    OpCase("QuantizeLinear", TIES, f(1.0), opset=13, why="ties and ends"),
    OpCase("QuantizeLinear", TIES, f(0.5), q("int8", -3), opset=13, why="zero point"),
    OpCase("QuantizeLinear", x(3, 65), f(0.02), q("uint8", 128), opset=13),
    OpCase("QuantizeLinear", x(3, 5), f(0.02, constant=False), q("uint8", 128, constant=False), opset=13),
    OpCase("QuantizeLinear", x(2, 3, 4), f(0.1, 0.2, 0.3), q("int8", 1, 0, -1), opset=13, why="axis 1"),
    OpCase("QuantizeLinear", x(2, 3, 4), f(0.1, 0.2), q("int8", 1, 0), opset=13, axis=-3, why="axis 0"),
    OpCase(
        "QuantizeLinear", x(2, 6), x(2, 2, low=0.1, high=0.2), opset=21, axis=1, block_size=3, why="blocks"
    ),
    OpCase(
        "QuantizeLinear", x(5, 3), x(2, 3, low=0.1, high=0.2), opset=21, axis=0, block_size=3, why="short"
    ),
    *(
        OpCase("QuantizeLinear", x(3, 4), f(0.01), q(dtype, middle(dtype)), opset=21, why=dtype)
        for dtype in NARROW
    ),
    *(
        OpCase(
            "QuantizeLinear",
            x(2, 3, 4),
            f(0.1, 0.2, 0.3, constant=scale),
            q(dtype, 1, 0, 3, constant=zero_point),
            opset=21,
            why=f"axis 1 {dtype}",
        )
        for dtype in ("int8", "uint16")
        for scale, zero_point in ((True, False), (False, True), (False, False))
    ),
    OpCase("QuantizeLinear", x(2, 3, 4), f(0.1, 0.2, 0.3), opset=13, why="axis 1 without zero point"),
    OpCase("QuantizeLinear", x(2, 3, 4), f(0.25, 0.25, 0.25), q("uint8", 5, 5, 5), opset=13, why="equal"),
    OpCase("QuantizeLinear", x(2, 3, 4), f(0.1), q("int16", 1, constant=False), opset=21, why="int16"),
    OpCase("QuantizeLinear", x(2, 3), f(1.0), q("int16", 3), opset=21, why="scale 1"),
    OpCase(
        "QuantizeLinear",
        x(2, 1, 3),
        array(np.array([0.3], np.float32)),
        array(np.array([7], np.uint8)),
        opset=13,
        why="vectors of one",
    ),
    OpCase(
        "QuantizeLinear",
        x(2, 6),
        w(2, 2, low=0.1, high=0.2),
        array(np.array([[1, 2], [3, -4]], np.int8)),
        opset=21,
        axis=1,
        block_size=3,
        why="constant blocks",
    ),
    OpCase(
        "QuantizeLinear",
        x(5, 3),
        w(2, 3, low=0.1, high=0.2),
        numbers("int8", 2, 3),
        opset=21,
        axis=-2,
        block_size=3,
        why="constant scales of short blocks",
    ),
    OpCase(
        "QuantizeLinear",
        x(2, 3, low=-2, high=2),
        w(2, 3, low=0.1, high=0.2),
        opset=21,
        axis=1,
        block_size=1,
        why="blocks of one",
    ),
    OpCase(
        "QuantizeLinear",
        array(np.arange(-300, 300, 50, dtype=np.int32), constant=False),
        f(2.0),
        q("uint8", 5),
        opset=19,
        why="of integers",
    ),
    OpCase(
        "QuantizeLinear",
        array(np.arange(-4, 5, dtype=np.float16) / 4, constant=False),
        array(np.array(0.125, np.float16)),
        q("uint8", 5),
        opset=19,
        why="float16",
    ),
    *(
        OpCase(
            "DequantizeLinear", numbers(dtype, 3, 5), f(0.01), q(dtype, middle(dtype)), opset=21, why=dtype
        )
        for dtype in NARROW
    ),
    OpCase("DequantizeLinear", numbers("uint8", 3, 5), f(0.25), opset=13, why="no zero point"),
    OpCase("DequantizeLinear", array(np.array([-(2**31), 2**31 - 1, 7], np.int32), constant=False), f(0.5)),
    OpCase("DequantizeLinear", numbers("int8", 2, 3, 4), f(0.1, 0.2, 0.3), q("int8", 1, 0, -1), why="axis 1"),
    *(
        OpCase(
            "DequantizeLinear",
            numbers("int8", 2, 3, 4),
            f(0.1, 0.2, 0.3, constant=scale),
            q("int8", 1, 0, -1, constant=zero_point),
            why="axis 1",
        )
        for scale, zero_point in ((True, False), (False, True), (False, False))
    ),
    OpCase("DequantizeLinear", numbers("int8", 2, 3, 4), f(0.1, 0.2), axis=-3, why="axis 0"),
    OpCase("DequantizeLinear", numbers("int8", 2, 3), f(0.1, constant=False), q("int8", 1)),
    OpCase("DequantizeLinear", numbers("int8", 2, 3, constant=True), f(0.1, constant=False), q("int8", 1)),
    OpCase("DequantizeLinear", numbers("uint8", 3, 4), f(1.0), q("uint8", 3), opset=13, why="scale 1"),
    OpCase(
        "DequantizeLinear",
        numbers("uint8", 2, 7),
        w(2, 3),
        numbers("uint8", 2, 3, constant=True),
        opset=21,
        axis=1,
        block_size=3,
        why="constant short blocks",
    ),
    OpCase(
        "DequantizeLinear",
        numbers("int8", 2, 6),
        x(2, 2),
        numbers("int8", 2, 2),
        opset=21,
        axis=1,
        block_size=3,
        why="blocks",
    ),
    OpCase("MatMulInteger", numbers("uint8", 3, 4), numbers("int8", 4, 5)),
    OpCase("MatMulInteger", numbers("uint8", 3, 4), numbers("uint8", 4, 5), q("uint8", 12), q("uint8", 3)),
    OpCase("MatMulInteger", numbers("uint8", 2, 3, 4), numbers("uint8", 2, 4, 5), q("uint8", 12), ABSENT),
    OpCase(
        "MatMulInteger",
        numbers("uint8", 3, 4),
        numbers("int8", 4, 5, constant=True),
        q("uint8", 12),
        q("int8", 1, 2, 3, 4, 5),
        why="a zero point for each column",
    ),
    OpCase(
        "MatMulInteger",
        array(np.full((2, 1000), 255, np.uint8), constant=False),
        array(np.full((1000, 3), 255, np.uint8), constant=False),
        why="sums beyond 24 bits",
    ),
    OpCase("ConvInteger", numbers("uint8", 1, 2, 5, 5), numbers("uint8", 3, 2, 3, 3), q("uint8", 7)),
    OpCase(
        "ConvInteger",
        numbers("uint8", 1, 4, 5, 5),
        numbers("uint8", 6, 2, 3, 3, constant=True),
        q("uint8", 7),
        q("uint8", 9),
        pads=[1, 1, 1, 1],
        strides=[2, 2],
        group=2,
        why="padded groups",
    ),
    OpCase(
        "ConvInteger",
        numbers("uint8", 1, 70, 4, 4),
        numbers("uint8", 3, 70, 3, 3),
        q("uint8", 7),
        pads=[1, 1, 1, 1],
        why="sums beyond 24 bits",
    ),
    *(
        OpCase(
            "QLinearMatMul",
            numbers(dtype, 3, 4),
            f(0.02),
            q(dtype, 3),
            numbers(dtype, 4, 5, seed=1),
            f(0.03),
            q(dtype, 5),
            f(0.4),
            q(dtype, 7),
            opset=21,
            why=dtype,
        )
        for dtype in ("int8", "uint8")
    ),
    OpCase(
        "QLinearMatMul",
        numbers("uint8", 3, 4),
        f(0.02),
        q("uint8", 113),
        numbers("int8", 4, 2, constant=True),
        f(0.03, 0.05),
        q("int8", 0, 0),
        f(0.4),
        q("uint8", 118),
        why="a scale for each column",
    ),
    OpCase(
        "QLinearMatMul",
        numbers("uint8", 2, 600),
        f(0.02),
        q("uint8", 113),
        numbers("uint8", 600, 3, seed=1),
        f(0.03),
        q("uint8", 114),
        f(2.0),
        q("uint8", 118),
        why="sums beyond 24 bits",
    ),
    *(
        OpCase(
            "QLinearConv",
            numbers("uint8", 1, 4, 5, 5),
            f(0.02),
            q("uint8", 113),
            numbers("int8", 6, 4 // group, 3, 3, constant=True),
            f(*scales),
            q("int8", *[0] * len(scales)),
            # A power of two: the chip's division by another run-time scale may move a tie by one step.
            f(0.25),
            q("uint8", 118),
            bias,
            pads=[1, 1, 1, 1],
            group=group,
            why=why,
        )
        for scales, bias, group, why in (
            ((0.03,), ABSENT, 1, "plain"),
            ((0.03,), array(np.array([1, -200, 3000, 4, 5, 6], np.int32)), 1, "bias"),
            ((0.01, 0.02, 0.03, 0.04, 0.05, 0.06), ABSENT, 2, "a scale for each channel"),
        )
    ),
]


for _case in CASES:
    # 2^30 and 65535 - 32768, of which F16 has neither.
    if _case.op == "DequantizeLinear" and ("uint16" in _case.why or _case.data["in0"].dtype == np.int32):
        _case.precisions = ("F32", "BF16")


@rows(CASES)
def test_quantised(case: OpCase, stage: Stage) -> None:
    check(case, stage)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (
            OpCase("QuantizeLinear", x(3), f(1.0), opset=21, output_dtype=17),
            "QuantizeLinear .*numbers of type float8.*quantise with this compiler",
        ),
        (
            OpCase("QuantizeLinear", x(3), f(1.0), opset=21, output_dtype=22),
            "QuantizeLinear .*numbers of type int4.*quantise with this compiler",
        ),
    ],
    ids=["float8", "int4"],
)
def test_other_types_are_refused_by_name(case: OpCase, message: str) -> None:
    with pytest.raises(tpumlir.UnsupportedError, match=message):
        tpumlir.load_onnx(case.proto)


def test_scales_that_do_not_fit_are_one_line() -> None:
    attributes: dict[str, Any] = {"axis": 1, "block_size": 3}
    case = OpCase("QuantizeLinear", x(2, 6), x(2, 3), opset=21, **attributes)
    with pytest.raises(tpumlir.OnnxImportError, match="expected operand 1 with one number for 3 of axis 1"):
        tpumlir.load_onnx(case.proto)
